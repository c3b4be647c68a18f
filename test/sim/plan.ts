/**
 * What a run will do, as data: everything that is chosen before it starts. A seed makes a plan; the
 * shrinker makes smaller ones of it.
 *
 * Plans differ in character (swarm testing): each seed draws which kinds of fault it has at all and
 * how hard they hit, so that rare combinations of few kinds come up as well as everything at once.
 */
import { type Chance, streamOf } from './chance.ts';
import { drawFaults, isDamage, type PlannedFault } from './fault-plan.ts';
import { drawMembership, type MembershipPlan } from './membership-plan.ts';

/** What a change costs in a quota beside its value, about. */
const changeBytes = 130;

export interface ServerSettings {
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly preVote: boolean;
  /** Applied entries after which the log is compacted. */
  readonly snapshotCount: number;
  readonly catchUpEntries: number;
  readonly flushIntervalMs: number;
  /** Memory for values, small enough that some are read from disk. */
  readonly cacheBytes: number;
  readonly logCacheBytes: number;
  /** How long a compaction rests before each of its steps. */
  readonly compactionRestMs: number;
  /** Changes of the state that may wait for a flush: few, so that some members apply late. */
  readonly pendingLimitBytes: number;
  /** Time from one note of what a lease has left to the next: short, as the leases are. */
  readonly leaseCheckpointIntervalMs: number;
  /** So little in some runs that the state is full now and then; undefined: no limit. */
  readonly quotaBackendBytes: number | undefined;
  /** Small enough that logs travel in pieces and that leaders refuse proposals. */
  readonly limits: {
    readonly appendSizeLimitBytes: number;
    readonly uncommittedSizeLimitBytes: number;
  };
}

/** What a member keeps for watchers and sends them at a time: little, so that some fall behind. */
export interface WatchSettings {
  readonly unsentDeliveries: number;
  readonly unsentBytes: number;
  readonly fragmentBytes: number;
}

/** How the network is when nothing is wrong with it. */
export interface NetworkSettings {
  /** Messages by themselves, or the real transport over streams. */
  readonly kind: 'messages' | 'streams';
  readonly delayMs: { readonly least: number; readonly most: number };
  readonly drop: number;
  readonly duplicate: number;
  readonly reorder: number;
  readonly breakSnapshot: number;
}

export interface DiskSettings {
  readonly syncMs: { readonly least: number; readonly most: number };
  /** The longest that a read of many pairs takes. */
  readonly readMs: number;
}

export interface ClientPlan {
  readonly name: string;
  /** Position of the member that it always asks; undefined: any, another one after a failure. */
  readonly member: number | undefined;
  readonly thinkMs: number;
  readonly timeoutMs: number;
}

export interface WatcherPlan {
  readonly name: string;
  readonly member: number | undefined;
  readonly key: string;
  /** Undefined: the one key. */
  readonly rangeEnd: string | undefined;
  readonly startRevision: number;
  readonly prevKv: boolean;
  readonly progressNotify: boolean;
  readonly fragment: boolean;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  /** Time that the client takes over each answer. */
  readonly readMs: number;
  /** Mean time between requests for progress; 0: none. */
  readonly askMs: number;
}

export interface LeaseHolderPlan {
  readonly name: string;
  readonly number: number;
  readonly ttlSeconds: number;
  readonly thinkMs: number;
  readonly timeoutMs: number;
  /** Keys that it hangs on its leases. */
  readonly keys: number;
}

export interface LockHolderPlan {
  readonly name: string;
  readonly ttlSeconds: number;
  /** Mean time for which it holds the lock. */
  readonly holdMs: number;
  readonly timeoutMs: number;
}

