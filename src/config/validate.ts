/** From flag values to a {@link Config}, refused in etcd's words where etcd refuses it too. */
import {
  PARSE_ERROR,
  parseDurationMs,
  parseInteger,
  quote,
  type Parsed,
} from '../base/go-values.ts';
import { unkeptGates } from './feature-gates.ts';
import { flagSections } from './flag-table.ts';
import type { AutoCompaction, Config, LogFormat, LogLevel } from './schema.ts';
import type { NamedPeer } from './urls.ts';
import { checkBindUrls, checkHostUrls, parseInitialCluster } from './urls.ts';
import { parseFlag, type FlagValues } from './values.ts';

/** A request must fit into one frame between members, with room to spare. */
const MAX_REQUEST_BYTES = 32 * 1024 ** 2;
/** Longer would keep a cluster without a leader for too long (etcd's limit). */
const MAX_ELECTION_MS = 50_000;
/** 2 GiB, when the flag says 0. */
const DEFAULT_QUOTA_BYTES = 2 * 1024 ** 3;
/** More often would be traffic without news (etcd's floor). */
const MIN_PROGRESS_NOTIFY_INTERVAL_MS = 100;
const HOUR_MS = 3_600_000;
/** Largest value of Go's int64. */
const MAX_INT64 = 2n ** 63n - 1n;

export const UNSET_ADVERTISE_CLIENT_URLS =
  '--advertise-client-urls is required when --listen-client-urls is set explicitly';

