/** 10,000 watchers on one member, which is restarted under them. */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { fromUtf8, utf8 } from '../../src/base/bytes.ts';
import {
  PutRequest,
  WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
} from '../../src/gen/rpc.ts';
import { KV, Watch } from '../../src/gen/services.ts';
import type { MemberProcess } from '../support/cluster-process.ts';
import { CallError, GrpcClient, type MessageStream } from '../support/grpc.ts';
import { startQuorate } from '../support/quorate.ts';

const streams = 20;
const watchersPerStream = 500;
const writes = 12_000;

/** One key's watcher, as a client library would keep it. */
interface Watcher {
  readonly key: string;
  /** Versions seen, in order: each write of a key raises its version by one. */
  readonly seen: number[];
  nextRevision: number;
}

function createRequest(watcher: Watcher, watchId: number): WatchRequest {
  const value = WatchCreateRequest.create({
    key: utf8(watcher.key),
    startRevision: watcher.nextRevision,
    watchId,
  });
  return { requestUnion: { case: 'createRequest', value } };
}

/** Watches until told to stop, and resumes after every break. */
async function watchAll(
  member: MemberProcess,
  watchers: readonly Watcher[],
  stopped: () => boolean,
): Promise<void> {
  while (!stopped()) {
    const client = new GrpcClient(member.address);
    try {
      const stream = client.bidirectional(Watch.methods.watch);
      watchers.forEach((watcher, i) => {
        stream.send(createRequest(watcher, i + 1));
      });
      await follow(stream, watchers, stopped);
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      await delay(100);
    } finally {
      client.close();
    }
  }
}

async function follow(
  stream: MessageStream<WatchRequest, WatchResponse>,
  watchers: readonly Watcher[],
  stopped: () => boolean,
): Promise<void> {
  while (!stopped()) {
    const response = await stream.tryNext(100);
    if (response === undefined) return;
    if (response === 'silence' || response.created) continue;
    expect(response.canceled).toBe(false);
    const watcher = watchers[response.watchId - 1] as Watcher;
    for (const { kv } of response.events) {
      expect(fromUtf8(kv?.key ?? utf8(''))).toBe(watcher.key);
      watcher.seen.push(kv?.version ?? 0);
      watcher.nextRevision = (kv?.modRevision ?? 0) + 1;
    }
  }
}

test('each of 10,000 watchers sees each event once and in order, restarts or not', async () => {
  const cluster = await startQuorate({ members: 3 });
  const [watched, other, writer] = cluster.members as [MemberProcess, MemberProcess, MemberProcess];
  const client = new GrpcClient(writer.address);
  const watchers = Array.from({ length: streams * watchersPerStream }, (_, i) => ({
    key: `key/${i}`,
    seen: [] as number[],
    nextRevision: 2,
  }));
  let done = false;
  const watching = Array.from({ length: streams }, (_, i) =>
    watchAll(
      watched,
      watchers.slice(i * watchersPerStream, (i + 1) * watchersPerStream),
      () => done,
    ),
  );
  try {
    const written = new Map<string, number>();
    let next = 0;
    const write = async (): Promise<void> => {
      while (next < writes) {
        const { key } = watchers[(next++ * 7919) % watchers.length] as Watcher;
        const request = PutRequest.create({ key: utf8(key), value: utf8('v') });
        for (;;) {
          try {
            await client.unary(KV.methods.put, request);
            break;
          } catch (error) {
            // It may have happened or not: one more write of the key does no harm.
            if (!(error instanceof CallError)) throw error;
            await delay(50);
          }
        }
        written.set(key, (written.get(key) ?? 0) + 1);
      }
    };
    const writing = Promise.all(Array.from({ length: 50 }, write));
    await delay(2000);
    await watched.kill();
    await watched.start();
    await watched.ready();
    await other.stop();
    await delay(1000);
    await other.start();
    await watched.stop();
    await watched.start();
    await watched.ready();
    await writing;

    const behind = (): Watcher[] =>
      watchers.filter(({ key, seen }) => seen.length < (written.get(key) ?? 0));
    for (let i = 0; i < 300 && behind().length > 0; i++) await delay(100);
    expect(behind()).toEqual([]);
    for (const { key, seen } of watchers) {
      expect(seen, key).toEqual(Array.from(seen, (_, i) => i + 1));
    }
  } finally {
    done = true;
    await Promise.all(watching);
    client.close();
    await cluster.stop();
  }
}, 180_000);
