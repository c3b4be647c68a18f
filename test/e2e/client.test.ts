/** The client library with real members, ours and etcd's, which are killed and restarted. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fromUtf8 } from '../../src/base/bytes.ts';
import {
  Client,
  ClientError,
  CompactedError,
  type Event,
  EventType,
  StatusCode,
  compare,
  op,
  prefixRange,
} from '../../src/client/index.ts';
import type { ClusterProcess, MemberProcess } from '../support/cluster-process.ts';
import { startQuorate } from '../support/quorate.ts';
import { servers } from '../support/servers.ts';

const writers = 8;
const readers = 4;

const told = ({ kv }: Event): string => `${fromUtf8(kv?.key ?? Buffer.of())}@${kv?.modRevision}`;

/** Everything from `startRevision` to `revision`, from one stream that nothing disturbs. */
async function history(client: Client, startRevision: number, revision: number): Promise<string[]> {
  const events: string[] = [];
  const watcher = client.watch({ ...prefixRange('w/'), startRevision });
  for await (const batch of watcher) {
    events.push(...batch.events.map(told));
    if ((batch.events.at(-1)?.kv?.modRevision ?? 0) >= revision) break;
  }
  return events;
}

/** Failures that leave open whether a write happened. */
const unknown: ReadonlySet<number> = new Set([
  StatusCode.unavailable,
  StatusCode.deadlineExceeded,
  StatusCode.unknown,
  StatusCode.internal,
  StatusCode.cancelled,
]);

/** Writes and reads until told to stop. */
class Load {
  readonly acknowledged = new Map<string, number>();
  readonly failures: string[] = [];
  attempts = 0;
  reads = 0;
  #stopped = false;
  readonly #running: Promise<unknown>;

  constructor(client: Client) {
    const each = (count: number, work: (index: number) => Promise<void>): Promise<void>[] =>
      Array.from({ length: count }, async (_, i) => {
        while (!this.#stopped) await work(i);
      });
    this.#running = Promise.all([
      ...each(writers, () => this.#write(client)),
      ...each(readers, (i) => this.#read(client, i)),
    ]);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /** Waits for so many acknowledged writes more. */
  async more(count: number): Promise<void> {
    const until = this.acknowledged.size + count;
    while (this.acknowledged.size < until) await delay(10);
  }

  async #write(client: Client): Promise<void> {
    const key = `w/${this.attempts++}`;
    try {
      const { header } = await client.put(key, 'v');
      this.acknowledged.set(key, header?.revision ?? 0);
    } catch (error) {
      if (!(error instanceof ClientError) || !unknown.has(error.code)) throw error;
      this.failures.push(`${error.code} ${error.message}`);
    }
  }

  /** A read is never told of a member that goes. */
  async #read(client: Client, index: number): Promise<void> {
    const [key, revision] = [...this.acknowledged].at(-1 - index) ?? ['w/none', 0];
    const kv = await client.get(key, { timeoutMs: 20_000 });
    expect(kv?.modRevision ?? 0).toBe(revision);
    this.reads++;
  }
}