/** A line for the log, once there is one. */
export interface Notice {
  readonly level: 'info' | 'warn';
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

function checkUrlFlags(values: FlagValues): string | undefined {
  const bindFlags = [
    'listen-peer-urls',
    'listen-client-urls',
    'listen-client-http-urls',
    'listen-metrics-urls',
  ];
  const hostFlags = ['initial-advertise-peer-urls', 'advertise-client-urls'];
  for (const name of bindFlags) {
    const error = checkBindUrls(values.list(name));
    if (error !== undefined) return error;
  }
  for (const name of hostFlags) {
    const urls = values.list(name);
    const error = checkHostUrls(urls);
    if (error !== undefined) {
      return `--${name} ${quote(urls.join(','))} must be "host:port" (${error})`;
    }
  }
  for (const name of [...bindFlags, ...hostFlags]) {
    for (const url of values.list(name)) {
      if (/^(https|unixs):/i.test(url)) {
        return `--${name}: ${url} needs TLS, which is not supported`;
      }
      if (name.includes('peer') && /^unix:/i.test(url)) {
        return `--${name}: members are reached by http URLs only, not ${url}`;
      }
    }
  }
  for (const name of ['listen-peer-urls', 'listen-client-urls', 'initial-advertise-peer-urls']) {
    if (values.list(name).length === 0) return `--${name} must not be empty`;
  }
  return undefined;
}

function checkTimes(values: FlagValues): string | undefined {
  const heartbeatMs = values.number('heartbeat-interval');
  const electionMs = values.number('election-timeout');
  if (heartbeatMs === 0) return `--heartbeat-interval must be >0 (set to ${heartbeatMs}ms)`;
  if (electionMs === 0) return `--election-timeout must be >0 (set to ${electionMs}ms)`;
  if (5 * heartbeatMs > electionMs) {
    return (
      `--election-timeout[${electionMs}ms] should be at least as 5 times as ` +
      `--heartbeat-interval[${heartbeatMs}ms]`
    );
  }
  if (electionMs > MAX_ELECTION_MS) {
    return (
      `--election-timeout[${electionMs}ms] is too long, ` +
      `and should be set less than ${MAX_ELECTION_MS}ms`
    );
  }
  for (const name of values.givenNames) {
    const value = values.get(name);
    if (typeof value === 'number' && value < 0 && name !== 'quota-backend-bytes') {
      return `--${name} must not be negative`;
    }
  }
  return undefined;
}

/** Numbers that would leave a member unable to work, though etcd starts with them. */
function checkLimits(values: FlagValues): string | undefined {
  for (const name of [
    'snapshot-count',
    'max-request-bytes',
    'max-txn-ops',
    'max-concurrent-streams',
    'compaction-batch-limit',
  ]) {
    if (values.number(name) === 0) return `--${name} must be >0`;
  }
  const requestBytes = values.number('max-request-bytes');
  if (requestBytes > MAX_REQUEST_BYTES) {
    return `--max-request-bytes[${requestBytes}] must not be above ${MAX_REQUEST_BYTES}`;
  }
  return undefined;
}

function checkChoices(values: FlagValues): string | undefined {
  const level = values.string('log-level');
  if (!['debug', 'info', 'warn', 'error', 'panic', 'fatal'].includes(level)) {
    return `--log-level: unrecognized level: ${quote(level)}`;
  }
  const format = values.string('log-format');
  if (format !== 'json' && format !== 'console') {
    return `--log-format: unknown log format: ${format}, supported values json, console`;
  }
  const metrics = values.string('metrics');
  if (metrics !== 'basic' && metrics !== 'extensive') {
    return `--metrics: unknown metrics level ${quote(metrics)}`;
  }
  return undefined;
}

/** Refuses flags whose promise would silently not be kept. */
function checkRefused(values: FlagValues): string | undefined {
  for (const flag of flagSections.flatMap((section) => section.flags)) {
    if (flag.support !== 'refused' || !values.isSet(flag.name)) continue;
    const fallback = parseFlag(flag, flag.fallback);
    if ('value' in fallback && values.get(flag.name) === fallback.value) continue;
    return `--${flag.name} is not supported: ${flag.help}`;
  }
  const gate = unkeptGates(values.list('feature-gates')).find(({ refused }) => refused === true);
  if (gate === undefined) return undefined;
  return `--feature-gates: ${gate.name} is not supported: ${gate.reason}`;
}

function parseAutoCompaction(values: FlagValues): Parsed<AutoCompaction> {
  const mode = values.string('auto-compaction-mode');
  const retention = values.string('auto-compaction-retention');
  if (mode === '') return { error: 'undefined auto-compaction-mode' };
  if (mode !== 'periodic' && mode !== 'revision') {
    return { error: `unknown auto-compaction-mode ${quote(mode)}` };
  }
  const whole = parseInteger(retention, -(2n ** 63n), MAX_INT64);
  if ('value' in whole) {
    // To etcd it is a duration then.
    if (whole.value < 0) {
      const reason = `time: missing unit in duration ${quote(retention)}`;
      return { error: `error parsing CompactionRetention: ${reason}` };
    }
    if (whole.value === 0) return { value: { mode: 'off' } };
    if (mode === 'revision') return { value: { mode, retentionRevisions: whole.value } };
    return { value: { mode, retentionMs: whole.value * HOUR_MS } };
  }
  if (mode === 'periodic' && whole.error === PARSE_ERROR) {
    const duration = parseDurationMs(retention);
    if ('value' in duration) {
      if (duration.value <= 0) return { value: { mode: 'off' } };
      return { value: { mode, retentionMs: duration.value } };
    }
  }
  return { error: `error parsing auto-compaction-retention: invalid value ${quote(retention)}` };
}

/** Without --initial-cluster, a member with a name of its own founds a cluster of one. */
function initialClusterText(values: FlagValues): string {
  const name = values.string('name');
  if (values.isSet('initial-cluster') || name === 'default')
    return values.string('initial-cluster');
  return values
    .list('initial-advertise-peer-urls')
    .map((url) => `${name}=${url}`)
    .join(',');
}

function progressNotifyIntervalMs(values: FlagValues): number {
  return Math.max(MIN_PROGRESS_NOTIFY_INTERVAL_MS, values.number('watch-progress-notify-interval'));
}

function quotaBytes(values: FlagValues): number | undefined {
  const bytes = values.number('quota-backend-bytes');
  if (bytes < 0) return undefined;
  return bytes === 0 ? DEFAULT_QUOTA_BYTES : bytes;
}

function build(
  values: FlagValues,
  autoCompaction: AutoCompaction,
  initialCluster: readonly NamedPeer[],
): Config {
  const all = (words: readonly string[]): readonly string[] => (words.includes('*') ? [] : words);
  const name = values.string('name');
  return {
    name,
    dataDir: values.string('data-dir') || `${name}.etcd`,
    listenPeerUrls: values.list('listen-peer-urls'),
    listenClientUrls: values.list('listen-client-urls'),
    listenClientHttpUrls: values.list('listen-client-http-urls'),
    listenMetricsUrls: values.list('listen-metrics-urls'),
    advertiseClientUrls: values.list('advertise-client-urls'),
    initialAdvertisePeerUrls: values.list('initial-advertise-peer-urls'),
    initialCluster,
    clusterToken: values.string('initial-cluster-token'),
    clusterState: values.string('initial-cluster-state') === 'existing' ? 'existing' : 'new',
    strictReconfigCheck: values.boolean('strict-reconfig-check'),
    maxLearners: values.number('max-learners'),
    learnerAutoPromote: values.boolean('learner-auto-promote'),
    snapshotCount: values.number('snapshot-count'),
    catchUpEntries: values.number('snapshot-catchup-entries'),
    heartbeatMs: values.number('heartbeat-interval'),
    electionMs: values.number('election-timeout'),
    preVote: values.boolean('pre-vote'),
    initialElectionTickAdvance: values.boolean('initial-election-tick-advance'),
    grpcGateway: values.boolean('enable-grpc-gateway'),
    maxRequestBytes: values.number('max-request-bytes'),
    maxTxnOps: values.number('max-txn-ops'),
    maxConcurrentStreams: values.number('max-concurrent-streams'),
    quotaBackendBytes: quotaBytes(values),
    quotaAutoDisarm: values.boolean('quota-auto-disarm'),
    backendBatchIntervalMs: values.number('backend-batch-interval') || 100,
    unsafeNoFsync: values.boolean('unsafe-no-fsync'),
    grpcKeepaliveMinTimeMs: values.number('grpc-keepalive-min-time'),
    grpcKeepaliveIntervalMs: values.number('grpc-keepalive-interval'),
    grpcKeepaliveTimeoutMs: values.number('grpc-keepalive-timeout'),
    autoCompaction,
    compactionBatchLimit: values.number('compaction-batch-limit'),
    compactionSleepIntervalMs: values.number('compaction-sleep-interval'),
    corruptCheckTimeMs: values.number('corrupt-check-time'),
    scrubIntervalMs: values.number('scrub-interval'),
    watchProgressNotifyIntervalMs: progressNotifyIntervalMs(values),
    busyPoll: values.boolean('busy-poll'),
    corsOrigins: all(values.list('cors')),
    hostWhitelist: all(values.words('host-whitelist')),
    logLevel: values.string('log-level') as LogLevel,
    logFormat: values.string('log-format') as LogFormat,
    logOutputs: values.words('log-outputs'),
    extensiveMetrics: values.string('metrics') === 'extensive',
    warningApplyDurationMs: values.number('warning-apply-duration'),
    warningUnaryRequestDurationMs: values.number('warning-unary-request-duration'),
  };
}

/** Checks everything that can be told from the values alone, in the order in which etcd checks. */
export function buildConfig(values: FlagValues): Parsed<Config> {
  const error =
    checkChoices(values) ??
    checkRefused(values) ??
    checkUrlFlags(values) ??
    checkTimes(values) ??
    checkLimits(values);
  if (error !== undefined) return { error };
  if (values.list('advertise-client-urls').length === 0) {
    return { error: UNSET_ADVERTISE_CLIENT_URLS };
  }
  const autoCompaction = parseAutoCompaction(values);
  if ('error' in autoCompaction) return autoCompaction;
  const initialCluster = parseInitialCluster(initialClusterText(values));
  if ('error' in initialCluster) {
    return { error: `error setting up initial cluster: ${initialCluster.error}` };
  }
  return { value: build(values, autoCompaction.value, initialCluster.value) };
}

/**
 * Checks what matters only at the first start of a member, when its data directory is empty:
 * that the list of founders contains this member under the URLs that it advertises.
 */
export function checkBootstrap(
  config: Pick<Config, 'name' | 'initialCluster' | 'initialAdvertisePeerUrls'>,
): string | undefined {
  const self = config.initialCluster.find((member) => member.name === config.name);
  if (self === undefined) {
    return `couldn't find local name ${quote(config.name)} in the initial cluster configuration`;
  }
  const owners = new Map<string, string>();
  for (const member of config.initialCluster) {
    for (const url of member.peerUrls) {
      if (owners.has(url)) {
        const others = config.initialCluster.flatMap((m) =>
          m.peerUrls.map((u) => `${m.name}=${u}`),
        );
        return `initial cluster ${others.sort().join(',')} has duplicate url`;
      }
      owners.set(url, member.name);
    }
  }
  const advertised = config.initialAdvertisePeerUrls;
  const listed = self.peerUrls;
  const missing = advertised.filter((url) => !listed.includes(url));
  if (missing.length > 0) {
    const urls = missing.map((url) => `${config.name}=${url}`).join(',');
    return (
      `--initial-advertise-peer-urls has ${urls} but missing from ` +
      `--initial-cluster=${listed.map((url) => `${config.name}=${url}`).join(',')}`
    );
  }
  const extra = listed.filter((url) => !advertised.includes(url));
  if (extra.length > 0) {
    return (
      `--initial-cluster has ${extra.map((url) => `${config.name}=${url}`).join(',')} ` +
      `but missing from --initial-advertise-peer-urls=${advertised.join(',')}`
    );
  }
  return undefined;
}
