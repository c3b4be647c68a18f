import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseConfig, type ParseResult } from '../../../src/config/parse.ts';
import type { Config } from '../../../src/config/schema.ts';
import { checkBootstrap } from '../../../src/config/validate.ts';

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'quorate-config-'));
});

afterAll(() => {
  rmSync(directory, { recursive: true });
});

function file(text: string): string {
  const path = join(directory, `${Math.random()}.yaml`);
  writeFileSync(path, text);
  return path;
}

function started(args: readonly string[], environment: Record<string, string> = {}): Config {
  const result = parseConfig(args, environment);
  if (result.kind !== 'start') throw new Error(`not started: ${JSON.stringify(result)}`);
  return result.config;
}

function messageOf(result: ParseResult): string {
  if (result.kind === 'usage') return result.message.split('\n')[0] ?? '';
  return result.kind === 'invalid' ? result.message : result.kind;
}

function refusal(args: readonly string[], environment: Record<string, string> = {}): string {
  return messageOf(parseConfig(args, environment));
}

describe('defaults', () => {
  test('are those of etcd', () => {
    expect(started([])).toEqual({
      name: 'default',
      dataDir: 'default.etcd',
      listenPeerUrls: ['http://localhost:2380'],
      listenClientUrls: ['http://localhost:2379'],
      listenClientHttpUrls: [],
      listenMetricsUrls: [],
      advertiseClientUrls: ['http://localhost:2379'],
      initialAdvertisePeerUrls: ['http://localhost:2380'],
      initialCluster: [{ name: 'default', peerUrls: ['http://localhost:2380'] }],
      clusterToken: 'etcd-cluster',
      clusterState: 'new',
      strictReconfigCheck: true,
      maxLearners: 1,
      learnerAutoPromote: false,
      snapshotCount: 10_000,
      catchUpEntries: 5_000,
      heartbeatMs: 100,
      electionMs: 1000,
      preVote: true,
      initialElectionTickAdvance: true,
      grpcGateway: true,
      maxRequestBytes: 1_572_864,
      maxTxnOps: 128,
      maxConcurrentStreams: 4_294_967_295,
      quotaBackendBytes: 2 * 1024 ** 3,
      quotaAutoDisarm: true,
      backendBatchIntervalMs: 100,
      unsafeNoFsync: false,
      grpcKeepaliveMinTimeMs: 5_000,
      grpcKeepaliveIntervalMs: 7_200_000,
      grpcKeepaliveTimeoutMs: 20_000,
      autoCompaction: { mode: 'off' },
      compactionBatchLimit: 1000,
      compactionSleepIntervalMs: 10,
      corruptCheckTimeMs: 0,
      scrubIntervalMs: 86_400_000,
      watchProgressNotifyIntervalMs: 600_000,
      busyPoll: true,
      corsOrigins: [],
      hostWhitelist: [],
      logLevel: 'info',
      logFormat: 'json',
      logOutputs: ['default'],
      extensiveMetrics: false,
      warningApplyDurationMs: 100,
      warningUnaryRequestDurationMs: 300,
    });
  });
});

