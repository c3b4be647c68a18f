/**
 * A member that applies an entry otherwise than the others is found within a second of the next
 * write: it gets the alarm and serves nobody any more, and the others serve. Started again, it has
 * their state.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { fromUtf8, utf8 } from '../../src/base/bytes.ts';
import {
  AlarmAction,
  AlarmRequest,
  AlarmType,
  MoveLeaderRequest,
  PutRequest,
  RangeRequest,
  StatusRequest,
} from '../../src/gen/rpc.ts';
import { KV, Maintenance } from '../../src/gen/services.ts';
import type { ClusterProcess, MemberProcess } from '../support/cluster-process.ts';
import { CallError, GrpcClient } from '../support/grpc.ts';
import { quorate, startQuorate } from '../support/quorate.ts';
import { leaderOf } from '../support/writers.ts';

const planted = pathToFileURL(join(import.meta.dirname, 'programs', 'deviating-apply.mjs'));
const deviating = 'm3';
const foundWithinMs = 1000;
const refusal = 'etcdserver: corrupt cluster';

async function memberIdOf(client: GrpcClient): Promise<bigint> {
  const { header } = await client.unary(Maintenance.methods.status, StatusRequest.create());
  return header?.memberId ?? 0n;
}

function put(client: GrpcClient, key: string, value: string): Promise<unknown> {
  return client.unary(KV.methods.put, PutRequest.create({ key: utf8(key), value: utf8(value) }));
}

/** What a read of a key at this member alone comes to. */
async function read(client: GrpcClient, key: string, serializable = false): Promise<string> {
  try {
    const request = RangeRequest.create({ key: utf8(key), serializable });
    const { kvs } = await client.unary(KV.methods.range, request);
    return fromUtf8(kvs[0]?.value ?? Buffer.of());
  } catch (error) {
    if (error instanceof CallError) return error.details;
    throw error;
  }
}

async function corrupt(client: GrpcClient): Promise<bigint[]> {
  const { alarms } = await client.unary(Maintenance.methods.alarm, AlarmRequest.create());
  return alarms.filter(({ alarm }) => alarm === AlarmType.corrupt).map(({ memberId }) => memberId);
}

/** Makes the member that deviates a follower, or the leader. */
async function moveLead({ members }: ClusterProcess, role: string, id: bigint): Promise<void> {
  for (;;) {
    const leader = await leaderOf(members);
    if ((leader.name === deviating) === (role === 'leader')) return;
    const client = new GrpcClient(leader.address);
    const [sound] = members;
    const other = new GrpcClient(sound?.address ?? '');
    const targetId = role === 'leader' ? id : await memberIdOf(other);
    // Another one may lead by now; then it is asked again.
    await client
      .unary(Maintenance.methods.moveLeader, MoveLeaderRequest.create({ targetId }))
      .catch(() => undefined);
    client.close();
    other.close();
  }
}

test.each([
  { kind: 'wrong', role: 'follower' },
  { kind: 'skipped', role: 'follower' },
  { kind: 'doubled', role: 'follower' },
  { kind: 'wrong', role: 'leader' },
])('an entry that is $kind on the $role is found, and only it is fenced', async (planting) => {
  let isPlanted = true;
  const preload = `--import=${planted.href}?kind=${planting.kind}`;
  const cluster = await startQuorate({
    members: 3,
    programOf: (name) =>
      isPlanted && name === deviating
        ? { ...quorate, arguments: [preload, ...quorate.arguments] }
        : quorate,
  });
  const clients = cluster.addresses.map((address) => new GrpcClient(address));
  const [one, two, three] = clients as [GrpcClient, GrpcClient, GrpcClient];
  try {
    const id = await memberIdOf(three);
    await moveLead(cluster, planting.role, id);
    await put(one, 'before', 'a');
    expect(await read(three, 'before')).toBe('a');
    await put(one, 'entry', 'deviate here');
    await put(two, 'next', 'b');
    const writtenMs = performance.now();
    while ((await read(three, 'next', true)) !== refusal) await delay(10);
    while (!(await corrupt(one)).includes(id)) await delay(10);
    expect(performance.now() - writtenMs).toBeLessThan(foundWithinMs);
    expect(await corrupt(two)).toEqual([id]);
    expect(await read(three, 'before')).toBe(refusal);
    for (const client of [one, two]) {
      expect(await read(client, 'entry')).toBe('deviate here');
      expect(await read(client, 'next')).toBe('b');
    }
    // As in etcd nobody takes changes before the alarm is cleared.
    await expect(put(one, 'next', 'c')).rejects.toThrow(refusal);

    isPlanted = false;
    const [, , member] = cluster.members as [unknown, unknown, MemberProcess];
    await member.stop();
    await member.start();
    while ((await read(three, 'entry')) !== 'deviate here') await delay(50);
    const action = AlarmAction.deactivate;
    const disarm = AlarmRequest.create({ action, memberId: id, alarm: AlarmType.corrupt });
    await one.unary(Maintenance.methods.alarm, disarm);
    for (const client of clients) await put(client, 'after', 'd');
  } finally {
    for (const client of clients) client.close();
    await cluster.stop();
  }
});
