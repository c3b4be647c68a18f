/** Flags of etcd 3.6.14 and older: none is unknown, and each acts or says why not. */
import { describe, expect, test } from 'vitest';
import { featureGates } from '../../../src/config/feature-gates.ts';
import { flagsByName } from '../../../src/config/flag-table.ts';
import { environmentName, parseConfig, type ParseResult } from '../../../src/config/parse.ts';
import type { Config } from '../../../src/config/schema.ts';

const names = `
  advertise-client-urls auth-token auth-token-ttl auto-compaction-mode auto-compaction-retention
  auto-tls backend-batch-interval backend-batch-limit backend-bbolt-freelist-type bcrypt-cost
  bootstrap-defrag-threshold-megabytes cert-file cipher-suites client-cert-allowed-hostname
  client-cert-auth client-cert-file client-crl-file client-key-file compact-hash-check-time
  compaction-batch-limit compaction-sleep-interval corrupt-check-time cors data-dir discovery
  discovery-cacert discovery-cert discovery-dial-timeout discovery-endpoints discovery-fallback
  discovery-insecure-skip-tls-verify discovery-insecure-transport discovery-keepalive-time
  discovery-keepalive-timeout discovery-key discovery-password discovery-proxy
  discovery-request-timeout discovery-srv discovery-srv-name discovery-token discovery-user
  distributed-tracing-address distributed-tracing-instance-id distributed-tracing-sampling-rate
  distributed-tracing-service-name downgrade-check-time election-timeout
  enable-distributed-tracing enable-grpc-gateway enable-log-rotation enable-pprof
  experimental-bootstrap-defrag-threshold-megabytes experimental-compact-hash-check-enabled
  experimental-compact-hash-check-time experimental-compaction-batch-limit
  experimental-compaction-sleep-interval experimental-corrupt-check-time
  experimental-distributed-tracing-address experimental-distributed-tracing-instance-id
  experimental-distributed-tracing-sampling-rate experimental-distributed-tracing-service-name
  experimental-downgrade-check-time experimental-enable-distributed-tracing
  experimental-enable-lease-checkpoint experimental-enable-lease-checkpoint-persist
  experimental-initial-corrupt-check experimental-memory-mlock
  experimental-peer-skip-client-san-verification experimental-snapshot-catchup-entries
  experimental-stop-grpc-service-on-defrag experimental-txn-mode-write-with-shared-buffer
  experimental-warning-apply-duration experimental-warning-unary-request-duration
  experimental-watch-progress-notify-interval feature-gates force-new-cluster
  grpc-keepalive-interval grpc-keepalive-min-time grpc-keepalive-timeout heartbeat-interval
  host-whitelist initial-advertise-peer-urls initial-cluster initial-cluster-state
  initial-cluster-token initial-election-tick-advance key-file listen-client-http-urls
  listen-client-urls listen-metrics-urls listen-peer-urls log-format log-level log-outputs
  log-rotation-config-json logger max-concurrent-streams max-learners max-request-bytes
  max-snapshots max-txn-ops max-wals memory-mlock metrics name peer-auto-tls
  peer-cert-allowed-cn peer-cert-allowed-hostname peer-cert-file peer-client-cert-auth
  peer-client-cert-file peer-client-key-file peer-crl-file peer-key-file
  peer-skip-client-san-verification peer-trusted-ca-file pre-vote quota-backend-bytes
  raft-read-timeout raft-write-timeout self-signed-cert-validity snapshot-catchup-entries
  snapshot-count socket-reuse-address socket-reuse-port strict-reconfig-check tls-max-version
  tls-min-version trusted-ca-file unsafe-no-fsync v2-deprecation wal-dir warning-apply-duration
  warning-unary-request-duration watch-progress-notify-interval
`
  .trim()
  .split(/\s+/);

/** Those of 3.4 and 3.5 that 3.6 does not know any more, as they stand in old start lines. */
const harmless = ['--proxy=off', '--enable-v2=false', '--debug=false', '--log-package-levels='];

function configOf(result: ParseResult): Config {
  if (result.kind !== 'start') throw new Error(`not started: ${JSON.stringify(result)}`);
  return result.config;
}

function refusal(...args: string[]): string {
  const result = parseConfig(args, {});
  if (result.kind === 'usage') return result.message.split('\n')[0] ?? '';
  return result.kind === 'invalid' ? result.message : result.kind;
}

function warnings(...args: string[]): string[] {
  const result = parseConfig(args, {});
  if (result.kind !== 'start') throw new Error(`not started: ${JSON.stringify(result)}`);
  return result.notices.filter(({ level }) => level === 'warn').map(({ message }) => message);
}

test.each(names)('--%s is known, as flag and as variable', (name) => {
  const flag = flagsByName.get(name);
  expect(flag).toBeDefined();
  const text = flag?.fallback ?? '';
  // Whoever says where to listen says where clients are to come, too.
  const also = name === 'advertise-client-urls' ? [] : ['--advertise-client-urls=http://a:1'];
  expect(parseConfig([`--${name}=${text}`, ...also], {}).kind).toBe('start');
  expect(parseConfig(also, { [environmentName(name)]: text }).kind).toBe('start');
});

