/** A cluster whose members change, in virtual time. */
import { expect } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { PutRequest } from '../../src/gen/rpc.ts';
import { stateHashOf } from '../../src/server/state.ts';
import { VirtualCluster, type VirtualMember } from './virtual-cluster.ts';

/** Longer than a connection must last to be counted on. */
export const healthyMs = 6_000;

/** In place of what a member that is down would do. */
export const down = (): Promise<never> => Promise.reject(new Error('the member is down'));

export type Outcome<T> = { readonly value?: T; readonly error?: string };

/** What comes of a promise, with the clock. */
export async function outcomeOf<T>(
  whole: VirtualCluster,
  promise: Promise<T>,
): Promise<Outcome<T>> {
  let outcome: Outcome<T> | undefined;
  promise.then(
    (value) => (outcome = { value }),
    (error: unknown) => (outcome = { error: (error as Error).message }),
  );
  await whole.until(() => outcome !== undefined);
  return outcome ?? {};
}

export async function put(whole: VirtualCluster, key: string): Promise<void> {
  await whole.until(() => whole.leader !== undefined);
  const value = PutRequest.create({ key: utf8(key), value: utf8('v') });
  const server = whole.leader?.running?.server;
  expect(await outcomeOf(whole, server?.request({ case: 'put', value }) ?? down())).toEqual({
    value: expect.anything() as unknown,
  });
}

/** As the daemon does. */
export async function announce(whole: VirtualCluster, member: VirtualMember): Promise<void> {
  const memberAttributes = { name: `m${member.id}`, clientUrls: ['http://c'] };
  const value = { memberId: member.id, memberAttributes };
  const request = member.running?.server.request({ case: 'clusterMemberAttrSet', value });
  await outcomeOf(whole, request ?? down());
}

export async function grown(members: number, options: object = {}): Promise<VirtualCluster> {
  const whole = new VirtualCluster({ seed: 7, members, ...options });
  await whole.until(() => whole.leader !== undefined);
  for (const member of whole.members) await announce(whole, member);
  await put(whole, 'first');
  await whole.pass(healthyMs);
  return whole;
}

export const changesOf = (member: VirtualMember | undefined) => {
  const changes = member?.running?.changes;
  if (changes === undefined) throw new Error('the member is down');
  return changes;
};

export function follower(whole: VirtualCluster): VirtualMember {
  const found = whole.members.find((each) => each !== whole.leader && each.running !== undefined);
  if (found === undefined) throw new Error('no follower');
  return found;
}

/** Adds a member through `via` and starts it with an empty disk. */
export async function join(
  whole: VirtualCluster,
  url: string,
  isLearner = false,
  via = whole.leader,
): Promise<VirtualMember> {
  const { value, error } = await outcomeOf(whole, changesOf(via).add([url], isLearner));
  if (value === undefined) throw new Error(error);
  const joined = whole.join(value.member.id, value.members);
  await whole.until(() => joined.running?.takesPart === true);
  await announce(whole, joined);
  return joined;
}

export function forgetFailure(member: VirtualMember): void {
  member.failure = undefined;
}

/** All that run hold the same state, once they have applied the same. */
export async function expectEqualStates(whole: VirtualCluster): Promise<void> {
  const running = whole.members.flatMap(({ running }) => running ?? []);
  const applied = (): number[] => running.map(({ server }) => server.appliedIndex);
  await whole.until(() => new Set(applied()).size === 1);
  const states = running.map((member) => stateHashOf(member));
  expect(new Set(states).size).toBe(1);
}
