/**
 * Snapshots both ways: what Quorate holds is taken to an etcd with etcd's own tools, and what etcd
 * holds to a Quorate with ours, by real processes. Both must then serve the same past and present.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { SeededRandom } from '../../src/base/random.ts';
import { Client, compare, op, prefixRange } from '../../src/client/index.ts';
import type { ClusterProcess } from '../support/cluster-process.ts';
import { runCommand, type CommandResult } from '../support/command.ts';
import { etcdctlFits, etcdVersion, hasEtcdctl, startEtcd } from '../support/etcd.ts';
import { kvctlPath, startQuorate } from '../support/quorate.ts';

const missing =
  etcdVersion !== undefined && hasEtcdctl ? '' : ' (skipped: there is no etcd or etcdctl in PATH)';
const directory = mkdtempSync(join(tmpdir(), 'quorate-snapshots-'));
const pathOf = (name: string): string => join(directory, name);
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const environment = { ETCDCTL_API: '3' };
const etcdctl = (...args: string[]): Promise<CommandResult> =>
  runCommand('etcdctl', args, { environment });
const kvctl = (...args: string[]): Promise<CommandResult> =>
  runCommand(process.execPath, [kvctlPath, ...args]);

async function done(result: Promise<CommandResult>): Promise<string> {
  const { code, stdout, stderr } = await result;
  expect(code, stderr).toBe(0);
  return stdout.toString();
}

type Tool = typeof etcdctl;

interface Status {
  readonly hash: number;
  readonly revision: number;
  readonly totalSize: number;
}

async function statusOf(tool: Tool, file: string): Promise<Status> {
  return JSON.parse(await done(tool('snapshot', 'status', file, '-w', 'json'))) as Status;
}

/** Users and roles as etcdctl lists them. */
async function usersOf({ endpoints }: ClusterProcess): Promise<readonly string[]> {
  const lists = [
    ['user', 'list'],
    ['role', 'list'],
    ['user', 'get', 'alice', '--detail'],
    ['user', 'get', 'bob', '--detail'],
  ];
  const said: string[] = [];
  for (const list of lists) said.push(await done(etcdctl('--endpoints', endpoints, ...list)));
  return said;
}

/** A new cluster whose members all begin with a snapshot, but for those left out. */
function restored(
  start: typeof startEtcd,
  tool: Tool,
  file: string,
  options: { members: number; flags?: readonly string[]; empty?: readonly string[] },
): Promise<ClusterProcess> {
  const { members, flags = [], empty = [] } = options;
  const base = mkdtempSync(pathOf('cluster-'));
  return start({
    members,
    dataDir: (name) => join(base, name),
    advertise: async (urls) => {
      const names = urls.map((_, i) => `m${i + 1}`);
      const cluster = urls.map((url, i) => `m${i + 1}=${url}`).join(',');
      for (const [i, name] of names.entries()) {
        if (empty.includes(name)) continue;
        await done(
          tool(
            ...['snapshot', 'restore', file, '--name', name, '--data-dir', join(base, name)],
            ...['--initial-cluster', cluster],
            ...['--initial-advertise-peer-urls', urls[i] ?? '', ...flags],
          ),
        );
      }
      return urls;
    },
  });
}

/** Writes a history with deletions, transactions, large and binary values, and a compaction. */
async function write(endpoints: readonly string[]): Promise<void> {
  await using client = new Client({ endpoints });
  const random = new SeededRandom(7);
  const key = (): string => `key/${random.below(40)}`;
  for (let i = 0; i < 300; i++) {
    const kind = random.below(6);
    if (kind === 0) await client.delete(key());
    else if (kind === 1) await client.delete(prefixRange(`key/${random.below(4)}`));
    else if (kind === 2) {
      const [one, other] = [key(), `other/${random.below(10)}`];
      await client.txn({
        compare: [compare.version(one, '>', 0)],
        success: [op.put({ key: one, value: 'a' }), op.put({ key: other, value: 'b' })],
        failure: [op.put({ key: other, value: 'c' }), op.delete({ key: one })],
      });
    } else await client.put(key(), Buffer.alloc(random.below(300), random.below(256)));
    if (i === 150) {
      const { header } = await client.put('compacted', 'here');
      await client.compact(header?.revision ?? 0);
    }
  }
  await client.put('large', Buffer.alloc(1_000_000, 'x'));
  await client.put(Buffer.from([0xff, 0x00, 0xfe]), Buffer.from([0x00]));
}