export interface Plan {
  readonly seed: number;
  readonly members: number;
  readonly server: ServerSettings;
  readonly watch: WatchSettings;
  readonly network: NetworkSettings;
  readonly disk: DiskSettings;
  /** Members of a program that speaks a newer protocol to the others too, by position. */
  readonly newer: readonly number[];
  /** Speed of each member's clock. */
  readonly clockRates: readonly number[];
  readonly keys: number;
  readonly valueBytes: number;
  /** How often clients compact, and how often txns ask for the past. */
  readonly compactWeight: number;
  readonly pastShare: number;
  readonly clients: readonly ClientPlan[];
  readonly watchers: readonly WatcherPlan[];
  readonly leaseHolders: readonly LeaseHolderPlan[];
  readonly lockHolders: readonly LockHolderPlan[];
  readonly faults: readonly PlannedFault[];
  /** How the members change; undefined: they stay as they are. */
  readonly membership: MembershipPlan | undefined;
  /** Least length of the first phase; it goes on until enough has happened. */
  readonly chaosMs: number;
}

export function drawPlan(seed: number): Plan {
  const chance = streamOf(seed, 'plan');
  const leases = streamOf(seed, 'leases');
  const members = chance.pick([1, 3, 3, 3, 3, 3, 5, 5]);
  const heartbeatMs = chance.pick([50, 100]);
  const server: Omit<ServerSettings, 'quotaBackendBytes'> = {
    heartbeatMs,
    electionMs: heartbeatMs * (5 + chance.below(6)),
    preVote: chance.chance(0.8),
    snapshotCount: chance.pick([5, 10, 10, 40, 150, 10_000]),
    catchUpEntries: chance.pick([0, 0, 5, 30, 200]),
    flushIntervalMs: chance.pick([20, 100, 400]),
    cacheBytes: chance.pick([2_000, 64_000, 1_000_000]),
    logCacheBytes: chance.pick([2_000, 64_000, 1_000_000]),
    compactionRestMs: chance.pick([10, 300, 3_000]),
    pendingLimitBytes: chance.pick([500, 20_000, 128_000_000]),
    leaseCheckpointIntervalMs: leases.pick([400, 1_000, 3_000]),
    limits: {
      appendSizeLimitBytes: chance.pick([1, 500, 1_000_000]),
      uncommittedSizeLimitBytes: chance.pick([2_000, 20_000, 1_000_000]),
    },
  };
  const watch: WatchSettings = {
    unsentDeliveries: chance.pick([1, 3, 4_000]),
    unsentBytes: chance.pick([500, 1_000_000]),
    fragmentBytes: chance.pick([300, 1_000, 1_000_000]),
  };
  const keys = chance.pick([2, 5, 12, 30]);
  const chaosMs = chance.between(9_000, 15_000);
  const plan = {
    seed,
    members,
    watch,
    network: drawNetwork(chance),
    disk: {
      syncMs: { least: 0.2, most: chance.octaves(1, 16) },
      readMs: chance.pick([0, 0, 2, 20]),
    },
    newer: Array.from({ length: members }, (_, i) => i).filter(() => chance.chance(0.15)),
    clockRates: Array.from({ length: members }, () =>
      chance.chance(0.3) ? chance.between(0.9, 1.1) : 1,
    ),
    keys,
    valueBytes: chance.pick([0, 0, 0, 100, 3_000]),
    compactWeight: chance.pick([1, 1, 4]),
    pastShare: chance.pick([0.2, 0.2, 0.8]),
    clients: drawClients(chance, members),
    watchers: drawWatchers(chance, members, keys),
    leaseHolders: drawLeaseHolders(leases, streamOf(seed, 'keys on leases')),
    lockHolders: drawLockHolders(streamOf(seed, 'locks')),
    faults: drawFaults(streamOf(seed, 'faults'), {
      members,
      chaosMs,
      electionMs: server.electionMs,
    }),
    chaosMs,
  };
  const quotaBackendBytes = drawQuota(streamOf(seed, 'quota'), plan.valueBytes);
  // From a stream of its own, and at the end: plans without such changes are what they were.
  const drawn = drawMembership(streamOf(seed, 'changes of membership'), plan);
  return {
    ...plan,
    server: { ...server, quotaBackendBytes },
    membership: drawn?.membership,
    faults: drawn === undefined ? plan.faults : withChanges(plan.faults, drawn.faults),
  };
}

