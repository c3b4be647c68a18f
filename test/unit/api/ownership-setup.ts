/** What the tests of locks and elections share: a cluster, and calls of its members' services. */
import { expect } from 'vitest';
import { ElectionService } from '../../../src/api/election.ts';
import { LockService } from '../../../src/api/lock.ts';
import { latin1, utf8 } from '../../../src/base/bytes.ts';
import { StatusCode, StatusError } from '../../../src/base/errors.ts';
import type { LockResponse } from '../../../src/gen/lock.ts';
import { backendOf, call } from '../../support/virtual-api.ts';
import {
  VirtualCluster,
  type VirtualClusterOptions,
  type VirtualMember,
} from '../../support/virtual-cluster.ts';

export let cluster: VirtualCluster;

export async function start(
  seed: number,
  options: Omit<VirtualClusterOptions, 'seed'> = {},
): Promise<void> {
  cluster = new VirtualCluster({ seed, ...options });
  await cluster.until(() =>
    cluster.members.every((each) => (each.running?.server.leader ?? 0n) > 0n),
  );
}

export const member = (i: number): VirtualMember => cluster.members[i % 3] as VirtualMember;
export const running = (i: number): NonNullable<VirtualMember['running']> => {
  const found = member(i).running;
  if (found === undefined) throw new Error('the member is down');
  return found;
};
export const cutOff = (i: number): void => {
  const [{ id }, ids] = [member(i), cluster.members.map((each) => each.id)];
  cluster.network.partition(
    [id],
    ids.filter((each) => each !== id),
  );
};
export const locks = (i: number): LockService => new LockService(backendOf(cluster, member(i)));
export const elections = (i: number): ElectionService =>
  new ElectionService(backendOf(cluster, member(i)));

/** Waits in virtual time. */
export async function wait<T>(promise: Promise<T>): Promise<T> {
  let settled = false;
  const end = (): void => {
    settled = true;
  };
  promise.then(end, end);
  await cluster.until(() => settled);
  return promise;
}

export const grant = (id: bigint, ttl = 600): Promise<unknown> =>
  wait(running(0).server.request({ case: 'leaseGrant', value: { id, ttl } }));
export const revoke = (id: bigint): Promise<unknown> =>
  wait(running(0).server.request({ case: 'leaseRevoke', value: { id, grant: 0n } }));

export interface Waiting<Answer> {
  readonly answer: Promise<Answer>;
  readonly giveUp: () => void;
  /** The answer's, or the refusal's words. */
  outcome: Answer | string | undefined;
}

export function begun<Answer>(
  make: (context: ReturnType<typeof call>['context']) => Promise<Answer>,
) {
  const { context, abort } = call();
  const answer = make(context);
  const waiting: Waiting<Answer> = { answer, giveUp: abort, outcome: undefined };
  answer.then(
    (value) => (waiting.outcome = value),
    (error: unknown) => {
      expect(error).toBeInstanceOf(StatusError);
      expect((error as StatusError).code).toBe(StatusCode.unknown);
      waiting.outcome = (error as StatusError).message;
    },
  );
  return waiting;
}

export const lock = (i: number, name: string, lease: bigint): Waiting<LockResponse> =>
  begun((context) => locks(i).lock({ name: utf8(name), lease }, context));

export const unlock = (i: number, key: string): Promise<unknown> =>
  wait(locks(i).unlock({ key: utf8(key) }));

/** Keys below a name, the oldest first. */
export function keysOf(name: string, i = 0): string[] {
  const query = { key: `${name}/`, end: `${name}0`, revision: 0, limit: 0, countOnly: false };
  const { kvs } = running(i).store.range(query);
  return kvs.toSorted((a, b) => a.createRevision - b.createRevision).map(({ key }) => latin1(key));
}

export const held = (waiting: Waiting<LockResponse>): string =>
  typeof waiting.outcome === 'object' ? latin1(waiting.outcome.key) : String(waiting.outcome);
