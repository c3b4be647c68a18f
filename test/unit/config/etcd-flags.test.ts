/** Refusals compared with those of a real etcd, where there is one to ask. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseConfig } from '../../../src/config/parse.ts';

const found = spawnSync('etcd', ['--version'], { encoding: 'utf8' });
const available = found.error === undefined && found.status === 0;

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'quorate-etcd-flags-'));
});

afterAll(() => {
  rmSync(directory, { recursive: true });
});

interface Refusal {
  readonly code: number | null;
  readonly message: string;
}

function refusalOfEtcd(args: readonly string[]): Refusal {
  const all = ['--data-dir', join(directory, 'd'), '--logger=zap', '--log-outputs=stderr', ...args];
  const { status, stderr } = spawnSync('etcd', all, { encoding: 'utf8', timeout: 10_000 });
  const lines = stderr.split('\n');
  if (status === 2) return { code: status, message: lines[0] ?? '' };
  for (const line of lines) {
    if (!line.startsWith('{')) continue;
    const { msg, error } = JSON.parse(line) as { msg: string; error?: string };
    if (msg === 'failed to verify flags') return { code: status, message: error ?? '' };
  }
  return { code: status, message: stderr };
}

function ourRefusal(args: readonly string[]): Refusal {
  const result = parseConfig(args, {});
  if (result.kind === 'usage') return { code: 2, message: result.message.split('\n')[0] ?? '' };
  return { code: 1, message: result.kind === 'invalid' ? result.message : result.kind };
}

describe.skipIf(!available)('refused as by etcd', () => {
  test.each([
    [['--foo']],
    [['--name']],
    [['---x']],
    [['--=x']],
    [['--snapshot-count=x']],
    [['--snapshot-count=-1']],
    [['--snapshot-count=1.5']],
    [['--snapshot-count=']],
    [['--pre-vote=x']],
    [['--pre-vote=']],
    [['--heartbeat-interval=2000000000000000000000']],
    [['--heartbeat-interval=0']],
    [['--election-timeout=0']],
    [['--election-timeout=200']],
    [['--election-timeout=60000']],
    [['--grpc-keepalive-min-time=5']],
    [['--grpc-keepalive-timeout=']],
    [['--max-concurrent-streams=x']],
    [['--max-concurrent-streams=4294967296']],
    [['--quota-backend-bytes=99999999999999999999']],
    [['--initial-cluster-state=foo']],
    [['--auto-compaction-mode=x']],
    [['--listen-client-urls=foo']],
    [['--listen-client-urls=ftp://127.0.0.1:1']],
    [['--listen-peer-urls=http://127.0.0.1']],
    [['--listen-peer-urls=http://127.0.0.1:1/a']],
    [['--advertise-client-urls=http://a']],
    [['--cors=abc']],
    [['--listen-client-urls=http://127.0.0.1:1']],
    [['--listen-client-urls=http://example.com:1', '--advertise-client-urls=http://a:1']],
  ])('%j', (args) => {
    expect(ourRefusal(args)).toEqual(refusalOfEtcd(args));
  });
});