interface Contents {
  readonly revision: number;
  readonly compacted: number;
  readonly hash: number;
  readonly past: unknown;
}

/** Everything that can be asked of a member. */
async function contentsOf(endpoint: string): Promise<Contents> {
  await using client = new Client({ endpoints: [endpoint] });
  const all = { key: '\0', rangeEnd: '\0' };
  const { header } = await client.range({ ...all, countOnly: true });
  const revision = header?.revision ?? 0;
  const { hash, compactRevision: compacted } = await client.hashKV(endpoint, { revision });
  const past: unknown[] = [];
  for (let at = Math.max(1, compacted); at <= revision; at++) {
    const { kvs } = await client.range({ ...all, revision: at });
    past.push(
      kvs.map((kv) => [
        ...[kv.key, kv.value].map((bytes) => Buffer.from(bytes).toString('latin1')),
        ...[kv.createRevision, kv.modRevision, kv.version],
      ]),
    );
  }
  if (compacted > 1) {
    const before = client.range({ ...all, revision: compacted - 1 });
    await expect(before).rejects.toThrow('required revision has been compacted');
  }
  return { revision, compacted, hash, past };
}

/** That it goes on from there: writes, a compaction, and watching from the oldest revision. */
async function expectToGoOn(endpoint: string, { revision, compacted }: Contents): Promise<void> {
  await using client = new Client({ endpoints: [endpoint] });
  const { header } = await client.put('after', 'it');
  expect(header?.revision).toBe(revision + 1);
  const seen = new Set<number>();
  const range = { key: '\0', rangeEnd: '\0', startRevision: Math.max(compacted, 1) };
  for await (const { events } of client.watch(range)) {
    for (const { kv } of events) seen.add(kv?.modRevision ?? 0);
    if (seen.has(revision + 1)) break;
  }
  expect(seen.size).toBeGreaterThanOrEqual(revision + 1 - compacted);
  await client.compact(revision + 1);
  const { kvs } = await client.range({ key: 'after' });
  expect(kvs[0]?.version).toBe(1);
}

