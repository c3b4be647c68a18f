/** The faults of a run: what, when and for how long. */
import { type FaultPoint, faultPoints } from '../../src/base/fault-point.ts';
import type { Chance } from './chance.ts';
import type { MembershipFault } from './membership-plan.ts';

/** A member by position, or by what it is when the fault comes. */
export type Target = number | 'leader' | 'follower';

/** Faults that follow each other (scenarios.ts). */
export type Scenario =
  'coup' | 'figure-8' | 'overwrite' | 'stale-reader' | 'late-news' | 'left-behind';

export type Fault =
  /** The process ends at once. With `power`, what was not synced may be lost, any part of it. */
  | { readonly kind: 'crash'; readonly target: Target; readonly power: boolean }
  | { readonly kind: 'crash-all'; readonly power: boolean }
  /** An orderly stop, which hands leadership over. */
  | { readonly kind: 'stop'; readonly target: Target }
  /** The process stands still. */
  | { readonly kind: 'pause'; readonly target: Target }
  /** Members of two groups do not reach each other; the bits of `group` say which. */
  | { readonly kind: 'split'; readonly group: number }
  | { readonly kind: 'isolate'; readonly target: Target }
  /** Messages from, or to, one member are lost; the other way is open. */
  | { readonly kind: 'one-way'; readonly target: Target; readonly from: boolean }
  /** Each member reaches only its neighbours in a ring: majorities differ from member to member. */
  | { readonly kind: 'ring' }
  /** Links are cut one by one and mended one by one, in another order. */
  | { readonly kind: 'swizzle'; readonly share: number }
  | { readonly kind: 'slow-network'; readonly delayMs: number }
  | { readonly kind: 'lossy-network'; readonly drop: number }
  /** Everything between one member and the others takes longer. */
  | { readonly kind: 'slow-link'; readonly target: Target; readonly delayMs: number }
  /** What has arrived comes once more, long after. */
  | { readonly kind: 'echo'; readonly share: number; readonly delayMs: number }
  /** Clients do not reach a member. */
  | { readonly kind: 'cut-clients'; readonly target: Target }
  | { readonly kind: 'slow-disk'; readonly target: Target; readonly syncMs: number }
  /** The member crashes, or a write fails, at a step of its work: the how manyeth time it comes. */
  | {
      readonly kind: 'crash-at';
      readonly target: Target;
      readonly point: FaultPoint;
      readonly time: number;
      readonly power: boolean;
      readonly fails: boolean;
    }
  /** The next write fails, as on a broken or full disk: the member must end. */
  | { readonly kind: 'failing-disk'; readonly target: Target; readonly code: 'EIO' | 'ENOSPC' }
  | { readonly kind: 'clock-jump'; readonly target: Target; readonly ms: number }
  | { readonly kind: 'transfer'; readonly to: number }
  /** `draw` is the seed of what it leaves to chance. */
  | { readonly kind: Scenario; readonly draw: number }
  /** Many requests at once. */
  | { readonly kind: 'burst'; readonly requests: number }
  /** A stored value changes behind the member's back, which crashes to find it. */
  | { readonly kind: 'bit-rot'; readonly target: number; readonly database: 'log' | 'state' }
  /** A database of a member that is down is gone when it comes back. */
  | { readonly kind: 'lost-file'; readonly target: number; readonly database: 'log' | 'state' }
  /** A member that is down comes back with an empty disk: the others must not take it in. */
  | { readonly kind: 'emptied-disk'; readonly target: number }
  | MembershipFault;

export type FaultKind = Fault['kind'];

export interface PlannedFault {
  readonly atMs: number;
  /** How long it lasts, or how long what it ended stays away. */
  readonly forMs: number;
  readonly fault: Fault;
}

interface Frame {
  readonly members: number;
  readonly chaosMs: number;
  readonly electionMs: number;
}

type DrawnKind = Exclude<FaultKind, MembershipFault['kind']>;

