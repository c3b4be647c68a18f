/** What a member needs to know to start: the meaning of its flags, in our units. */
import type { NamedPeer } from './urls.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'panic' | 'fatal';
export type LogFormat = 'json' | 'console';
export type ClusterState = 'new' | 'existing';

/** When old revisions are removed without being asked. */
export type AutoCompaction =
  | { readonly mode: 'off' }
  | { readonly mode: 'periodic'; readonly retentionMs: number }
  | { readonly mode: 'revision'; readonly retentionRevisions: number };

export interface Config {
  readonly name: string;
  readonly dataDir: string;

  readonly listenPeerUrls: readonly string[];
  readonly listenClientUrls: readonly string[];
  /** Not empty: plain HTTP is served here and no longer on the client URLs. */
  readonly listenClientHttpUrls: readonly string[];
  readonly listenMetricsUrls: readonly string[];
  readonly advertiseClientUrls: readonly string[];
  readonly initialAdvertisePeerUrls: readonly string[];

  readonly initialCluster: readonly NamedPeer[];
  readonly clusterToken: string;
  readonly clusterState: ClusterState;
  readonly strictReconfigCheck: boolean;
  readonly maxLearners: number;
  /** Whether a leader promotes learners that have caught up. */
  readonly learnerAutoPromote: boolean;

  /** Applied entries between two snapshots of the log. */
  readonly snapshotCount: number;
  /** Entries kept behind a snapshot for followers that lag. */
  readonly catchUpEntries: number;
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly preVote: boolean;
  readonly initialElectionTickAdvance: boolean;

  /** Whether /v3/* is served as JSON. */
  readonly grpcGateway: boolean;
  readonly maxRequestBytes: number;
  readonly maxTxnOps: number;
  readonly maxConcurrentStreams: number;
  /** Bytes of data that raise the NOSPACE alarm; undefined means no limit. */
  readonly quotaBackendBytes: number | undefined;
  /** Whether the alarm clears by itself when space is free again. */
  readonly quotaAutoDisarm: boolean;
  readonly backendBatchIntervalMs: number;
  readonly unsafeNoFsync: boolean;

  readonly grpcKeepaliveMinTimeMs: number;
  readonly grpcKeepaliveIntervalMs: number;
  readonly grpcKeepaliveTimeoutMs: number;

  readonly autoCompaction: AutoCompaction;
  readonly compactionBatchLimit: number;
  readonly compactionSleepIntervalMs: number;
  readonly corruptCheckTimeMs: number;
  /** Time in which all stored checksums are read once; 0 means never. */
  readonly scrubIntervalMs: number;
  readonly watchProgressNotifyIntervalMs: number;
  /** Whether the event loop stays awake for what usually comes soon. */
  readonly busyPoll: boolean;

  /** Origins that browsers may call from; empty means all. */
  readonly corsOrigins: readonly string[];
  /** Host names that plain HTTP requests may carry; empty means all. */
  readonly hostWhitelist: readonly string[];

  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  readonly logOutputs: readonly string[];
  readonly extensiveMetrics: boolean;
  readonly warningApplyDurationMs: number;
  readonly warningUnaryRequestDurationMs: number;
}

/** Requests wait this long for an answer: 5 s for the disks and two elections (as etcd). */
export function requestTimeoutMs(config: Pick<Config, 'electionMs'>): number {
  return 5_000 + 2 * config.electionMs;
}