describe.skipIf(missing !== '')(`with etcd ${etcdVersion ?? ''}${missing}`, () => {
  const timeout = 120_000;

  const other = etcdctlFits ? '' : ' (skipped: etcdctl is of another version)';
  test.skipIf(!etcdctlFits)(
    `a Quorate becomes an etcd by etcdctl${other}`,
    { timeout },
    async () => {
      const ours = await startQuorate({ members: 3 });
      let contents: Contents;
      const file = pathOf('ours.db');
      try {
        await write(ours.addresses);
        const [first = '', , last = ''] = ours.addresses;
        contents = await contentsOf(last);
        const saved = await etcdctl(`--endpoints=${first}`, 'snapshot', 'save', file);
        expect(saved.code, saved.stderr).toBe(0);
      } finally {
        await ours.stop();
      }
      const { hash, revision, totalSize } = await statusOf(etcdctl, file);
      const version = '3.6.0';
      expect(await statusOf(kvctl, file)).toMatchObject({ hash, revision, totalSize, version });
      expect(revision).toBe(contents.revision);
      const etcd = await restored(startEtcd, etcdctl, file, { members: 1 });
      try {
        const [address = ''] = etcd.addresses;
        expect(await contentsOf(address)).toEqual(contents);
        await expectToGoOn(address, contents);
      } finally {
        await etcd.stop();
      }
    },
  );

  test('an etcd becomes a Quorate of three members', { timeout }, async () => {
    const etcd = await startEtcd();
    let contents: Contents;
    const file = pathOf('theirs.db');
    try {
      await write(etcd.addresses);
      contents = await contentsOf(etcd.addresses[0] ?? '');
      await done(kvctl('--endpoints', etcd.endpoints, 'snapshot', 'save', file));
    } finally {
      await etcd.stop();
    }
    const { hash, revision, totalSize } = await statusOf(etcdctl, file);
    expect(await statusOf(kvctl, file)).toMatchObject({ hash, revision, totalSize });
    const ours = await restored(startQuorate, kvctl, file, { members: 3 });
    try {
      for (const address of ours.addresses) {
        expect(await contentsOf(address)).toEqual(contents);
      }
      await expectToGoOn(ours.addresses[1] ?? '', contents);
      for (const member of ours.members) {
        await member.kill();
        await member.start();
        await member.ready();
      }
      await using client = new Client({ endpoints: ours.addresses });
      expect((await client.range({ key: 'after' })).count).toBe(1);
    } finally {
      await ours.stop();
    }
  });

  test.skipIf(!etcdctlFits)(
    `users and roles go to a Quorate and back${other}`,
    { timeout },
    async () => {
      const [there, back] = [pathOf('users.db'), pathOf('users-again.db')];
      const etcd = await startEtcd();
      let before: readonly string[];
      try {
        const run = (...args: string[]): Promise<string> =>
          done(etcdctl('--endpoints', etcd.endpoints, ...args));
        await run('user', 'add', 'alice:secret');
        await run('user', 'add', 'bob', '--no-password');
        await run('role', 'add', 'readers');
        await run('role', 'grant-permission', 'readers', '--prefix=true', 'read', 'key/');
        await run('user', 'grant-role', 'alice', 'readers');
        before = await usersOf(etcd);
        await run('snapshot', 'save', there);
      } finally {
        await etcd.stop();
      }
      const ours = await restored(startQuorate, kvctl, there, { members: 3 });
      try {
        await write(ours.addresses);
        await done(kvctl('--endpoints', ours.addresses[1] ?? '', 'snapshot', 'save', back));
      } finally {
        await ours.stop();
      }
      const again = await restored(startEtcd, etcdctl, back, { members: 1 });
      try {
        expect(await usersOf(again)).toEqual(before);
        const asAlice = ['--endpoints', again.endpoints, '--user', 'alice:secret'];
        const run = (...args: string[]): Promise<string> =>
          done(etcdctl('--endpoints', again.endpoints, ...args));
        await run('user', 'add', 'root:root');
        await run('role', 'add', 'root');
        await run('user', 'grant-role', 'root', 'root');
        await run('auth', 'enable');
        await done(etcdctl(...asAlice, 'get', 'key/', '--prefix', '--keys-only'));
        const denied = await etcdctl(...asAlice, 'get', 'large', '--keys-only');
        expect(denied.stderr).toContain('permission denied');
      } finally {
        await again.stop();
      }
    },
  );
});

describe('by kvctl alone', () => {
  const timeout = 120_000;

  test('a cluster is saved and restored, later revisions included', { timeout }, async () => {
    const first = await startQuorate();
    let contents: Contents;
    const file = pathOf('own.db');
    try {
      await write(first.addresses);
      contents = await contentsOf(first.addresses[0] ?? '');
      const said = await done(kvctl('--endpoints', first.endpoints, 'snapshot', 'save', file));
      expect(said).toBe(`Snapshot saved at ${file}\nServer version 3.6.0\n`);
    } finally {
      await first.stop();
    }
    const flags = ['--bump-revision', '1000', '--mark-compacted'];
    // One member is not restored: it gets what the others have.
    const options = { members: 3, flags, empty: ['m2'] };
    const second = await restored(startQuorate, kvctl, file, options);
    try {
      for (const address of second.addresses) {
        const { revision, compacted, past } = await contentsOf(address);
        expect([revision, compacted]).toEqual([contents.revision + 1000, revision]);
        expect(past).toEqual([(contents.past as unknown[]).at(-1)]);
      }
      const hashes = await Promise.all(second.addresses.map(contentsOf));
      expect(new Set(hashes.map(({ hash }) => hash)).size).toBe(1);
      const [some] = hashes;
      if (some === undefined) throw new Error('no member');
      await expectToGoOn(second.addresses[1] ?? '', { ...some, compacted: some.revision });
    } finally {
      await second.stop();
    }
  });
});
