/**
 * Leases and the keys that hang on them, for a history whose truth was seen and whose log was not.
 *
 * Whoever is told of the end of a lease was not there when it came. So an end is found where it
 * shows: in a revision that deletes keys of one lease and is no answered write. If it deletes all
 * of them it is explained; what leaves a key, or comes in two revisions, nothing explains, and the
 * replay says so (`kv-explained`).
 *
 * Rules, beside those of `lease-ledger.ts`: `lease-keys` (a key hangs on a lease after its end).
 */
import { emptyBytes, fromLatin1, latin1 } from '../../src/base/bytes.ts';
import { type Event, EventType } from '../../src/gen/kv.ts';
import { DeleteRangeRequest, type RequestOp, TxnRequest } from '../../src/gen/rpc.ts';
import { quoted } from './describe.ts';
import type { Call, History, Violation } from './history.ts';
import { contains, type Interval, intervalOf } from './interval.ts';
import { LeaseLedger, type LeaseTime } from './lease-ledger.ts';
import { answeredRevision, madeRevision } from './operations.ts';
import type { Sightings } from './sightings.ts';

const noLease = 0n;
/**
 * Clients and servers count by the same clock, that of their machine, and a lease's time begins
 * after it was asked for. A process whose turn comes late only knows of an end later.
 */
const oneMachine: LeaseTime = { fastestRate: 1, marginMs: 20 };

/** A revision that may be the end of a lease. */
interface LeaseEnd {
  readonly lease: bigint;
  readonly revision: number;
  /** All that hung on it right before, in order. */
  readonly keys: readonly string[];
  readonly deleted: readonly string[];
}

/** What leases must have done in the end, by the revision that each would explain. */
export function leaseDeletions(history: History): ReadonlyMap<number, Call> {
  return new Map(leaseEnds(history).map(({ revision, keys }) => [revision, deletionOf(keys)]));
}

function deletionOf(keys: readonly string[]): Call {
  const success = keys.map((key): RequestOp => {
    const value = DeleteRangeRequest.create({ key: fromLatin1(key) });
    return { request: { case: 'requestDeleteRange', value } };
  });
  return { kind: 'txn', request: TxnRequest.create({ success }) };
}

/** @param sightings tell by when the revision of an end was there */
export function checkLeases(history: History, sightings: Sightings): Violation[] {
  const { leases = [] } = history;
  const violations: Violation[] = [];
  const broken = (rule: string, text: string): void => {
    violations.push({ rule, text, operations: [] });
  };
  const ledger = new LeaseLedger(oneMachine, broken);
  for (const { kind, lease, startMs } of leases) {
    if (kind === 'givenUp') ledger.givenUp(lease, startMs);
  }
  for (const fact of leases) {
    const { lease, startMs, endMs } = fact;
    switch (fact.kind) {
      case 'promised':
        ledger.promised(lease, startMs, fact.seconds);
        break;
      case 'found':
        ledger.found(lease, startMs);
        break;
      case 'revoked':
      case 'gone':
        ledger.toldEnd(lease, endMs);
        break;
      case 'givenUp':
        break;
    }
  }
  const deletions = lostDeletions(history);
  for (const { lease, revision, deleted } of leaseEnds(history)) {
    const byMs = sightings.madeByMs(revision);
    const isAnother = deletions.some(({ startMs, interval }) => {
      return startMs <= byMs && deleted.every((key) => contains(interval, key));
    });
    if (!isAnother) ledger.ended(lease, byMs);
  }
  checkKeys(history, broken);
  return violations;
}

/** Those of which nobody knows whether and when they happened: they can look like ends. */
function lostDeletions({
  operations,
  ofServices = [],
}: History): readonly { readonly startMs: number; readonly interval: Interval }[] {
  return [...operations, ...ofServices].flatMap(({ call, outcome, startMs }) => {
    const isLost = call.kind === 'deleteRange' && outcome.kind === 'unknown';
    return isLost ? [{ startMs, interval: intervalOf(call.request) }] : [];
  });
}