describe('command line', () => {
  test('one dash or two, with = or the next argument', () => {
    expect(started(['-name', 'a', '--data-dir=b', '--pre-vote=false'])).toMatchObject({
      name: 'a',
      dataDir: 'b',
      preVote: false,
    });
  });

  test('the last of several wins', () => {
    expect(started(['--name=a', '--name=b']).name).toBe('b');
  });

  test('a name of its own founds a cluster of its own', () => {
    expect(
      started(['--name', 'n1', '--initial-advertise-peer-urls', 'http://10.0.0.1:2380']),
    ).toMatchObject({
      dataDir: 'n1.etcd',
      initialCluster: [{ name: 'n1', peerUrls: ['http://10.0.0.1:2380'] }],
    });
  });

  test('URLs are sorted, without duplicates', () => {
    const urls = 'http://10.0.0.2:1,http://10.0.0.1:1, http://10.0.0.2:1';
    expect(started([`--initial-advertise-peer-urls=${urls}`]).initialAdvertisePeerUrls).toEqual([
      'http://10.0.0.1:1',
      'http://10.0.0.2:1',
    ]);
  });

  test('a member may have several URLs', () => {
    const cluster = 'a=http://10.0.0.1:1,b=http://10.0.0.2:1,a=http://10.0.0.3:1';
    expect(started([`--initial-cluster=${cluster}`, '--name=a']).initialCluster).toEqual([
      { name: 'a', peerUrls: ['http://10.0.0.1:1', 'http://10.0.0.3:1'] },
      { name: 'b', peerUrls: ['http://10.0.0.2:1'] },
    ]);
  });

  test.each([
    ['0', { mode: 'off' }],
    ['1', { mode: 'periodic', retentionMs: 3_600_000 }],
    ['30m', { mode: 'periodic', retentionMs: 1_800_000 }],
    ['0', { mode: 'off' }],
  ])('periodic compaction with %s', (retention, expected) => {
    expect(started([`--auto-compaction-retention=${retention}`]).autoCompaction).toEqual(expected);
  });

  test('compaction by revision', () => {
    const args = ['--auto-compaction-mode=revision', '--auto-compaction-retention=1000'];
    expect(started(args).autoCompaction).toEqual({ mode: 'revision', retentionRevisions: 1000 });
    expect(refusal([...args, '--auto-compaction-retention=-5'])).toBe(
      'error parsing CompactionRetention: time: missing unit in duration "-5"',
    );
    expect(refusal([...args, '--auto-compaction-retention=5m'])).toContain(
      'auto-compaction-retention',
    );
  });

  test('quota: 0 is 2 GiB, less is none', () => {
    expect(started(['--quota-backend-bytes=0']).quotaBackendBytes).toBe(2 ** 31);
    expect(started(['--quota-backend-bytes=-1']).quotaBackendBytes).toBeUndefined();
    expect(started(['--quota-backend-bytes=5']).quotaBackendBytes).toBe(5);
    expect(started(['--quota-auto-disarm=false']).quotaAutoDisarm).toBe(false);
    expect(started(['--busy-poll=false']).busyPoll).toBe(false);
  });

  test('progress is notified ten times a second at most', () => {
    const config = started(['--watch-progress-notify-interval=1ms']);
    expect(config.watchProgressNotifyIntervalMs).toBe(100);
  });

  test('help and version', () => {
    const help = parseConfig(['--help'], {});
    expect(help.kind === 'print' && help.text).toContain("--heartbeat-interval '100'");
    const version = parseConfig(['--version'], {});
    expect(version.kind === 'print' && version.text).toMatch(/^Quorate Version: \d+\.\d+\.\d+/);
  });
});