const kinds: readonly DrawnKind[] = [
  'crash',
  'crash-all',
  'stop',
  'pause',
  'split',
  'isolate',
  'one-way',
  'ring',
  'swizzle',
  'slow-network',
  'lossy-network',
  'slow-link',
  'echo',
  'crash-at',
  'cut-clients',
  'slow-disk',
  'failing-disk',
  'clock-jump',
  'transfer',
  'burst',
];

/** Whether a fault takes what only other members can give back, if anybody. */
export function isDamage({ kind }: Fault): boolean {
  return kind === 'bit-rot' || kind === 'lost-file' || kind === 'emptied-disk';
}

/** Those that need the most luck come up twice as often. */
const scenarios: readonly Scenario[] = [
  'coup',
  'coup',
  'figure-8',
  'overwrite',
  'stale-reader',
  'late-news',
  'left-behind',
  'left-behind',
];
const points = Object.keys(faultPoints) as FaultPoint[];

/** Time before the first fault: a leader is there and has been written to. */
const calmMs = 2_000;

export function drawFaults(chance: Chance, frame: Frame): PlannedFault[] {
  const played = drawScenarios(chance, frame);
  const count = 12 + chance.below(14) - played.length;
  // Half the time scenarios are left alone: other faults come after them.
  const last = played.at(-1);
  const firstMs = last !== undefined && chance.chance(0.5) ? last.atMs + last.forMs : calmMs;
  const weights = drawWeights(chance);
  const faults: PlannedFault[] = [];
  for (let i = 0; i < count; i++) {
    const atMs = chance.between(Math.min(firstMs, frame.chaosMs - calmMs), frame.chaosMs);
    const kind = i < 2 ? electing(chance) : chance.weighted(weights);
    const fault = i < 2 ? againstLeader(kind) : drawFault(kind, chance, frame);
    faults.push({ atMs, forMs: drawLength(kind, chance, frame), fault });
  }
  const damage = drawDamage(chance, frame);
  faults.push(...played, ...damage);
  if (damage.length === 0) faults.push(...drawEmptied(chance, frame));
  return faults.sort((a, b) => a.atMs - b.atMs);
}

/** One after the other, from the beginning on: each takes some elections. */
function drawScenarios(chance: Chance, frame: Frame): PlannedFault[] {
  const { members, electionMs, chaosMs } = frame;
  const played: PlannedFault[] = [];
  if (members < 3 || chance.chance(0.2)) return played;
  let atMs = calmMs + chance.between(0, 300);
  while (played.length < 3 && atMs < chaosMs - calmMs) {
    const forMs = Math.min(electionMs * chance.between(6, 10), chaosMs / 2);
    const fault = { kind: chance.pick(scenarios), draw: chance.below(2 ** 31) };
    played.push({ atMs, forMs, fault });
    atMs += forMs + chance.between(0, 500);
  }
  return played;
}

/** Each seed has some kinds often, some rarely and many not at all. */
function drawWeights(chance: Chance): Record<DrawnKind, number> {
  const share = chance.between(0.2, 1);
  const weights = Object.fromEntries(
    kinds.map((kind) => [kind, chance.chance(share) ? chance.octaves(1, 16) : 0]),
  );
  weights['crash'] ||= 1;
  return weights as Record<DrawnKind, number>;
}

/** Every run loses its leader, so that an election happens under load. */
function electing(chance: Chance): DrawnKind {
  return chance.pick(['crash', 'pause', 'isolate'] as const);
}

function againstLeader(kind: FaultKind): Fault {
  if (kind === 'pause') return { kind, target: 'leader' };
  if (kind === 'isolate') return { kind, target: 'leader' };
  return { kind: 'crash', target: 'leader', power: true };
}

