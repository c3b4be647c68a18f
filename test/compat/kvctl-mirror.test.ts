/** `make-mirror` of kvctl beside that of etcdctl: what comes of the same changes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fromUtf8, utf8 } from '../../src/base/bytes.ts';
import { Client, op } from '../../src/client/index.ts';
import { prefixRange } from '../../src/client/range-end.ts';
import type { ClusterProcess } from '../support/cluster-process.ts';
import { runCommand } from '../support/command.ts';
import { etcdMissing, etcdVersion, startEtcd } from '../support/etcd.ts';
import { startQuorate } from '../support/quorate.ts';
import { etcdctlMissing } from './kvctl/sides.ts';

const launcher = join(import.meta.dirname, '..', '..', 'bin', 'kvctl.js');

/** The last of the changes: what the mirror has to have in the end. */
const lastKey = 'app/last';
/** How long a mirror may take, in milliseconds. */
const mirrorTimeoutMs = 20_000;

const programs = [
  { name: 'kvctl', command: [process.execPath, launcher] },
  { name: 'etcdctl', command: ['etcdctl'] },
];

/** Flags, and the name that {@link lastKey} has at the destination with them. */
const ways: readonly (readonly [readonly string[], string])[] = [
  [[], lastKey],
  [['--prefix', 'app/'], lastKey],
  [['--prefix', 'app/', '--dest-prefix', 'copy/'], 'copy/last'],
  [['--prefix', 'app/', '--no-dest-prefix'], 'last'],
  [['--dest-prefix', 'all/'], `all/${lastKey}`],
];

/** More than one page of keys, and values that are no text. */
async function prepare(source: Client): Promise<void> {
  const keys = Array.from({ length: 1100 }, (_, i) => `app/${i}`);
  for (let at = 0; at < keys.length; at += 100) {
    const some = keys.slice(at, at + 100);
    await source.txn({ success: some.map((key) => op.put({ key, value: `of ${key}` })) });
  }
  await source.put('app/bytes', Uint8Array.of(0, 0xff, 10));
  await source.put('other', 'one');
}

async function change(source: Client): Promise<void> {
  await source.put('app/1', 'changed');
  await source.delete({ key: 'app/2' });
  await source.delete({ ...prefixRange('app/10') });
  await source.txn({
    success: [op.put({ key: 'app/new', value: 'together' }), op.delete({ key: 'app/3' })],
  });
  await source.put('other', 'two');
  await source.put(lastKey, 'end');
}

function start(command: readonly string[], source: string, args: readonly string[]): ChildProcess {
  const [program = '', ...first] = command;
  const environment = { PATH: process.env['PATH'], ETCDCTL_API: '3', ETCDCTL_ENDPOINTS: source };
  return spawn(program, [...first, 'make-mirror', ...args], { env: environment, stdio: 'ignore' });
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + mirrorTimeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('the mirror does not get there');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Everything that a cluster has. */
async function contents(client: Client): Promise<Record<string, string>> {
  const { kvs } = await client.range(prefixRange(''));
  return Object.fromEntries(
    kvs.map(({ key, value }) => [fromUtf8(key), Buffer.from(value).toString('latin1')]),
  );
}

describe('make-mirror', () => {
  let clusters: ClusterProcess[] = [];
  let [source, destination] = ['', ''];

  beforeAll(async () => {
    // Between an etcd and Quorate, where there is an etcd.
    const startSource = etcdVersion === undefined ? startQuorate : startEtcd;
    clusters = await Promise.all([startSource(), startQuorate()]);
    [source = '', destination = ''] = clusters.map(({ addresses }) => addresses[0] ?? '');
  });

  afterAll(async () => {
    await Promise.all(clusters.map((cluster) => cluster.stop()));
  });

  /** What the destination has after all changes, begun with an empty one. */
  async function mirrored(
    command: readonly string[],
    args: readonly string[],
    last: string,
  ): Promise<Record<string, string>> {
    await using from = new Client({ endpoints: source });
    await using to = new Client({ endpoints: destination });
    await from.delete(prefixRange(''));
    await to.delete(prefixRange(''));
    await prepare(from);
    const child = start(command, source, [...args, destination]);
    try {
      const copied = last.replace(/last$/, 'bytes');
      await until(async () => (await to.get(copied)) !== undefined);
      await change(from);
      await until(async () => (await to.get(last)) !== undefined);
    } finally {
      child.kill('SIGKILL');
    }
    return await contents(to);
  }

  const available = etcdctlMissing === '' ? programs : programs.slice(0, 1);

  test(
    `copies and follows alike${etcdctlMissing}${etcdMissing}`,
    { timeout: 240_000 },
    async () => {
      for (const [args, last] of ways) {
        const results = [];
        for (const { command } of available) results.push(await mirrored(command, args, last));
        const [ours, theirs = ours] = results;
        expect(ours, args.join(' ')).toEqual(theirs);
        expect(ours?.[last], args.join(' ')).toBe('end');
        expect(Object.keys(ours ?? {}).length).toBeGreaterThan(900);
      }
    },
  );

  test('goes on from a revision, divided as the destination allows', async () => {
    await using from = new Client({ endpoints: source });
    await using to = new Client({ endpoints: destination });
    await to.delete(prefixRange(''));
    const { header } = await from.put('app/before', 'not mirrored');
    const keys = ['a', 'b', 'c', 'd', 'e'].map((name) => `app/${name}`);
    await from.txn({ success: keys.map((key) => op.put({ key, value: utf8(key) })) });
    const revision = (header?.revision ?? 0) + 1;
    const args = ['--rev', String(revision), '--max-txn-ops', '2', '--prefix', 'app/'];
    const child = start([process.execPath, launcher], source, [...args, destination]);
    try {
      await until(async () => (await to.get('app/e')) !== undefined);
    } finally {
      child.kill('SIGKILL');
    }
    const { kvs } = await to.range(prefixRange(''));
    expect(kvs.map(({ key }) => fromUtf8(key))).toEqual(keys);
    const [first = 0, ...later] = kvs.map(({ modRevision }) => modRevision);
    expect(later.map((each) => each - first)).toEqual([0, 1, 1, 2]);
  });

  test('ends with what a cluster says', async () => {
    await using from = new Client({ endpoints: source });
    const { header } = await from.put('app/x', 'y');
    await from.compact(header?.revision ?? 0);
    const args = [launcher, 'make-mirror', '--rev', '2', destination];
    const environment = { ETCDCTL_ENDPOINTS: source };
    const { code, stderr } = await runCommand(process.execPath, args, { environment });
    expect(code).toBe(1);
    expect(stderr).toMatch(/Error: etcdserver: mvcc: required revision has been compacted\n$/);
  });
});
