/** Flags under the names that they had before etcd 3.6, and gates that were flags then. */
import type { FlagDefinition, FlagType } from './flag.ts';

/** What is meant by an older name. */
export type Successor = { readonly flag: string } | { readonly gate: string };

export interface RenamedFlag extends FlagDefinition {
  readonly support: 'renamed';
  readonly successor: Successor;
}

type Row = readonly [name: string, flag: string, type: FlagType, fallback: string];

/** `experimental-` and the name of today. */
const sameNames: readonly (readonly [flag: string, type: FlagType, fallback: string])[] = [
  ['backend-bbolt-freelist-type', 'string', 'map'],
  ['bootstrap-defrag-threshold-megabytes', 'unsigned', '0'],
  ['compact-hash-check-time', 'duration', '1m'],
  ['compaction-batch-limit', 'integer', '1000'],
  ['compaction-sleep-interval', 'duration', '10ms'],
  ['corrupt-check-time', 'duration', '0s'],
  ['distributed-tracing-address', 'string', 'localhost:4317'],
  ['distributed-tracing-instance-id', 'string', ''],
  ['distributed-tracing-sampling-rate', 'integer', '0'],
  ['distributed-tracing-service-name', 'string', 'etcd'],
  ['downgrade-check-time', 'duration', '5s'],
  ['enable-distributed-tracing', 'boolean', 'false'],
  ['max-learners', 'integer', '1'],
  ['memory-mlock', 'boolean', 'false'],
  ['peer-skip-client-san-verification', 'boolean', 'false'],
  ['snapshot-catchup-entries', 'unsigned', '5000'],
  ['warning-apply-duration', 'duration', '100ms'],
  ['warning-unary-request-duration', 'duration', '300ms'],
  ['watch-progress-notify-interval', 'duration', '10m'],
];

const rows: readonly Row[] = [
  ...sameNames.map(([flag, ...rest]): Row => [`experimental-${flag}`, flag, ...rest]),
  // In etcd's configuration files it is written so.
  ['experimental-snapshot-catch-up-entries', 'snapshot-catchup-entries', 'unsigned', '5000'],
];

const gates: readonly (readonly [name: string, gate: string, fallback: string])[] = [
  ['experimental-compact-hash-check-enabled', 'CompactHashCheck', 'false'],
  ['experimental-enable-lease-checkpoint', 'LeaseCheckpoint', 'false'],
  ['experimental-enable-lease-checkpoint-persist', 'LeaseCheckpointPersist', 'false'],
  ['experimental-initial-corrupt-check', 'InitialCorruptCheck', 'false'],
  ['experimental-stop-grpc-service-on-defrag', 'StopGRPCServiceOnDefrag', 'false'],
  ['experimental-txn-mode-write-with-shared-buffer', 'TxnModeWriteWithSharedBuffer', 'true'],
];

export const renamedFlags: readonly RenamedFlag[] = [
  ...rows.map(([name, flag, type, fallback]): RenamedFlag => ({
    name,
    type,
    fallback,
    help: `Use --${flag}.`,
    support: 'renamed',
    successor: { flag },
  })),
  ...gates.map(([name, gate, fallback]): RenamedFlag => ({
    name,
    type: 'boolean',
    fallback,
    help: `Use --feature-gates=${gate}=${fallback === 'true' ? 'false' : 'true'}.`,
    support: 'renamed',
    successor: { gate },
  })),
];