function drawLength(kind: FaultKind, chance: Chance, { electionMs }: Frame): number {
  if (kind === 'crash' && chance.chance(0.3)) return chance.between(10, 300);
  // Long enough that one who is cut off must give up, and that the check of it counts.
  if (kind === 'isolate' && chance.chance(0.3)) return 1_500 + electionMs * chance.between(3, 6);
  // Its step may come late.
  if (kind === 'crash-at') return chance.between(2_000, 8_000);
  // A pause of less than an election goes unnoticed; one of ten is the end of a leadership.
  return chance.octaves(electionMs / 4, electionMs * 8);
}

function drawTarget(chance: Chance, { members }: Frame): Target {
  return chance.pick(['leader', 'leader', 'follower', chance.below(members)] as const);
}

function drawFault(kind: DrawnKind, chance: Chance, frame: Frame): Fault {
  const target = drawTarget(chance, frame);
  switch (kind) {
    case 'crash':
      return { kind, target, power: chance.chance(0.7) };
    case 'crash-all':
      return { kind, power: chance.chance(0.8) };
    case 'split':
      return { kind, group: chance.below(2 ** frame.members) };
    case 'one-way':
      return { kind, target, from: chance.chance(0.5) };
    case 'ring':
      return { kind };
    case 'swizzle':
      return { kind, share: chance.between(0.2, 0.9) };
    case 'slow-network':
      return { kind, delayMs: chance.octaves(20, 1_000) };
    case 'lossy-network':
      return { kind, drop: chance.between(0.05, 0.6) };
    case 'slow-link':
      return { kind, target, delayMs: chance.octaves(25, 1_600) };
    case 'echo':
      return { kind, share: chance.between(0.1, 1), delayMs: chance.octaves(200, 6_400) };
    case 'crash-at':
      return drawPoint(target, chance);
    case 'coup':
    case 'figure-8':
    case 'overwrite':
    case 'stale-reader':
    case 'late-news':
    case 'left-behind':
      return { kind, draw: chance.below(2 ** 31) };
    case 'slow-disk':
      return { kind, target, syncMs: chance.octaves(100, 5_000) };
    case 'failing-disk':
      return { kind, target, code: chance.pick(['EIO', 'ENOSPC'] as const) };
    case 'clock-jump':
      return { kind, target, ms: chance.between(-3_600_000, 3_600_000) };
    case 'transfer':
      return { kind, to: chance.below(frame.members) };
    case 'burst':
      return { kind, requests: 20 + chance.below(100) };
    case 'stop':
    case 'pause':
    case 'isolate':
    case 'cut-clients':
      return { kind, target };
    case 'bit-rot':
    case 'lost-file':
      return { kind, target: chance.below(frame.members), database: 'log' };
    case 'emptied-disk':
      return { kind, target: chance.below(frame.members) };
  }
}

function drawPoint(target: Target, chance: Chance): Fault {
  const point = chance.pick(points);
  const time = 1 + chance.below(chance.pick([1, 4, 20]));
  const fails = faultPoints[point] === 'fail' && chance.chance(0.3);
  return { kind: 'crash-at', target, point, time, power: chance.chance(0.7), fails };
}

/** Damage that only other members can make good: in fewer of them than would lose a quorum. */
function drawDamage(chance: Chance, { members, chaosMs }: Frame): PlannedFault[] {
  if (members < 3 || !chance.chance(0.25)) return [];
  const victims = chance
    .shuffled(Array.from({ length: members }, (_, i) => i))
    .slice(0, 1 + chance.below((members - 1) / 2));
  return victims.map((target) => ({
    atMs: chance.between(calmMs, chaosMs),
    forMs: chance.between(100, 3_000),
    fault: {
      kind: chance.pick(['bit-rot', 'lost-file'] as const),
      target,
      database: chance.pick(['log', 'state'] as const),
    },
  }));
}

/** One for good, so that nobody else may be damaged. */
function drawEmptied(chance: Chance, { members, chaosMs }: Frame): PlannedFault[] {
  if (members < 3 || !chance.chance(0.25)) return [];
  const fault: Fault = { kind: 'emptied-disk', target: chance.below(members) };
  return [{ atMs: chance.between(calmMs, chaosMs), forMs: chance.between(100, 3_000), fault }];
}
