/** Members die and come back while clients write; nothing acknowledged may be lost. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { PutRequest, RangeRequest } from '../../src/gen/rpc.ts';
import { KV } from '../../src/gen/services.ts';
import type { ClusterProcess, MemberProcess } from '../support/cluster-process.ts';
import { CallError, GrpcClient } from '../support/grpc.ts';
import { startQuorate } from '../support/quorate.ts';
import {
  leaderOf,
  memberHashes,
  missingWrites,
  reusedRevisions,
  startWriters,
} from '../support/writers.ts';

/** Failures per test; more for a longer look: QUORATE_ROUNDS=20 npm test -- test/e2e/failures. */
const rounds = Number(process.env['QUORATE_ROUNDS'] ?? 3);
const writers = 100;
const timeoutMs = 60_000 + rounds * 20_000;

/** How long until a survivor acknowledges a write that is sent now. */
async function timeToAcknowledgement(member: MemberProcess): Promise<number> {
  const client = new GrpcClient(member.address);
  const startedMs = performance.now();
  try {
    const request = PutRequest.create({ key: utf8('probe'), value: utf8('after the kill') });
    await client.unary(KV.methods.put, request);
    return performance.now() - startedMs;
  } finally {
    client.close();
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

describe('three members under writers', () => {
  let cluster: ClusterProcess;

  beforeEach(async () => {
    cluster = await startQuorate({ members: 3 });
  });

  afterEach(async () => {
    await cluster.stop();
  });

  async function checkAll(load: ReturnType<typeof startWriters>): Promise<void> {
    expect(reusedRevisions(load.acknowledged)).toEqual([]);
    const hashes = await memberHashes(cluster.members);
    expect(new Set(hashes.map(({ kv }) => kv)).size).toBe(1);
    expect(new Set(hashes.map(({ state }) => state)).size).toBe(1);
    for (const { address } of cluster.members) {
      expect(await missingWrites(address, load.acknowledged)).toEqual([]);
    }
  }

  test('the leader is killed', { timeout: timeoutMs }, async () => {
    const load = startWriters(cluster.members, writers);
    const gapsMs: number[] = [];
    for (let round = 0; round < rounds; round++) {
      await delay(1000);
      const leader = await leaderOf(cluster.members);
      await leader.kill();
      const survivors = cluster.members.filter((member) => member !== leader);
      gapsMs.push(await timeToAcknowledgement(survivors[round % 2] as MemberProcess));
      await leader.start();
      await leader.ready();
    }
    await load.stop();
    console.log(
      `acknowledged ${load.acknowledged.length}, unknown ${load.unknown.length}, ` +
        `ms to the first acknowledgement after each kill: ${gapsMs.map(Math.round).join(' ')}`,
    );
    expect(load.acknowledged.length).toBeGreaterThan(writers * rounds);
    expect(Math.max(...gapsMs)).toBeLessThan(5000);
    expect(median(gapsMs)).toBeLessThan(2000);
    await checkAll(load);
  });

  test('all members are killed at once', { timeout: timeoutMs }, async () => {
    const load = startWriters(cluster.members, writers);
    for (let round = 0; round < rounds; round++) {
      await delay(1000);
      await Promise.all(cluster.members.map((member) => member.kill()));
      await Promise.all(cluster.members.map((member) => member.start()));
      await Promise.all(cluster.members.map((member) => member.ready()));
    }
    await delay(500);
    await load.stop();
    expect(load.acknowledged.length).toBeGreaterThan(writers * rounds);
    await checkAll(load);
  });

  test('a paused leader that continues serves no old data', { timeout: timeoutMs }, async () => {
    const key = utf8('register');
    for (let round = 0; round < rounds; round++) {
      const paused = await leaderOf(cluster.members);
      const reader = new GrpcClient(paused.address);
      const elsewhere = cluster.members.filter((member) => member !== paused);
      const writer = new GrpcClient(elsewhere[0]?.address ?? '');
      await writer.unary(KV.methods.put, PutRequest.create({ key, value: utf8(`old ${round}`) }));
      paused.pause();
      // Waits in the paused process's socket until it continues, to be read before anything else.
      const early = read(reader, key);
      await delay(2500);
      await writer.unary(KV.methods.put, PutRequest.create({ key, value: utf8(`new ${round}`) }));
      paused.resume();
      const late = await Promise.all(Array.from({ length: 50 }, () => read(reader, key)));
      for (const value of [await early, ...late]) {
        if (value !== undefined) expect(value).toBe(`new ${round}`);
      }
      expect(late.filter((value) => value !== undefined).length).toBeGreaterThan(0);
      reader.close();
      writer.close();
    }
  });
});

/** A linearizable read; undefined if it was refused, which is no lie. */
async function read(client: GrpcClient, key: Uint8Array): Promise<string | undefined> {
  try {
    const { kvs } = await client.unary(KV.methods.range, RangeRequest.create({ key }));
    return Buffer.from(kvs[0]?.value ?? []).toString();
  } catch (error) {
    if (error instanceof CallError) return undefined;
    throw error;
  }
}
