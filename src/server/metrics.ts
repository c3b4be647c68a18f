/** etcd's metrics of the server: names, help texts in our words. */
import type { Counter, Gauge, Metrics } from '../base/metrics.ts';
import { CLUSTER_VERSION, ETCD_VERSION } from '../base/versions.ts';
import { noOperations, type StoreOperations } from '../mvcc/store-state.ts';
import type { MemberId } from '../raft/index.ts';

export interface ServerMetrics {
  proposalsPending(count: number): void;
  proposalFailed(): void;
  readIndexFailed(): void;
  readIndexSlow(): void;
  leaderSeen(): void;
  leadership(hasLeader: boolean, isLeader: boolean): void;
  progress(committed: number, applied: number): void;
  snapshotInstalled(): void;
  /** Between 0 and the tick's length in an idle process. */
  tickDelay(delayMs: number): void;
}

/** Facts that are looked up when somebody asks for the metrics. */
export interface StateFacts {
  readonly revision: number;
  readonly compactedRevision: number;
  readonly keyCount: number;
  readonly sizeBytes: number;
  /** 64 bits. */
  readonly stateHash: bigint;
  readonly watchers: number;
  readonly slowWatchers: number;
  readonly watchStreams: number;
  readonly sentEvents: number;
  readonly pendingEvents: number;
  readonly openViews: number;
  readonly self: MemberId;
  /** All members, this one included. */
  readonly members: readonly MemberId[];
  readonly isLearner: boolean;
  /** Counted since the state was opened: another object for the state of a snapshot. */
  readonly operations: Readonly<StoreOperations>;
}

/** Exports what {@link StateFacts} tell, at each scrape. */
export function exportStateFacts(metrics: Metrics, facts: () => StateFacts): void {
  const gauge = (name: string, help: string): Gauge => metrics.gauge(name, help)();
  const revision = gauge('etcd_debugging_mvcc_current_revision', 'Revision of the store.');
  const compacted = gauge('etcd_debugging_mvcc_compact_revision', 'Newest compacted revision.');
  const keys = gauge('etcd_debugging_mvcc_keys_total', 'Keys that exist.');
  const size = gauge('etcd_mvcc_db_total_size_in_bytes', 'Logical size of the state.');
  const debuggingSize = gauge(
    'etcd_debugging_mvcc_db_total_size_in_bytes',
    'Logical size of the state.',
  );
  const sizeInUse = gauge('etcd_mvcc_db_total_size_in_use_in_bytes', 'Logical size of the state.');
  // Halves, as a metric's value has 53 bits: members that applied the same index show the same.
  const hashHigh = gauge('quorate_state_hash_high', 'Upper 32 bits of the hash of the state.');
  const hashLow = gauge('quorate_state_hash_low', 'Lower 32 bits of the hash of the state.');
  const watchers = gauge('etcd_debugging_mvcc_watcher_total', 'Watchers.');
  const slow = gauge('etcd_debugging_mvcc_slow_watcher_total', 'Watchers that are catching up.');
  const streams = gauge('etcd_debugging_mvcc_watch_stream_total', 'Watch streams.');
  const views = gauge('etcd_mvcc_db_open_read_transactions', 'Open views of the stored state.');
  const isLearner = gauge('etcd_server_is_learner', '1 if this member is a learner.');
  const countOperations = operationCounters(metrics);
  const countEvents = eventCounters(metrics);
  const showPeers = knownPeers(metrics);
  metrics.onCollect(() => {
    const now = facts();
    isLearner.set(now.isLearner ? 1 : 0);
    countOperations(now.operations);
    countEvents(now);
    showPeers(now);
    views.set(now.openViews);
    revision.set(now.revision);
    compacted.set(now.compactedRevision);
    keys.set(now.keyCount);
    size.set(now.sizeBytes);
    debuggingSize.set(now.sizeBytes);
    sizeInUse.set(now.sizeBytes);
    hashHigh.set(Number(BigInt.asUintN(32, now.stateHash >> 32n)));
    hashLow.set(Number(BigInt.asUintN(32, now.stateHash)));
    watchers.set(now.watchers);
    slow.set(now.slowWatchers);
    streams.set(now.watchStreams);
  });
}

/** @returns adds to the metrics what was counted since the last call */
function operationCounters(metrics: Metrics): (counted: Readonly<StoreOperations>) => void {
  const counter = (name: string, help: string): Counter => metrics.counter(name, help)();
  /** Under etcd's name, and under the one that it had before 3.5. */
  const both = (name: string, help: string): Counter[] => [
    counter(`etcd_mvcc_${name}`, help),
    counter(`etcd_debugging_mvcc_${name}`, help),
  ];
  const counters: Readonly<Record<keyof StoreOperations, readonly Counter[]>> = {
    ranges: both('range_total', 'Ranges read from the state.'),
    puts: both('put_total', 'Puts applied.'),
    deletes: both('delete_total', 'Deletions applied, of one key or of a range.'),
    txns: both('txn_total', 'Changes applied of more than one operation.'),
    putBytes: [putSize(metrics)],
    removals: [
      counter('etcd_debugging_mvcc_db_compaction_keys_total', 'Records that compactions removed.'),
    ],
  };
  let source: Readonly<StoreOperations> | undefined;
  let seen = noOperations();
  return (counted) => {
    if (counted !== source) seen = noOperations();
    source = counted;
    for (const kind of Object.keys(counters) as (keyof StoreOperations)[]) {
      for (const each of counters[kind]) each.increment(counted[kind] - seen[kind]);
    }
    seen = { ...counted };
  };
}

