/** The state machine's parts as loaded from one state database. */
import type { Clock } from '../base/clock.ts';
import { leaseBytes } from '../apply/cost.ts';
import { AlarmStore } from '../alarm/alarm-store.ts';
import { Downgrade } from '../cluster/downgrade.ts';
import { type Member, Membership } from '../cluster/membership.ts';
import { Lessor } from '../lease/lessor.ts';
import { type DigestHalves, joinedHash } from '../mvcc/state-digest.ts';
import { Store } from '../mvcc/store.ts';
import type { WatchableStore } from '../mvcc/watchable-store.ts';
import type { MemberId } from '../raft/index.ts';
import type { Backend } from '../storage/backend.ts';
import { asError } from '../storage/errors.ts';
import { checkDeviation } from './deviation-mark.ts';
import type { StateFacts } from './metrics.ts';

export interface State {
  readonly store: Store;
  readonly membership: Membership;
  readonly lessor: Lessor;
  readonly alarms: AlarmStore;
  readonly downgrade: Downgrade;
}

/** Hash of all that entries change. */
export function stateHashOf(state: State): bigint {
  const { store, membership, lessor, alarms, downgrade } = state;
  return joinedHash(
    [store, membership, lessor, alarms, downgrade].map(({ stateHash }) => stateHash),
  );
}

/** The same in two halves: this is asked for after every entry. */
export function stateDigestOf(state: State): DigestHalves {
  const { store, membership, lessor, alarms, downgrade } = state;
  const [a, b, c, d, e] = [
    store.stateDigest,
    membership.stateDigest,
    lessor.stateDigest,
    alarms.stateDigest,
    downgrade.stateDigest,
  ];
  return {
    high: (a.high + b.high + c.high + d.high + e.high) >>> 0,
    low: (a.low + b.low + c.low + d.low + e.low) >>> 0,
  };
}

/**
 * Bytes that the quota counts, equal on members with the same state: what compaction has left of
 * the history of keys, and leases.
 */
export function stateSizeBytes({ store, lessor }: State): number {
  return store.logicalSizeBytes + lessor.size * leaseBytes;
}

/** What metrics tell of a member's state. */
export function stateFactsOf(
  member: State & {
    readonly id: MemberId;
    readonly watchable: WatchableStore;
    readonly isLearner: boolean;
    readonly openViews: number;
  },
): StateFacts {
  const { store, watchable, membership } = member;
  return {
    revision: store.revision,
    compactedRevision: store.compactedRevision,
    keyCount: store.keyCount,
    sizeBytes: stateSizeBytes(member),
    stateHash: stateHashOf(member),
    watchers: watchable.watcherCount,
    slowWatchers: watchable.slowWatcherCount,
    watchStreams: watchable.streamCount,
    sentEvents: watchable.sentEvents,
    pendingEvents: watchable.pendingEvents,
    openViews: member.openViews,
    self: member.id,
    members: membership.list().map(({ id }) => id),
    isLearner: member.isLearner,
    operations: store.operations,
  };
}

/**
 * Writes the state that a cluster begins with. Every founder writes the same, before it starts.
 * @param voters all founders
 */
export function foundCluster(
  backend: Backend,
  voters: readonly Member[],
  done: (error: Error | undefined) => void,
): void {
  Membership.load(backend, (error, membership) => {
    if (membership === undefined) {
      done(error);
      return;
    }
    membership.found(voters);
    backend.setConfState({
      voters: voters.map(({ id }) => id),
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    });
    backend.applied(0, 0);
    backend.flush(done);
  });
}

/**
 * Notes whom a member that joins a cluster is to ask for its state. That is not the state itself,
 * and has no configuration: a snapshot replaces it.
 *
 * @param ask for the members of the cluster
 */
export function joinCluster(
  backend: Backend,
  ask: () => Promise<readonly Member[]>,
  done: (error: Error | undefined) => void,
): void {
  Membership.load(backend, (error, membership) => {
    // A start before this one may have done so already.
    if (membership === undefined || membership.list().length > 0) {
      done(error);
      return;
    }
    ask().then(
      (members) => {
        membership.found(members);
        backend.applied(0, 0);
        backend.flush(done);
      },
      (reason: unknown) => done(asError(reason)),
    );
  });
}

export interface LoadOptions {
  readonly backend: Backend;
  readonly clock: Clock;
  /** Memory for values. */
  readonly cacheBytes?: number | undefined;
}

/** Reads and checks everything that the state machine keeps in memory. */
export function loadState(
  options: LoadOptions,
  done: (error: Error | undefined, state: State | undefined) => void,
): void {
  checkDeviation(options.backend, (error) => {
    if (error === undefined) loadParts(options, done);
    else done(error, undefined);
  });
}

function loadParts(
  options: LoadOptions,
  done: (error: Error | undefined, state: State | undefined) => void,
): void {
  const { backend, clock, cacheBytes } = options;
  Membership.load(backend, (membershipError, membership) => {
    if (membership === undefined) {
      done(membershipError, undefined);
      return;
    }
    Store.open(
      { backend, clock, ...(cacheBytes === undefined ? {} : { cacheBytes }) },
      (storeError, store) => {
        if (store === undefined) {
          done(storeError, undefined);
          return;
        }
        Lessor.load(backend, store.takeLeasedKeys(), (leaseError, lessor) => {
          if (lessor === undefined) done(leaseError, undefined);
          else loadRest(backend, { store, membership, lessor }, done);
        });
      },
    );
  });
}

function loadRest(
  backend: Backend,
  loaded: Omit<State, 'alarms' | 'downgrade'>,
  done: (error: Error | undefined, state: State | undefined) => void,
): void {
  AlarmStore.load(backend, (alarmError, alarms) => {
    if (alarms === undefined) {
      done(alarmError, undefined);
      return;
    }
    Downgrade.load(backend, (downgradeError, downgrade) => {
      if (downgrade === undefined) done(downgradeError, undefined);
      else done(undefined, { ...loaded, alarms, downgrade });
    });
  });
}
