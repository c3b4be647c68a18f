/** Locks and elections of programs, with real members, ours and etcd's. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fromUtf8 } from '../../src/base/bytes.ts';
import {
  Client,
  ClientError,
  type HeldLock,
  op,
  prefixRange,
  StatusCode,
} from '../../src/client/index.ts';
import type { ClusterProcess, MemberProcess } from '../support/cluster-process.ts';
import { startQuorate } from '../support/quorate.ts';
import { servers } from '../support/servers.ts';

const launcher = join(import.meta.dirname, '..', '..', 'bin', 'kvctl.js');

/** A run of kvctl that goes on by itself. */
class Kvctl {
  readonly #child: ChildProcess;
  stdout = '';
  stderr = '';

  constructor(endpoint: string, ...args: readonly string[]) {
    const all = [launcher, '--endpoints', endpoint, ...args];
    this.#child = spawn(process.execPath, all, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stdout?.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
  }

  async says(text: string | RegExp): Promise<void> {
    const found = (): boolean =>
      typeof text === 'string' ? this.stdout.includes(text) : text.test(this.stdout);
    while (!found()) {
      if (this.#child.exitCode !== null) throw new Error(`ended: ${this.stdout}${this.stderr}`);
      await delay(20);
    }
  }

  interrupt(): void {
    this.#child.kill('SIGINT');
  }

  async code(): Promise<number | null> {
    if (this.#child.exitCode === null) await once(this.#child, 'close');
    return this.#child.exitCode;
  }

  get error(): string {
    return this.stderr.trimEnd().split('\n').at(-1) ?? '';
  }
}

async function keys(client: Client, prefix: string): Promise<string[]> {
  const { kvs } = await client.range(prefixRange(prefix));
  return kvs.map(({ key }) => fromUtf8(key));
}

async function untilKeys(client: Client, prefix: string, count: number): Promise<void> {
  while ((await keys(client, prefix)).length !== count) await delay(20);
}

describe.each(servers)('on $name', ({ name, start, isThere }) => {
  let cluster: ClusterProcess;
  let endpoint: string;
  let client: Client;

  beforeAll(async () => {
    if (!isThere) return;
    cluster = await start();
    endpoint = cluster.addresses[0] ?? '';
    client = new Client({ endpoints: endpoint });
  });

  afterAll(async () => {
    if (!isThere) return;
    await client.close();
    await cluster.stop();
  });

  test.skipIf(!isThere)(
    'kvctl waits for a lock, in turn, and leaves nothing behind',
    async () => {
      const held = await client.lock('a', { ttlSeconds: 30 });
      const second = new Kvctl(endpoint, 'lock', 'a');
      await untilKeys(client, 'a/', 2);
      const third = new Kvctl(endpoint, 'lock', 'a', '--', 'echo', 'third');
      await untilKeys(client, 'a/', 3);
      second.interrupt();
      expect(await second.code()).toBe(1);
      expect(second.error).toBe('Error: context canceled');
      expect(second.stdout).toBe('');
      expect((await keys(client, 'a/')).length).toBe(2);
      await held.unlock();
      expect(await third.code()).toBe(0);
      expect(third.stdout).toBe('third\n');
      expect(await keys(client, 'a/')).toEqual([]);
    },
    30_000,
  );

  test.skipIf(!isThere)(
    'kvctl ends a program when its lock is lost',
    async () => {
      const script =
        'trap "echo told; exit 3" TERM; echo $ETCD_LOCK_KEY; while :; do sleep 0.1; done';
      const run = new Kvctl(endpoint, 'lock', 'b', '--ttl', '3', '--', 'sh', '-c', script);
      await run.says(/^b\/[0-9a-f]+\n/);
      const kv = await client.get(run.stdout.trim());
      expect(kv?.lease).toBeGreaterThan(0n);
      await client.revoke(kv?.lease ?? 0n);
      expect(await run.code()).toBe(3);
      expect(run.stdout).toMatch(/told\n$/);
      expect(run.error).toBe('Error: exit status 3');
      expect(run.stderr).toContain('lease');
    },
    30_000,
  );

  test.skipIf(!isThere)('kvctl tells that a lock is lost', { timeout: 30_000 }, async () => {
    const lock = new Kvctl(endpoint, 'lock', 'c', '--ttl', '3');
    await lock.says(/^c\/[0-9a-f]+\n\n$/);
    for (const { lease } of (await client.range(prefixRange('c'))).kvs) await client.revoke(lease);
    expect(await lock.code()).toBe(1);
    expect(lock.error).toBe('Error: session expired');
  });

  // Of its lease of a minute a third passes before it is renewed, and so known to be lost.
  test.skipIf(name !== 'Quorate')(
    'kvctl tells that a leadership is lost',
    { timeout: 60_000 },
    async () => {
      const elect = new Kvctl(endpoint, 'elect', 'c', 'me');
      await elect.says(/^c\/[0-9a-f]+\nme\n$/);
      const { kvs } = await client.range(prefixRange('c'));
      for (const { lease } of kvs) await client.revoke(lease);
      expect(await elect.code()).toBe(1);
      expect(elect.error).toBe('Error: elect: session expired');
    },
  );

  test.skipIf(!isThere)(
    'kvctl tells of one leader after the other',
    async () => {
      const listening = new Kvctl(endpoint, 'elect', '-l', 'd');
      const first = new Kvctl(endpoint, 'elect', 'd', 'one');
      await first.says('one');
      await listening.says(/^d\/[0-9a-f]+\none\n$/);
      const second = new Kvctl(endpoint, 'elect', 'd', 'two');
      await untilKeys(client, 'd/', 2);
      first.interrupt();
      expect(await first.code()).toBe(0);
      await second.says(/^d\/[0-9a-f]+\ntwo\n$/);
      await listening.says(/two\n$/);
      listening.interrupt();
      second.interrupt();
      expect(await listening.code()).toBe(0);
      expect(await second.code()).toBe(0);
      expect(listening.stdout).toMatch(/^d\/[0-9a-f]+\none\nd\/[0-9a-f]+\ntwo\n$/);
      expect(await client.leader('d')).toBeUndefined();
    },
    30_000,
  );

  test.skipIf(!isThere)(
    'the library leads, proclaims, and is told what it lost',
    async () => {
      const seen: string[] = [];
      const over = new AbortController();
      const observing = (async () => {
        for await (const { kv } of client.observe('e', { signal: over.signal })) {
          seen.push(fromUtf8(kv.value));
        }
      })().catch((error: unknown) => error);
      const first = await client.campaign('e', 'a', { ttlSeconds: 30 });
      while (seen.length < 1) await delay(10);
      await first.proclaim('b');
      while (seen.length < 2) await delay(10);
      const giveUp = new AbortController();
      const unwanted = client.campaign('e', 'x', { signal: giveUp.signal });
      const second = client.campaign('e', 'c');
      await untilKeys(client, 'e/', 3);
      giveUp.abort(new Error('no time'));
      await expect(unwanted).rejects.toThrow('no time');
      await untilKeys(client, 'e/', 2);
      await client.revoke(first.leaseId);
      const leader = await second;
      expect(leader.token).toBeGreaterThan(first.token);
      await expect(first.proclaim('late')).rejects.toMatchObject({ code: StatusCode.notFound });
      const late = await client.txn({ compare: [first.condition], success: [] });
      expect(late.succeeded).toBe(false);
      while (seen.length < 3) await delay(10);
      await leader.resign();
      over.abort();
      await observing;
      expect(seen).toEqual(['a', 'b', 'c']);
    },
    30_000,
  );

  test.skipIf(!isThere)(
    'locks on one lease go with it, and one of them by itself',
    async () => {
      const lease = await client.lease(30);
      const one = await client.lock('f1', { lease });
      const two = await client.lock('f2', { lease });
      const again = await client.lock('f2', { lease });
      expect(again.token).toBe(two.token);
      await one.unlock();
      expect(await keys(client, 'f')).toEqual([`f2/${lease.id.toString(16)}`]);
      const waiting = client.lock('f2');
      await untilKeys(client, 'f2/', 2);
      await lease.revoke();
      await (await waiting).unlock();
      expect(await keys(client, 'f')).toEqual([]);
    },
    30_000,
  );
});

describe('while members are killed', () => {
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

  async function leader(): Promise<MemberProcess> {
    for (;;) {
      for (const [i, address] of cluster.addresses.entries()) {
        const status = await client.status(address).catch(() => undefined);
        const isLeader = status !== undefined && status.leader === status.header?.memberId;
        if (isLeader) return cluster.members[i] as MemberProcess;
      }
      await delay(100);
    }
  }

  test('fenced steps of one counter are made one after the other', async () => {
    const steps: { readonly token: number; readonly value: number }[] = [];
    const work = { goesOn: true, unknown: 0, late: 0 };

    /** One step under the lock; now and then by one that forgot that its lease had an end. */
    async function step(mine: Client, lock: HeldLock): Promise<void> {
      const kv = await mine.get('counter');
      const value = Number(fromUtf8(kv?.value ?? Buffer.of())) + 1;
      if (Math.random() < 0.1) await mine.revoke(lock.leaseId);
      try {
        const { succeeded } = await mine.txn({
          compare: [lock.condition],
          success: [op.put({ key: 'counter', value: String(value) })],
        });
        if (succeeded) steps.push({ token: lock.token, value });
        else work.late++;
      } catch (error) {
        if (error instanceof ClientError) work.unknown++;
        throw error;
      }
    }

    async function contend(i: number): Promise<void> {
      const { addresses } = cluster;
      const endpoints = [...addresses.slice(i % 3), ...addresses.slice(0, i % 3)];
      await using mine = new Client({ endpoints });
      while (work.goesOn) {
        try {
          await using lock = await mine.lock('counted', { ttlSeconds: 3 });
          await step(mine, lock);
        } catch (error) {
          if (!(error instanceof ClientError)) throw error;
          await delay(100);
        }
      }
    }

    const clients = Promise.all([0, 1, 2, 3].map(contend));
    for (let i = 0; i < 2; i++) {
      const before = steps.length;
      while (steps.length < before + 20) await delay(20);
      const member = await leader();
      await member.kill();
      while (steps.length < before + 40) await delay(20);
      await member.start();
      await member.ready();
    }
    work.goesOn = false;
    await clients;
    expect(work.late).toBeGreaterThan(0);
    const last = Number(fromUtf8((await client.get('counter'))?.value ?? Buffer.of()));
    const values = steps.map(({ value }) => value);
    expect(new Set(values).size).toBe(values.length);
    expect(last).toBeGreaterThanOrEqual(steps.length);
    expect(last).toBeLessThanOrEqual(steps.length + work.unknown);
    const ordered = steps.toSorted((a, b) => a.value - b.value).map(({ token }) => token);
    expect(ordered).toEqual(ordered.toSorted((a, b) => a - b));
    expect(await keys(client, 'counted/')).toEqual([]);
  }, 120_000);
});
