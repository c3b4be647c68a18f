/**
 * Who was told to hold the lock, held against the log: at the revision of the answer the answered
 * key must be the oldest of those that there are. So no two have it at a time whose keys, the proof
 * of it, are there.
 */
import { latin1 } from '../../src/base/bytes.ts';
import { type Event, EventType } from '../../src/gen/kv.ts';
import type { History, LockFact, Violation } from './history.ts';

export class LockLedger {
  readonly #prefix: string;
  readonly #answers: LockFact[] = [];

  /** @param name of the lock; its keys are below `name/` */
  constructor(name: string) {
    this.#prefix = `${name}/`;
  }

  /** A client was told, by an answer of this revision, that it holds the lock. */
  answered(key: string, revision: number): void {
    this.#answers.push({ key, revision });
  }

  get locks(): number {
    return this.#answers.length;
  }

  /**
   * What is wrong with the first answer that is.
   *
   * @param events all that happened, in order
   */
  breach(events: readonly Event[]): string | undefined {
    const oldest = oldestKeys(events, this.#prefix);
    for (const { key, revision } of this.#answers) {
      const owner = oldest.findLast((each) => each.revision <= revision);
      if (owner?.key === key) continue;
      return `${key} has the lock at revision ${revision}, where ${owner?.key ?? 'none'} is oldest`;
    }
    return undefined;
  }
}

interface Oldest {
  /** From this revision on. */
  readonly revision: number;
  readonly key: string | undefined;
}

/** The oldest key of the lock's after each change of one of them. */
function oldestKeys(events: readonly Event[], prefix: string): readonly Oldest[] {
  // Keys keep the order in which they were created.
  const present = new Set<string>();
  const oldest: Oldest[] = [];
  for (const { type, kv } of events) {
    if (kv === undefined) continue;
    const key = latin1(kv.key);
    if (!key.startsWith(prefix)) continue;
    if (type === EventType.delete) present.delete(key);
    else present.add(key);
    const [first] = present;
    oldest.push({ revision: kv.modRevision, key: first });
  }
  return oldest;
}

/** Rule: `lock-owner`. */
export function checkLocks({ locks, events }: History): Violation[] {
  if (locks === undefined || events === undefined) return [];
  const ledger = new LockLedger(locks.name);
  for (const { key, revision } of locks.held) ledger.answered(key, revision);
  const text = ledger.breach(events);
  return text === undefined ? [] : [{ rule: 'lock-owner', text, operations: [] }];
}
