/** etcd's own command line, unchanged, against every member. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ClusterProcess, MemberProcess } from '../support/cluster-process.ts';
import { hasEtcdctl } from '../support/etcd.ts';
import { startQuorate } from '../support/quorate.ts';

const execute = promisify(execFile);
const missing = hasEtcdctl ? '' : ' (skipped: there is no etcdctl in PATH)';
const environment = { PATH: process.env['PATH'], ETCDCTL_API: '3' };

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

/** Runs etcdctl against one member alone. */
async function etcdctl({ address }: MemberProcess, ...args: string[]): Promise<Outcome> {
  const all = [`--endpoints=${address}`, ...args];
  try {
    const { stdout, stderr } = await execute('etcdctl', all, { env: environment });
    return { stdout, stderr, code: 0 };
  } catch (error) {
    const { stdout, stderr, code } = error as Outcome;
    return { stdout, stderr, code };
  }
}

async function etcdctlReading(member: MemberProcess, input: string): Promise<Outcome> {
  const child = spawn('etcdctl', [`--endpoints=${member.address}`, 'txn'], { env: environment });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number];
  return { stdout, stderr, code };
}

/** Reads lines of a watch until so many have come. */
async function watchLines(member: MemberProcess, args: string[], count: number): Promise<string[]> {
  const child = spawn('etcdctl', [`--endpoints=${member.address}`, 'watch', ...args], {
    env: environment,
  });
  let text = '';
  try {
    for await (const chunk of child.stdout) {
      text += String(chunk);
      if (text.split('\n').length > count) break;
    }
  } finally {
    child.kill();
  }
  return text.split('\n').slice(0, count);
}

describe.skipIf(!hasEtcdctl)(`etcdctl${missing}`, () => {
  let cluster: ClusterProcess;

  beforeAll(async () => {
    cluster = await startQuorate({ members: 3 });
  });

  afterAll(() => cluster.stop());

  async function done(member: MemberProcess, ...args: string[]): Promise<string> {
    const { stdout, stderr, code } = await etcdctl(member, ...args);
    expect(`${stderr}${code}`).toBe('0');
    return stdout;
  }

  async function revision(member: MemberProcess): Promise<number> {
    const status = await done(member, 'get', 'none', '-w', 'json');
    return (JSON.parse(status) as { header: { revision: number } }).header.revision;
  }

  describe.each([0, 1, 2])('through member %i', (number) => {
    const member = (): MemberProcess => cluster.members[number] as MemberProcess;
    const prefix = `member-${number}/`;

    test('put, get and del', async () => {
      expect(await done(member(), 'put', `${prefix}a`, '1')).toBe('OK\n');
      expect(await done(member(), 'put', `${prefix}a`, '2', '--prev-kv')).toBe(
        `OK\n${prefix}a\n1\n`,
      );
      expect(await done(member(), 'put', `${prefix}b`, '3')).toBe('OK\n');
      for (const each of cluster.members) {
        expect(await done(each, 'get', prefix, '--prefix')).toBe(`${prefix}a\n2\n${prefix}b\n3\n`);
      }
      expect(await done(member(), 'del', prefix, '--prefix')).toBe('2\n');
      expect(await done(member(), 'get', prefix, '--prefix')).toBe('');
    });

    test('txn', async () => {
      const script = `ver("${prefix}t") = "0"\n\nput ${prefix}t made\nget ${prefix}t\n\nget x\n\n`;
      const { stdout, code } = await etcdctlReading(member(), script);
      expect(code).toBe(0);
      expect(stdout).toBe(`SUCCESS\n\nOK\n\n${prefix}t\nmade\n`);
    });

    test('watch, from the past and live', async () => {
      const key = `${prefix}w`;
      await done(member(), 'put', key, 'old');
      const start = await revision(member());
      const watching = watchLines(member(), [key, `--rev=${start}`], 8);
      await done(member(), 'put', key, 'new');
      await done(member(), 'del', key);
      expect(await watching).toEqual(['PUT', key, 'old', 'PUT', key, 'new', 'DELETE', key]);
    });

    test('compaction', async () => {
      const key = `${prefix}c`;
      await done(member(), 'put', key, 'old');
      await done(member(), 'put', key, 'new');
      const at = await revision(member());
      expect(await done(member(), 'compaction', String(at))).toBe(`compacted revision ${at}\n`);
      const late = await etcdctl(member(), 'get', key, `--rev=${at - 1}`);
      expect(late.code).toBe(1);
      expect(late.stderr).toContain(
        'Error: etcdserver: mvcc: required revision has been compacted',
      );
    });

    test('member list', async () => {
      const lines = (await done(member(), 'member', 'list')).trim().split('\n').sort();
      const parts = lines.map((line) => line.split(', '));
      for (const [id, status, , , , isLearner] of parts) {
        expect(id).toMatch(/^[0-9a-f]{1,16}$/);
        expect([status, isLearner]).toEqual(['started', 'false']);
      }
      const urls = cluster.members.map(({ name, peerUrl, clientUrl }) =>
        [name, peerUrl, clientUrl].join(),
      );
      expect(parts.map((line) => line.slice(2, 5).join()).sort()).toEqual(urls.sort());
    });

    test('endpoint status and health', async () => {
      const status = (await done(member(), 'endpoint', 'status')).trim().split(', ');
      expect(status[0]).toBe(member().address);
      expect(status[2]).toMatch(/^3\.6\.\d+$/);
      // 3.4 tells it on standard error, later versions on standard output.
      const { stdout, stderr, code } = await etcdctl(member(), 'endpoint', 'health');
      expect(code).toBe(0);
      expect(stdout + stderr).toMatch(
        new RegExp(`^${member().address} is healthy: successfully committed proposal: took = `),
      );
      const all = await done(member(), 'endpoint', 'status', '--cluster', '-w', 'json');
      const leads = (JSON.parse(all) as { Status: Record<string, unknown> }[]).map(
        ({ Status }) => Status['leader'],
      );
      expect(leads.length).toBe(3);
      expect(new Set(leads).size).toBe(1);
    });
  });

  test('members live on when clients break off', async () => {
    const endpoints = `--endpoints=${cluster.addresses.join(',')}`;
    const run = (...args: string[]): Promise<unknown> =>
      execute('etcdctl', [endpoints, ...args], { env: environment });
    for (let round = 0; round < 60; round++) {
      await run('endpoint', 'status', '--cluster');
      await run('endpoint', 'health');
      await run('put', 'a', 'b');
    }
    for (const member of cluster.members) expect(member.endings).toEqual([]);
  });
});