test('what is refused is taken at its default, and the reason is given else', () => {
  const others: Readonly<Record<string, string>> = { string: 'x', boolean: 'true', unsigned: '7' };
  const refused = [...flagsByName.values()].filter(({ support }) => support === 'refused');
  expect(refused.length).toBeGreaterThan(30);
  for (const { name, type, help } of refused) {
    const message = `--${name} is not supported: ${help}`;
    expect(refusal(`--${name}=${others[type] ?? ''}`)).toBe(message);
  }
});

test('what has no effect is told of', () => {
  const ignored = [...flagsByName.values()].filter(({ support }) => support === 'ignored');
  expect(ignored.length).toBeGreaterThan(20);
  for (const { name, fallback } of ignored) {
    expect(warnings(`--${name}=${fallback}`)).toContain('flag has no effect');
  }
});

test('start lines of older releases work where they ask for nothing', () => {
  expect(configOf(parseConfig(harmless, {})).name).toBe('default');
  expect(refusal('--proxy=on')).toBe('--proxy is not supported: Nothing of API v2 is served.');
  expect(refusal('--debug')).toBe('--debug is not supported: Use --log-level=debug.');
});

describe('older names', () => {
  test('stand for those of today, with their types and defaults', () => {
    const renamed = [...flagsByName.values()].filter(({ support }) => support === 'renamed');
    for (const { name, type, fallback } of renamed) {
      const today = flagsByName.get(
        name.replace('experimental-', '').replace('catch-up', 'catchup'),
      );
      if (today === undefined) continue;
      expect([name, type, fallback]).toEqual([name, today.type, today.fallback]);
    }
  });

  test('act and are told of', () => {
    const args = ['--experimental-watch-progress-notify-interval=5s'];
    const config = configOf(parseConfig(args, { ETCD_EXPERIMENTAL_MAX_LEARNERS: '2' }));
    expect(config).toMatchObject({ watchProgressNotifyIntervalMs: 5_000, maxLearners: 2 });
    expect(warnings(...args)).toContain('flag is deprecated');
  });

  test('are not given beside those of today', () => {
    const message =
      'cannot set --experimental-warning-apply-duration and --warning-apply-duration at the same ' +
      'time, please use --warning-apply-duration only';
    const older = '--experimental-warning-apply-duration=1s';
    expect(refusal(older, '--warning-apply-duration=1s')).toBe(message);
    const variables = { ETCD_WARNING_APPLY_DURATION: '1s' };
    expect(parseConfig([older], variables)).toMatchObject({ kind: 'invalid', message });
    const unary = 'warning-unary-request-duration';
    expect(refusal(`--experimental-${unary}=1s`, `--${unary}=1s`)).toBe(
      `both --experimental-${unary} and --${unary} flags are set. Use only --${unary}`,
    );
    const learners = parseConfig(['--experimental-max-learners=2', '--max-learners=3'], {});
    expect(configOf(learners).maxLearners).toBe(2);
  });

  test('are refused where those of today are', () => {
    expect(refusal('--experimental-enable-distributed-tracing')).toBe(
      '--enable-distributed-tracing is not supported: Spans are not exported.',
    );
  });
});

describe('feature gates', () => {
  test('of etcd 3.6 are known', () => {
    for (const { name, always = true, refused = false } of featureGates) {
      expect(parseConfig([`--feature-gates=${name}=${always}`], {}).kind).toBe('start');
      const other = refusal(`--feature-gates=${name}=${!always}`);
      if (refused) expect(other).toContain(`--feature-gates: ${name} is not supported: `);
      else expect(other).toBe('start');
    }
  });

  test.each([
    ['x', 'invalid value "x" for flag -feature-gates: missing bool value for x'],
    ['X=true', 'invalid value "X=true" for flag -feature-gates: unrecognized feature gate: X'],
    [
      'LeaseCheckpoint=x',
      'invalid value "LeaseCheckpoint=x" for flag -feature-gates: invalid value of ' +
        'LeaseCheckpoint=x, err: strconv.ParseBool: parsing "x": invalid syntax',
    ],
  ])('%s is refused in the words of etcd', (text, message) => {
    expect(refusal(`--feature-gates=${text}`)).toBe(message);
  });

  test('that change nothing are told of', () => {
    // As kubeadm asks for it, of new and of older releases.
    const told = 'feature gate has no effect';
    expect(warnings('--feature-gates=InitialCorruptCheck=true')).toContain(told);
    expect(warnings('--experimental-initial-corrupt-check=true')).toContain(told);
    expect(warnings('--feature-gates=LeaseCheckpoint=true')).not.toContain(told);
  });

  test('are not set in two ways', () => {
    const gate = '--feature-gates=LeaseCheckpoint=true';
    expect(refusal('--experimental-enable-lease-checkpoint', gate)).toBe(
      'cannot specify both flags: --experimental-enable-lease-checkpoint=true and ' +
        '--feature-gates=LeaseCheckpoint=true at the same time, please just use ' +
        '--feature-gates=LeaseCheckpoint=true',
    );
  });
});
