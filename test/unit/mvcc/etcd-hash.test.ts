/** The same history in an etcd, if there is one on this machine, and in the store: one hash. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { utf8 } from '../../../src/base/bytes.ts';
import type { KeyValueHash } from '../../../src/mvcc/hash.ts';
import { ManualClock, MapBackend, openStore } from './fakes.ts';

const hasEtcd = spawnSync('etcd', ['--version']).status === 0;

type Step =
  | { readonly put: string; readonly value: string; readonly lease?: true }
  | { readonly delete: string; readonly end?: string }
  | { readonly compact: number };

const histories: Record<string, readonly Step[]> = {
  'puts, deletes and a lease': [
    { put: 'a', value: '1' },
    { put: 'b', value: 'x'.repeat(300) },
    { put: 'a', value: '2' },
    { put: 'k', value: 'leased', lease: true },
    { delete: 'a' },
    { put: 'c', value: '3' },
    { put: 'd', value: '4' },
    { delete: 'b', end: 'd' },
    { put: 'a', value: '' },
  ],
  'a compaction in the midst of keys with a past': [
    { put: 'a', value: '1' },
    { put: 'a', value: '2' },
    { put: 'b', value: '1' },
    { put: 'b', value: '2' },
    { delete: 'a' },
    { put: 'c', value: '1' },
    { compact: 5 },
    { put: 'b', value: '3' },
    { put: 'a', value: '3' },
    { delete: 'c' },
  ],
  'a compaction at a delete': [
    { put: 'a', value: '1' },
    { put: 'b', value: '1' },
    { delete: 'a' },
    { compact: 4 },
    { put: 'b', value: '2' },
    { put: 'b', value: '3' },
    { compact: 5 },
    { put: 'd', value: '3' },
  ],
};

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

class Etcd {
  readonly #process: ChildProcess;
  readonly #directory: string;
  readonly #endpoint: string;

  constructor(process: ChildProcess, directory: string, endpoint: string) {
    this.#process = process;
    this.#directory = directory;
    this.#endpoint = endpoint;
  }

  static async start(): Promise<Etcd> {
    const directory = mkdtempSync(join(tmpdir(), 'etcd-hash-'));
    const client = `http://127.0.0.1:${await freePort()}`;
    const peer = `http://127.0.0.1:${await freePort()}`;
    const etcd = spawn(
      'etcd',
      [
        ['--data-dir', directory, '--name', 'm'],
        ['--listen-client-urls', client, '--advertise-client-urls', client],
        ['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
        ['--initial-cluster', `m=${peer}`],
      ].flat(),
      { stdio: 'ignore' },
    );
    const started = new Etcd(etcd, directory, client);
    for (let attempts = 0; attempts < 50; attempts++) {
      if (started.run('--command-timeout=1s', 'endpoint', 'health').status === 0) return started;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error('etcd did not start');
  }

  run(...parameters: string[]): { status: number | null; stdout: string } {
    const result = spawnSync('etcdctl', ['--endpoints', this.#endpoint, ...parameters], {
      encoding: 'utf8',
      env: { ...process.env, ETCDCTL_API: '3' },
    });
    return { status: result.status, stdout: result.stdout };
  }

  grant(): bigint {
    const found = /lease ([0-9a-f]+) granted/.exec(this.run('lease', 'grant', '1000').stdout);
    return BigInt(`0x${found?.[1] ?? '0'}`);
  }

  hash(revision: number): { hash: number; compactRevision: number } {
    const { stdout } = this.run('endpoint', 'hashkv', '--rev', String(revision), '-w', 'json');
    const [answer] = JSON.parse(stdout) as {
      HashKV: { hash: number; compact_revision?: number };
    }[];
    return {
      hash: answer?.HashKV.hash ?? 0,
      compactRevision: answer?.HashKV.compact_revision ?? 0,
    };
  }

  async stop(): Promise<void> {
    const exited = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill();
    await exited;
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Etcd keeps one history for good, so each takes up where the one before it ended. */
describe.skipIf(!hasEtcd)('the hash of a history', () => {
  let etcd: Etcd;
  beforeAll(async () => {
    etcd = await Etcd.start();
  }, 20_000);
  afterAll(async () => {
    await etcd.stop();
  });

  const clock = new ManualClock();
  const store = openStore({ backend: new MapBackend(), clock });

  function apply(step: Step, base: number): void {
    if ('compact' in step) {
      const revision = base + step.compact - 1;
      etcd.run('compaction', '--physical', String(revision));
      store.compact(revision);
      return;
    }
    const txn = store.begin();
    if ('put' in step) {
      const lease = step.lease === true ? etcd.grant() : 0n;
      const leased = lease === 0n ? [] : [`--lease=${lease.toString(16)}`];
      etcd.run('put', ...leased, '--', step.put, step.value);
      txn.put(step.put, utf8(step.value), lease);
    } else {
      etcd.run('del', step.delete, ...(step.end === undefined ? [] : [step.end]));
      txn.deleteRange(step.delete, step.end);
    }
    txn.end();
  }

  function ourHash(revision: number): KeyValueHash | undefined {
    let found: KeyValueHash | undefined;
    store.hashByRevision(revision, (error, hash) => {
      if (error !== undefined) throw error;
      found = hash;
    });
    clock.settle();
    return found;
  }

  test.each(Object.keys(histories))(
    '%s is that of etcd',
    (name) => {
      const base = store.revision;
      for (const step of histories[name] ?? []) apply(step, base);
      // Etcd 3.4 refuses the compacted revision itself; 3.6 does not.
      const oldest = Math.max(store.compactedRevision, 0) + 1;
      for (let revision = oldest; revision <= store.revision; revision++) {
        const { hash, compactRevision } = etcd.hash(revision);
        const ours = ourHash(revision);
        expect({ revision, hash: ours?.hash }).toEqual({ revision, hash });
        expect(ours?.compactedRevision).toBe(compactRevision);
      }
      expect(ourHash(0)?.hash).toBe(etcd.hash(0).hash);
      while (store.compactionStep() === 'more');
      expect(ourHash(0)?.hash).toBe(etcd.hash(0).hash);
    },
    30_000,
  );
});
