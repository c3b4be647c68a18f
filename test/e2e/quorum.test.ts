/** Members that are down, and members that come back late. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { fromUtf8, utf8 } from '../../src/base/bytes.ts';
import { PutRequest, RangeRequest } from '../../src/gen/rpc.ts';
import { KV } from '../../src/gen/services.ts';
import type { ClusterProcess, MemberProcess } from '../support/cluster-process.ts';
import { GrpcClient } from '../support/grpc.ts';
import { startQuorate } from '../support/quorate.ts';
import { leaderOf, memberHashes, metric } from '../support/writers.ts';

let cluster: ClusterProcess | undefined;

afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
});

const key = utf8('key');

function put(client: GrpcClient, value: string): Promise<unknown> {
  return client.unary(KV.methods.put, PutRequest.create({ key, value: utf8(value) }));
}

async function get(client: GrpcClient, serializable: boolean): Promise<string> {
  const request = RangeRequest.create({ key, serializable });
  const { kvs } = await client.unary(KV.methods.range, request);
  return fromUtf8(kvs[0]?.value ?? utf8('missing'));
}

test('five members stand two failures; with three, only serializable reads go on', async () => {
  cluster = await startQuorate({ members: 5 });
  const { members } = cluster;
  const leader = await leaderOf(members);
  const [first, second, third, survivor] = [
    leader,
    ...members.filter((member) => member !== leader),
  ] as [MemberProcess, MemberProcess, MemberProcess, MemberProcess];
  const client = new GrpcClient(survivor.address);
  try {
    await put(client, 'all up');
    await Promise.all([first.kill(), second.kill()]);
    await put(client, 'two down');
    expect(await get(client, false)).toBe('two down');

    await third.kill();
    const startedMs = performance.now();
    const refused = await Promise.all(
      [put(client, 'three down'), get(client, false)].map((call) =>
        call.then(
          () => undefined,
          (error: unknown) => error,
        ),
      ),
    );
    for (const error of refused) {
      expect(error).toMatchObject({ code: 14 });
      expect((error as { details: string }).details).toMatch(
        /^etcdserver: (request timed out|leader changed)/,
      );
    }
    // The request timeout is 5 s and two elections of 1 s.
    expect(performance.now() - startedMs).toBeLessThan(8500);
    expect(await get(client, true)).toBe('two down');

    await third.start();
    await put(client, 'back');
    expect(await get(client, false)).toBe('back');
  } finally {
    client.close();
  }
}, 60_000);

/** Puts `count` keys, many at a time. */
async function putMany(client: GrpcClient, from: number, count: number): Promise<void> {
  let next = from;
  const worker = async (): Promise<void> => {
    while (next < from + count) {
      const value = utf8(`value ${next}`);
      await client.unary(KV.methods.put, PutRequest.create({ key: utf8(`k${next++}`), value }));
    }
  };
  await Promise.all(Array.from({ length: 200 }, worker));
}

test('a follower that missed 50,000 writes catches up by a snapshot while writes go on', async () => {
  cluster = await startQuorate({ members: 3, flags: ['--snapshot-count=1000'] });
  const { members } = cluster;
  const leader = await leaderOf(members);
  const follower = members.find((member) => member !== leader) as MemberProcess;
  const client = new GrpcClient(leader.address);
  try {
    await putMany(client, 0, 1000);
    await follower.kill();
    await putMany(client, 1000, 50_000);
    let writing = true;
    const writes = (async () => {
      for (let from = 51_000; writing; from += 1000) await putMany(client, from, 1000);
    })();
    await follower.start();
    await follower.ready();
    while ((await metric(follower, 'quorate_snapshots_installed_total')) !== 1) await delay(100);
    writing = false;
    await writes;
    const hashes = await memberHashes(members);
    expect(new Set(hashes.map(({ kv }) => kv)).size).toBe(1);
    expect(new Set(hashes.map(({ state }) => state)).size).toBe(1);

    // What it got is its own now: it starts from it without the others.
    await follower.kill();
    await follower.start();
    await follower.ready();
    expect(new Set((await memberHashes(members)).map(({ state }) => state)).size).toBe(1);
  } finally {
    client.close();
  }
}, 180_000);