/** From the revision of the answer on, nothing hangs on what was revoked. */
function checkKeys(
  { leases = [], events = [] }: History,
  broken: (rule: string, text: string) => void,
): void {
  const revokedAt = new Map<bigint, number>();
  for (const fact of leases) {
    if (fact.kind !== 'revoked') continue;
    revokedAt.set(fact.lease, Math.min(fact.revision, revokedAt.get(fact.lease) ?? Infinity));
  }
  const owned = new KeysOnLeases();
  for (const group of revisionsOf(events)) {
    for (const event of group) owned.apply(event);
    const revision = group[0]?.kv?.modRevision ?? 0;
    for (const [lease, at] of revokedAt) {
      if (revision < at) continue;
      const [key] = owned.keysOf(lease);
      if (key === undefined) continue;
      broken(
        'lease-keys',
        `lease ${lease} is said to be revoked at revision ${at}, ` +
          `and ${quoted(key)} hangs on it at ${revision}`,
      );
      revokedAt.delete(lease);
    }
  }
  for (const [lease, at] of revokedAt) {
    const [key] = owned.keysOf(lease);
    if (key === undefined) continue;
    broken('lease-keys', `lease ${lease} is revoked at revision ${at} and keeps ${quoted(key)}`);
  }
}

function leaseEnds({ operations, ofServices = [], leases, events }: History): readonly LeaseEnd[] {
  if (leases === undefined || events === undefined) return [];
  const acknowledged = new Set<number>();
  for (const operation of [...operations, ...ofServices]) {
    if (madeRevision(operation)) acknowledged.add(answeredRevision(operation) ?? 0);
  }
  const ends: LeaseEnd[] = [];
  const owned = new KeysOnLeases();
  for (const group of revisionsOf(events)) {
    const revision = group[0]?.kv?.modRevision ?? 0;
    const lease = group[0] === undefined ? noLease : owned.leaseOf(group[0]);
    const isEnd =
      lease !== noLease &&
      !acknowledged.has(revision) &&
      group.every((event) => event.type === EventType.delete && owned.leaseOf(event) === lease);
    if (isEnd) {
      const deleted = group.map(({ kv }) => latin1(kv?.key ?? emptyBytes));
      ends.push({ lease, revision, keys: owned.keysOf(lease), deleted });
    }
    for (const event of group) owned.apply(event);
  }
  return ends;
}

/** Events of one revision at a time. */
function* revisionsOf(events: readonly Event[]): Generator<readonly Event[]> {
  let group: Event[] = [];
  for (const event of events) {
    if (group[0] !== undefined && group[0].kv?.modRevision !== event.kv?.modRevision) {
      yield group;
      group = [];
    }
    group.push(event);
  }
  if (group.length > 0) yield group;
}

class KeysOnLeases {
  readonly #leaseOfKey = new Map<string, bigint>();
  readonly #keys = new Map<bigint, Set<string>>();

  apply({ type, kv }: Event): void {
    if (kv === undefined) return;
    const key = latin1(kv.key);
    this.#keys.get(this.#leaseOfKey.get(key) ?? noLease)?.delete(key);
    this.#leaseOfKey.delete(key);
    if (type === EventType.delete || kv.lease === noLease) return;
    this.#leaseOfKey.set(key, kv.lease);
    const keys = this.#keys.get(kv.lease);
    if (keys === undefined) this.#keys.set(kv.lease, new Set([key]));
    else keys.add(key);
  }

  /** What the event's key hangs on before it. */
  leaseOf({ kv }: Event): bigint {
    return kv === undefined ? noLease : (this.#leaseOfKey.get(latin1(kv.key)) ?? noLease);
  }

  keysOf(lease: bigint): readonly string[] {
    return [...(this.#keys.get(lease) ?? [])].sort();
  }
}