describe('refusals', () => {
  const bindAll = [
    '--listen-client-urls=http://example.com:2379',
    '--advertise-client-urls=http://a:1',
  ];
  test.each<[string[], string]>([
    [['--foo'], 'flag provided but not defined: -foo'],
    [['--name'], 'flag needs an argument: -name'],
    [['---x'], 'bad flag syntax: ---x'],
    [['--=x'], 'bad flag syntax: --=x'],
    [['bar'], '"bar" is not a valid flag'],
    [['--', 'bar'], '"bar" is not a valid flag'],
    [['--snapshot-count=x'], 'invalid value "x" for flag -snapshot-count: parse error'],
    [['--snapshot-count=-1'], 'invalid value "-1" for flag -snapshot-count: parse error'],
    [['--pre-vote=x'], 'invalid boolean value "x" for -pre-vote: parse error'],
    [
      ['--grpc-keepalive-min-time=5'],
      'invalid value "5" for flag -grpc-keepalive-min-time: parse error',
    ],
    [
      ['--max-concurrent-streams=x'],
      'invalid value "x" for flag -max-concurrent-streams: ' +
        'strconv.ParseUint: parsing "x": invalid syntax',
    ],
    [
      ['--quota-backend-bytes=99999999999999999999'],
      'invalid value "99999999999999999999" for flag -quota-backend-bytes: value out of range',
    ],
    [
      ['--initial-cluster-state=foo'],
      'invalid value "foo" for flag -initial-cluster-state: invalid value',
    ],
    [
      ['--listen-client-urls=foo'],
      'invalid value "foo" for flag -listen-client-urls: ' +
        'URL scheme must be http, https, unix, or unixs: foo',
    ],
    [
      ['--listen-peer-urls=http://127.0.0.1'],
      'invalid value "http://127.0.0.1" for flag -listen-peer-urls: ' +
        'URL address does not have the form "host:port": http://127.0.0.1',
    ],
    [
      ['--advertise-client-urls=http://a:1/b'],
      'invalid value "http://a:1/b" for flag -advertise-client-urls: ' +
        'URL must not contain a path: http://a:1/b',
    ],
    [bindAll, 'expected IP in URL for binding (http://example.com:2379)'],
    [
      ['--election-timeout=200'],
      '--election-timeout[200ms] should be at least as 5 times as --heartbeat-interval[100ms]',
    ],
    [
      ['--election-timeout=60000'],
      '--election-timeout[60000ms] is too long, and should be set less than 50000ms',
    ],
    [['--heartbeat-interval=0'], '--heartbeat-interval must be >0 (set to 0ms)'],
    [
      ['--listen-client-urls=http://127.0.0.1:1'],
      '--advertise-client-urls is required when --listen-client-urls is set explicitly',
    ],
    [['--auto-compaction-mode=x'], 'unknown auto-compaction-mode "x"'],
    [['--log-level=foo'], '--log-level: unrecognized level: "foo"'],
    [['--metrics=foo'], '--metrics: unknown metrics level "foo"'],
    [['--log-format=foo'], '--log-format: unknown log format: foo, supported values json, console'],
    [['--max-request-bytes=33554433'], '--max-request-bytes[33554433] must not be above 33554432'],
    [['--max-txn-ops=0'], '--max-txn-ops must be >0'],
    [['--cert-file=x'], '--cert-file is not supported: Connections are not encrypted.'],
    [['--client-cert-auth'], '--client-cert-auth is not supported: Connections are not encrypted.'],
    [
      ['--initial-advertise-peer-urls=https://10.0.0.1:1'],
      '--initial-advertise-peer-urls: https://10.0.0.1:1 needs TLS, which is not supported',
    ],
    [
      ['--discovery-srv=example.com'],
      '--discovery-srv is not supported: Members are listed in --initial-cluster.',
    ],
  ])('%j', (args, message) => {
    expect(refusal(args)).toBe(message);
  });

  test('what is not understood shows the usage, what is impossible does not', () => {
    expect(parseConfig(['--foo'], {})).toMatchObject({ kind: 'usage' });
    expect(parseConfig(['--election-timeout=200'], {})).toMatchObject({ kind: 'invalid' });
  });

  test('a refused flag at its default does no harm', () => {
    expect(started(['--client-cert-auth=false', '--cert-file=']).name).toBe('default');
  });

  test('flags without effect are accepted with a warning', () => {
    const result = parseConfig(['--max-wals=3', '--backend-bbolt-freelist-type=array'], {});
    expect(result.kind).toBe('start');
    const notices = result.kind === 'start' ? result.notices : [];
    expect(
      notices.filter((n) => n.message === 'flag has no effect').map((n) => n.fields['flag']),
    ).toEqual(['--max-wals', '--backend-bbolt-freelist-type']);
  });
});

describe('environment', () => {
  test('sets flags that the command line does not', () => {
    const config = started(['--name=a'], { ETCD_MAX_TXN_OPS: '5', ETCD_DATA_DIR: '/d' });
    expect(config).toMatchObject({ name: 'a', maxTxnOps: 5, dataDir: '/d' });
  });

  test('may not contradict the command line', () => {
    expect(refusal(['--name=a'], { ETCD_NAME: 'b' })).toBe(
      'conflicting environment variable is shadowed by corresponding command-line flag ' +
        '(either unset environment variable or disable flag): ETCD_NAME',
    );
  });

  test('a wrong value is named', () => {
    expect(refusal([], { ETCD_MAX_TXN_OPS: 'x' })).toBe(
      'invalid value "x" for ETCD_MAX_TXN_OPS: parse error',
    );
  });

  test('empty variables count as unset, unknown ones are warned of', () => {
    const result = parseConfig([], { ETCD_NAME: '', ETCD_FOO: 'x', ETCD_VERSION: '3' });
    const notices = result.kind === 'start' ? result.notices : [];
    expect(
      notices
        .filter((n) => n.message === 'unrecognized environment variable')
        .map((n) => n.fields['environment-variable']),
    ).toEqual(['ETCD_FOO', 'ETCD_VERSION']);
  });

  test('listening elsewhere asks for advertised URLs here too', () => {
    expect(refusal([], { ETCD_LISTEN_CLIENT_URLS: 'http://127.0.0.1:1' })).toContain(
      '--advertise-client-urls is required',
    );
  });
});