/** It only grows, but etcd has it as a gauge. */
function putSize(metrics: Metrics): Counter {
  const gauge = metrics.gauge(
    'etcd_debugging_mvcc_total_put_size_in_bytes',
    'Bytes of the keys and values that were put.',
  )();
  let total = 0;
  return { increment: (by = 1) => gauge.set((total += by)) };
}

type EventFacts = Pick<StateFacts, 'sentEvents' | 'pendingEvents'>;

function eventCounters(metrics: Metrics): (facts: EventFacts) => void {
  const sent = metrics.counter(
    'etcd_debugging_mvcc_events_total',
    'Events that streams have taken.',
  )();
  const pending = metrics.gauge(
    'etcd_debugging_mvcc_pending_events_total',
    'Events that wait to be taken.',
  )();
  let seen = 0;
  return ({ sentEvents, pendingEvents }) => {
    sent.increment(sentEvents - seen);
    seen = sentEvents;
    pending.set(pendingEvents);
  };
}

type PeerFacts = Pick<StateFacts, 'self' | 'members'>;

/** Members that were removed stay, at zero. */
function knownPeers(metrics: Metrics): (facts: PeerFacts) => void {
  const known = metrics.gauge(
    'etcd_network_known_peers',
    '1 for each member known; 0 once it is removed.',
    ['Local', 'Remote'],
  );
  let shown: readonly Gauge[] = [];
  return ({ self, members }) => {
    for (const gauge of shown) gauge.set(0);
    shown = members.map((id) => known(self.toString(16), id.toString(16)));
    for (const gauge of shown) gauge.set(1);
  };
}

/** Who this is, in labels. */
export function exportIdentity(metrics: Metrics, memberId: MemberId): void {
  const label = (name: string, help: string, key: string, value: string): void => {
    metrics.gauge(name, help, [key])(value).set(1);
  };
  label('etcd_server_id', 'The id of this member.', 'server_id', memberId.toString(16));
  label('etcd_server_version', 'The version of etcd.', 'server_version', ETCD_VERSION);
  label(
    'etcd_cluster_version',
    'What all members understand.',
    'cluster_version',
    CLUSTER_VERSION.replace(/\.0$/, ''),
  );
}

/** Seconds; a stall of an election timeout (1 s by default) costs a leader its place. */
const delayBuckets = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];

export function createServerMetrics(metrics: Metrics): ServerMetrics {
  const pending = metrics.gauge('etcd_server_proposals_pending', 'Proposals under way.')();
  const failed = metrics.counter(
    'etcd_server_proposals_failed_total',
    'Proposals that got no outcome in time.',
  )();
  const committed = metrics.gauge(
    'etcd_server_proposals_committed_total',
    'Index of the newest committed entry.',
  )();
  const applied = metrics.gauge(
    'etcd_server_proposals_applied_total',
    'Index of the newest applied entry.',
  )();
  const readFailed = metrics.counter(
    'etcd_server_read_indexes_failed_total',
    'Linearizable reads that got no read index.',
  )();
  const readSlow = metrics.counter(
    'etcd_server_slow_read_indexes_total',
    'Answers to linearizable reads that came too late for them, or not in time.',
  )();
  const changes = metrics.counter(
    'etcd_server_leader_changes_seen_total',
    'Leaders this member has seen.',
  )();
  const hasLeader = metrics.gauge('etcd_server_has_leader', '1 if this member knows a leader.')();
  const isLeader = metrics.gauge('etcd_server_is_leader', '1 if this member leads.')();
  const delay = metrics.histogram(
    'quorate_event_loop_tick_delay_seconds',
    'How late the ticks of Raft came: time in which the event loop served nobody.',
    delayBuckets,
  )();
  const installed = metrics.counter(
    'quorate_snapshots_installed_total',
    'Snapshots received from a leader and taken over.',
  )();
  return {
    proposalsPending: (count) => {
      pending.set(count);
    },
    proposalFailed: () => {
      failed.increment();
    },
    readIndexFailed: () => {
      readFailed.increment();
    },
    readIndexSlow: () => {
      readSlow.increment();
    },
    leaderSeen: () => {
      changes.increment();
    },
    leadership: (has, is) => {
      hasLeader.set(has ? 1 : 0);
      isLeader.set(is ? 1 : 0);
    },
    progress: (committedIndex, appliedIndex) => {
      committed.set(committedIndex);
      applied.set(appliedIndex);
    },
    snapshotInstalled: () => {
      installed.increment();
    },
    tickDelay: (delayMs) => {
      delay.observe(delayMs / 1000);
    },
  };
}