describe('with members that are killed and restarted', () => {
  let cluster: ClusterProcess;
  let client: Client;

  beforeAll(async () => {
    cluster = await startQuorate({ members: 3 });
    client = new Client({ endpoints: cluster.endpoints });
  });

  afterAll(async () => {
    await client.close();
    await cluster.stop();
  });

  test('a watch tells all events once, writes happen once, reads do not fail', async () => {
    const watched: string[] = [];
    let lastRevision = 0;
    const watcher = client.watch({ ...prefixRange('w/'), createdNotify: true, fragment: true });
    const iterator = watcher[Symbol.asyncIterator]();
    const created = await iterator.next();
    const startRevision = (created.value?.header.revision ?? 0) + 1;
    const watching = (async () => {
      for (;;) {
        const { value } = await iterator.next();
        if (value === undefined) return;
        watched.push(...value.events.map(told));
        lastRevision = value.events.at(-1)?.kv?.modRevision ?? lastRevision;
      }
    })();

    const load = new Load(client);
    await load.more(200);
    for (const [i, member] of cluster.members.entries()) {
      // A crash, and an orderly end; each hits the member in use, for the next one is used then.
      await (i === 1 ? member.stop() : member.kill());
      await load.more(200);
      await member.start();
      await member.ready();
      await load.more(50);
    }
    const leader = await leaderOf(client, cluster);
    await leader.kill();
    await load.more(200);
    await leader.start();
    await leader.ready();
    await load.stop();

    const { header } = await client.put('w/last', 'v');
    const revision = header?.revision ?? 0;
    while (lastRevision < revision) await delay(10);
    watcher.close();
    await watching;

    expect(watched).toEqual(await history(client, startRevision, revision));
    for (const [key, at] of load.acknowledged) expect(watched).toContain(`${key}@${at}`);
    const { kvs } = await client.range(prefixRange('w/'));
    expect(kvs.filter(({ version }) => version !== 1)).toEqual([]);
    expect(kvs.length).toBeGreaterThanOrEqual(load.acknowledged.size + 1);
    expect(kvs.length).toBeLessThanOrEqual(load.attempts + 1);
    expect(load.reads).toBeGreaterThan(100);
    // A few calls were in progress at each of four ends; the rest went elsewhere.
    expect(load.failures.length, load.failures.join('\n')).toBeLessThan(load.attempts / 4);
  }, 180_000);

  test('leases outlive their leaders while they are kept, and end when they are not', async () => {
    const kept = await client.lease(4);
    const left = await client.grant(4);
    await client.put({ key: 'l/kept', value: 'v', lease: kept.id });
    await client.put({ key: 'l/left', value: 'v', lease: left.id });
    const startRevision = ((await client.get('l/left'))?.modRevision ?? 0) + 1;
    const gone = client.watch({ key: 'l/left', startRevision })[Symbol.asyncIterator]().next();
    for (let i = 0; i < 3; i++) {
      const leader = await leaderOf(client, cluster);
      await leader.kill();
      await delay(1_500);
      await client.put('l/alive', String(i), { timeoutMs: 20_000 });
      await leader.start();
      await leader.ready();
    }
    expect((await gone).value?.events[0]?.type).toBe(EventType.delete);
    expect((await client.timeToLive(left.id)).ttl).toBe(-1);
    expect(kept.lost.aborted).toBe(false);
    for (const endpoint of cluster.addresses) {
      const one = client.at(endpoint);
      const { ttl, keys } = await one.timeToLive(kept.id, { keys: true });
      expect(ttl).toBeGreaterThan(0);
      expect(keys.map(fromUtf8)).toEqual(['l/kept']);
      expect((await one.keepAliveOnce(kept.id)).ttl).toBe(4);
      await one.close();
    }
    await kept.revoke();
    expect(await client.get('l/kept')).toBeUndefined();
  }, 90_000);

  test('the example prints what there is and what happens', async () => {
    await client.put('ex/1', 'one');
    const script = join(import.meta.dirname, '..', '..', 'examples', 'watch.mjs');
    const example = spawn(process.execPath, [script, 'ex/', cluster.addresses.join(',')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface(example.stdout)[Symbol.asyncIterator]();
    const line = async (): Promise<unknown> => (await lines.next()).value;
    expect(await line()).toBe('ex/1 = one');
    await client.put('ex/2', 'two');
    expect(await line()).toBe('ex/2 = two');
    await client.delete('ex/1');
    expect(await line()).toBe('ex/1 is gone');
    example.kill('SIGINT');
    expect(await once(example, 'exit')).toEqual([0, null]);
  });
});

async function leaderOf(client: Client, cluster: ClusterProcess): Promise<MemberProcess> {
  for (const member of cluster.members) {
    const { header, leader } = await client.status(member.clientUrl);
    if (header?.memberId === leader) return member;
  }
  throw new Error('no leader');
}

for (const { name, isThere, start } of servers) {
  describe.skipIf(!isThere)(`with ${name}`, () => {
    let cluster: ClusterProcess;
    let client: Client;

    beforeAll(async () => {
      cluster = await start();
      client = new Client({ endpoints: cluster.endpoints });
    });

    afterAll(async () => {
      await client.close();
      await cluster.stop();
    });

    test('every call is answered', async () => {
      const { header } = await client.put('a', '1');
      expect((await client.get('a'))?.modRevision).toBe(header?.revision);
      const again = await client.put({ key: 'a', value: '2', prevKv: true });
      expect(fromUtf8(again.prevKv?.value ?? Buffer.of())).toBe('1');
      expect(await client.get('b')).toBeUndefined();
      const txn = await client.txn({
        compare: [compare.value('a', '=', '2'), compare.createRevision('b', '=', 0)],
        success: [op.put({ key: 'b', value: '3' }), op.range({ key: 'a' })],
        failure: [op.delete({ key: 'a' })],
      });
      expect(txn.succeeded).toBe(true);
      const keys: string[] = [];
      for await (const { kvs } of client.rangeStream(prefixRange(''))) {
        keys.push(...kvs.map(({ key }) => fromUtf8(key)));
      }
      expect(keys).toEqual(['a', 'b']);
      expect((await client.delete(prefixRange(''))).deleted).toBe(2);

      const [address = ''] = cluster.addresses;
      const { members } = await client.memberList();
      expect(members.map(({ clientUrls }) => clientUrls)).toEqual([[cluster.endpoints]]);
      const status = await client.status(address);
      expect(status.leader).toBe(members[0]?.id);
      expect((await client.hashKV(address)).header?.revision).toBe(5);

      const { id, ttl } = await client.grant({ id: 77n, ttl: 60 });
      expect([id, ttl]).toEqual([77n, 60]);
      await client.put({ key: 'leased', value: 'v', lease: id });
      expect((await client.keepAliveOnce(id)).ttl).toBe(60);
      expect((await client.leases()).leases).toEqual([{ id }]);
      expect(await client.timeToLive(id, { keys: true })).toMatchObject({ grantedTtl: 60 });
      await client.revoke(id);
      expect(await client.get('leased')).toBeUndefined();
      expect((await client.timeToLive(id)).ttl).toBe(-1);

      await client.compact(5);
      const iterator = client.watch({ key: 'a', startRevision: 2 })[Symbol.asyncIterator]();
      const error: unknown = await iterator.next().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(CompactedError);
      expect(error).toMatchObject({ compactRevision: 5 });
    });

    test('large revisions are cut by the server and told whole', async () => {
      const value = 'v'.repeat(300 * 1024);
      const watcher = client.watch({ ...prefixRange('f/'), fragment: true, prevKv: true });
      const { header } = await client.put('f/0', value);
      const put = (i: number) => op.put({ key: `f/${i}`, value });
      for (let i = 0; i < 3; i++) await client.txn({ success: [0, 1, 2, 3].map(put) });
      const batches: number[][] = [];
      for await (const { events } of watcher) {
        batches.push(events.map(({ kv }) => kv?.modRevision ?? 0));
        if (batches.flat().length >= 13) break;
      }
      const first = header?.revision ?? 0;
      expect(batches.flat()).toEqual([0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3].map((i) => first + i));
      for (const batch of batches) expect(new Set(batch).size).toBe(1);
    });
  });
}