describe('configuration file', () => {
  test('replaces flags and environment', () => {
    const path = file('name: f\nsnapshot-count: 7\n');
    const config = started(['--max-txn-ops=3', '--config-file', path], { ETCD_DATA_DIR: '/d' });
    expect(config).toMatchObject({
      name: 'f',
      snapshotCount: 7,
      maxTxnOps: 128,
      dataDir: 'f.etcd',
    });
  });

  test('may be named by the environment', () => {
    expect(started([], { ETCD_CONFIG_FILE: file('name: e') }).name).toBe('e');
  });

  test('holds durations as nanoseconds and URLs as text', () => {
    const path = file(
      [
        'watch-progress-notify-interval: 5000000000',
        'listen-client-urls: http://127.0.0.1:1,http://127.0.0.1:2',
        'advertise-client-urls: http://127.0.0.1:1',
        'pre-vote: false',
        'log-outputs: [stdout, stderr]',
        'peer-transport-security:',
        '  client-cert-auth: false',
      ].join('\n'),
    );
    expect(started(['--config-file', path])).toMatchObject({
      watchProgressNotifyIntervalMs: 5000,
      listenClientUrls: ['http://127.0.0.1:1', 'http://127.0.0.1:2'],
      preVote: false,
      logOutputs: ['stdout', 'stderr'],
    });
  });

  test.each([
    [
      'grpc-keepalive-timeout: 20s',
      'invalid value for grpc-keepalive-timeout: expected a whole number of nanoseconds',
    ],
    ['pre-vote: 1', 'invalid value for pre-vote: expected true or false'],
    ['snapshot-count: many', 'invalid value for snapshot-count: expected a whole number'],
    [
      'client-transport-security:\n  cert-file: a',
      '--cert-file is not supported: Connections are not encrypted.',
    ],
    [
      'peer-transport-security:\n  cert-file: a',
      '--peer-cert-file is not supported: Connections are not encrypted.',
    ],
    ['peer-transport-security: 5', 'invalid peer-transport-security'],
    ['name: [{toString: 0}]', 'invalid value for name: expected a list of plain values'],
  ])('%s', (text, message) => {
    expect(refusal(['--config-file', file(text)])).toBe(message);
  });

  test('takes names that every object has for what they are', () => {
    const result = parseConfig(['--config-file', file('constructor: 5')], {});
    expect(result).toMatchObject({ kind: 'start' });
    expect(result.kind === 'start' && result.notices).toContainEqual(
      expect.objectContaining({ fields: { key: 'constructor' } }),
    );
  });

  test('must exist, be YAML and hold a mapping', () => {
    expect(refusal(['--config-file', join(directory, 'none')])).toContain(
      'cannot read configuration file',
    );
    expect(refusal(['--config-file', file('a: [')])).toContain('cannot read configuration file');
    expect(refusal(['--config-file', file('- a')])).toContain('must hold a mapping');
  });

  test('keys that no flag has are warned of', () => {
    const result = parseConfig(['--config-file', file('nmae: x')], {});
    const notices = result.kind === 'start' ? result.notices : [];
    expect(notices).toContainEqual({
      level: 'warn',
      message: 'unrecognized key in configuration file',
      fields: { key: 'nmae' },
    });
  });
});

describe('the first start', () => {
  test.each<[string[], string | undefined]>([
    [[], undefined],
    [
      ['--initial-cluster=a=http://127.0.0.1:1'],
      'couldn\'t find local name "default" in the initial cluster configuration',
    ],
    [
      ['--initial-cluster=default=http://127.0.0.1:1'],
      '--initial-advertise-peer-urls has default=http://localhost:2380 but missing from ' +
        '--initial-cluster=default=http://127.0.0.1:1',
    ],
    [
      ['--initial-cluster=default=http://localhost:2380,default=http://127.0.0.1:1'],
      '--initial-cluster has default=http://127.0.0.1:1 but missing from ' +
        '--initial-advertise-peer-urls=http://localhost:2380',
    ],
    [
      ['--initial-cluster=default=http://localhost:2380,b=http://localhost:2380'],
      'initial cluster b=http://localhost:2380,default=http://localhost:2380 has duplicate url',
    ],
  ])('%j', (args, message) => {
    expect(checkBootstrap(started(args))).toBe(message);
  });
});
