/** etcd's metrics of the server: names, help texts in our words. */
import type { Metrics } from '../base/metrics.ts';

export interface ServerMetrics {
  proposalsPending(count: number): void;
  proposalFailed(): void;
  readIndexFailed(): void;
  leaderSeen(): void;
  leadership(hasLeader: boolean, isLeader: boolean): void;
  progress(committed: number, applied: number): void;
  /** Between 0 and the tick's length in an idle process. */
  tickDelay(delayMs: number): void;
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
  const changes = metrics.counter(
    'etcd_server_leader_changes_seen_total',
    'Leaders this member has seen.',
  )();
  const hasLeader = metrics.gauge('etcd_server_has_leader', '1 if this member knows a leader.')();
  const isLeader = metrics.gauge('etcd_server_is_leader', '1 if this member leads.')();
  const isLearner = metrics.gauge('etcd_server_is_learner', '1 if this member is a learner.')();
  const delay = metrics.histogram(
    'quorate_event_loop_tick_delay_seconds',
    'How late the ticks of Raft came: time in which the event loop served nobody.',
    delayBuckets,
  )();
  isLearner.set(0);
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
    tickDelay: (delayMs) => {
      delay.observe(delayMs / 1000);
    },
  };
}