/** Without damage: how much of it a cluster stands goes by members that are not known yet. */
function withChanges(
  faults: readonly PlannedFault[],
  changes: readonly PlannedFault[],
): readonly PlannedFault[] {
  return [...faults.filter(({ fault }) => !isDamage(fault)), ...changes];
}

/** Room for so few changes that clients' compactions come to matter. */
function drawQuota(chance: Chance, valueBytes: number): number | undefined {
  const changes = chance.octaves(8, 64);
  return chance.chance(0.4) ? Math.ceil(changes * (valueBytes + changeBytes)) : undefined;
}

function drawNetwork(chance: Chance): NetworkSettings {
  const rare = (most: number): number => (chance.chance(0.4) ? chance.next() * most : 0);
  return {
    kind: chance.pick(['messages', 'streams']),
    delayMs: { least: 0.1, most: chance.octaves(0.5, 20) },
    drop: rare(0.05),
    duplicate: rare(0.1),
    reorder: rare(0.3),
    breakSnapshot: rare(0.3),
  };
}

function drawClients(chance: Chance, members: number): ClientPlan[] {
  const timeoutMs = chance.pick([1_000, 3_000, 8_000]);
  const count = 4 + chance.below(6);
  return Array.from({ length: count }, (_, i) => ({
    name: `c${i + 1}`,
    member: chance.chance(0.7) ? i % members : undefined,
    thinkMs: chance.octaves(40, 320),
    timeoutMs,
  }));
}

function drawWatchers(chance: Chance, members: number, keys: number): WatcherPlan[] {
  return Array.from({ length: 1 + chance.below(4) }, (_, i) => {
    const one = chance.chance(0.3);
    const filtered = chance.chance(0.25);
    const noPut = filtered && chance.chance(0.5);
    return {
      name: `w${i + 1}`,
      member: chance.chance(0.7) ? chance.below(members) : undefined,
      key: one ? keyName(chance.below(keys)) : chance.pick(['', keyName(0), keyName(keys >> 1)]),
      rangeEnd: one ? undefined : chance.pick(['\0', '\0', keyName(keys)]),
      startRevision: chance.pick([0, 0, 1, 5, 30]),
      prevKv: chance.chance(0.5),
      progressNotify: chance.chance(0.5),
      fragment: chance.chance(0.3),
      noPut,
      noDelete: filtered && !noPut,
      readMs: chance.pick([0, 0, 1, 40]),
      askMs: chance.pick([0, 0, 150, 1_000]),
    };
  });
}

function drawLeaseHolders(chance: Chance, ofKeys: Chance): LeaseHolderPlan[] {
  if (chance.chance(0.4)) return [];
  // From a stream of its own: holders without keys do what they did before there were any.
  const keys = ofKeys.pick([0, 1, 3, 3]);
  return Array.from({ length: 1 + chance.below(4) }, (_, i) => {
    const ttlSeconds = chance.pick([1, 2, 3, 5, 8]);
    return {
      name: `l${i + 1}`,
      number: i,
      ttlSeconds,
      // Some renew in good time, others just so.
      thinkMs: ttlSeconds * chance.pick([50, 200, 450]),
      timeoutMs: chance.pick([1_000, 3_000, 8_000]),
      keys,
    };
  });
}

function drawLockHolders(chance: Chance): LockHolderPlan[] {
  if (chance.chance(0.5)) return [];
  const holdMs = chance.pick([20, 100, 500]);
  return Array.from({ length: 2 + chance.below(4) }, (_, i) => ({
    name: `o${i + 1}`,
    // Some leases end while their holders wait, others long after they were forgotten.
    ttlSeconds: chance.pick([1, 1, 2, 4]),
    holdMs,
    timeoutMs: chance.pick([1_000, 3_000, 8_000]),
  }));
}

/** Keys of the workload in byte order. */
export function keyName(number: number): string {
  return `k${String(number).padStart(2, '0')}`;
}
