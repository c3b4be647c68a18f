/**
 * Changes of members in a cluster under attack, asked for until they are done: of a request that
 * was lost, the list of members tells what came.
 */
import { readFile, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Member } from '../../src/gen/rpc.ts';
import { Cluster } from '../../src/gen/services.ts';
import type { MemberProcess } from '../support/cluster-process.ts';
import { CallError, GrpcClient } from '../support/grpc.ts';
import type { Battlefield } from './battlefield.ts';
import { eagerDialling } from './callers.ts';

const methods = Cluster.methods;
const callMs = 5000;
const restMs = 300;
/** Members count as connected after five seconds, and faults of a run may last as long again. */
const changeLimitMs = 90_000;
/** A removed member hears of it, or learns it from the others once it asks them. */
const hearsMs = 6000;
/** It goes on for half a minute where too few of those it knows can tell it (`removal.ts`). */
const farewellLimitMs = 45_000;

/** Asks one member after the other until the list of members is as wanted; returns the list. */
async function change(
  field: Battlefield,
  what: string,
  isDone: (members: readonly Member[]) => boolean,
  ask: (client: GrpcClient) => Promise<unknown>,
): Promise<readonly Member[]> {
  const untilMs = performance.now() + changeLimitMs;
  for (let last = 'nobody was asked'; ;) {
    await delay(restMs);
    if (performance.now() > untilMs) throw new Error(`could not ${what}: ${last}`);
    const { running } = field;
    if (running.length === 0) continue;
    const client = new GrpcClient(field.pick(running).address, eagerDialling);
    try {
      const members = await listOf(client);
      if (isDone(members)) return members;
      await ask(client);
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      last = error.message;
    } finally {
      client.close();
    }
  }
}

async function listOf(client: GrpcClient): Promise<readonly Member[]> {
  const request = { linearizable: true };
  const { members } = await client.unary(methods.memberList, request, { timeoutMs: callMs });
  return members;
}

/** Adds one and starts it on an empty disk. A learner is not enrolled before it is promoted. */
export async function add(field: Battlefield, isLearner: boolean): Promise<MemberProcess> {
  const joiner = await field.cluster.joiner();
  const { name, peerUrl } = joiner;
  const request = { peerUrls: [peerUrl], isLearner };
  const isNew = ({ peerUrls }: Member): boolean => peerUrls.includes(peerUrl);
  const kind = isLearner ? 'learner' : 'voter';
  const members = await change(
    field,
    `add ${name} as ${kind}`,
    (listed) => listed.some(isNew),
    (client) => client.unary(methods.memberAdd, request, { timeoutMs: callMs }),
  );
  field.strike(`${kind} added`, `${name} is added as ${kind}`);
  field.network.identify(members.find(isNew)?.id ?? 0n, name);
  const initialCluster = members.map((each) => {
    return `${isNew(each) ? name : each.name}=${each.peerUrls.join(',')}`;
  });
  const member = joiner.member(initialCluster.join(','));
  field.arrives(member);
  await field.start(member);
  if (!isLearner) field.enrol(member);
  return member;
}

/** Asks until the learner has caught up. */
export async function promote(field: Battlefield, learner: MemberProcess): Promise<void> {
  const { name } = learner;
  const isLearner = (each: Member): boolean => each.name === name && each.isLearner;
  await change(
    field,
    `promote ${name}`,
    (listed) => listed.some((each) => each.name === name) && !listed.some(isLearner),
    async (client) => {
      // Nobody else does while it is none of the members.
      await field.start(learner);
      const id = (await listOf(client)).find(isLearner)?.id ?? 0n;
      await client.unary(methods.memberPromote, { id }, { timeoutMs: callMs });
    },
  );
  field.strike('learner promoted', `${name} is promoted`);
  field.enrol(learner);
}

/** Removes one, whatever state it is in. It must come to its end by itself, if it is up. */
export async function remove(field: Battlefield, member: MemberProcess): Promise<void> {
  const { name } = member;
  field.dismiss(member);
  const isIt = (each: Member): boolean => each.name === name;
  await change(
    field,
    `remove ${name}`,
    (listed) => !listed.some(isIt),
    async (client) => {
      const id = (await listOf(client)).find(isIt)?.id ?? 0n;
      await client.unary(methods.memberRemove, { id }, { timeoutMs: callMs });
    },
  );
  field.strike('member removed', `${name} is removed`);
}

/**
 * A removed member ends, if it hears of it. Started with all that it had, it learns it from the
 * others, and ends again.
 */
export async function comesToItsEnd(field: Battlefield, member: MemberProcess): Promise<void> {
  const { name, logPath } = member;
  const first = await field.ending(member, hearsMs);
  const { size } = await stat(logPath);
  await field.start(member);
  const second = await field.ending(member, farewellLimitMs);
  const said = (await readFile(logPath, 'utf8')).slice(first === undefined ? 0 : size);
  const isRight = second?.code === 0 && (first === undefined || first.code === 0);
  if (!isRight || !said.includes('permanently removed')) {
    throw new Error(`${name} was removed and did not end:\n${said.slice(-2000)}`);
  }
  field.strike('removed member ended', `${name} is told that it was removed, and ends`);
}

/** Where a member's list of members is not what the operator made of it; undefined if nowhere. */
export async function strayMembers(roster: readonly MemberProcess[]): Promise<string | undefined> {
  const wanted = roster
    .map(({ name }) => name)
    .sort()
    .join(', ');
  for (const member of roster) {
    const client = new GrpcClient(member.address, eagerDialling);
    const members = await listOf(client)
      .catch((error: unknown) => String(error))
      .finally(() => client.close());
    if (typeof members === 'string') return `${member.name} lists no members: ${members}`;
    const found = members
      .map(({ name, isLearner }) => `${isLearner ? 'learner ' : ''}${name}`)
      .sort()
      .join(', ');
    if (found !== wanted) return `${member.name} lists ${found} instead of ${wanted}`;
  }
  return undefined;
}
