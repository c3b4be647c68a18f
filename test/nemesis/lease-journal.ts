/** What clients of leases and locks did and were told, for the checkers and in figures. */
import { latin1 } from '../../src/base/bytes.ts';
import type { History, LeaseFact, LockFact } from '../check/history.ts';

/** Of all holders of leases and locks of a run. */
export interface LeaseFigures {
  readonly granted: number;
  readonly renewed: number;
  /** By an answer to whoever asked for it. */
  readonly revoked: number;
  /** Nobody asked for their end, and yet they ended: their time was over. */
  readonly expired: number;
  /** How often somebody was told that it holds the lock. */
  readonly locks: number;
  /** Writes that proved by the key of the lock that it was held. */
  readonly fencedWrites: number;
}

export const lockName = 'lock';

export class LeaseJournal {
  readonly #facts: LeaseFact[] = [];
  readonly #held: LockFact[] = [];
  readonly #granted = new Set<bigint>();
  readonly #givenUp = new Set<bigint>();
  readonly #revoked = new Set<bigint>();
  #renewed = 0;
  #locks = 0;
  #fencedWrites = 0;

  granted(lease: bigint, seconds: number, startMs: number, endMs: number): void {
    this.#granted.add(lease);
    this.#facts.push({ kind: 'promised', lease, seconds, startMs, endMs });
  }

  renewed(lease: bigint, seconds: number, startMs: number, endMs: number): void {
    this.#renewed++;
    this.#facts.push({ kind: 'promised', lease, seconds, startMs, endMs });
  }

  found(lease: bigint, startMs: number, endMs: number): void {
    this.#facts.push({ kind: 'found', lease, startMs, endMs });
  }

  gone(lease: bigint, startMs: number, endMs: number): void {
    this.#facts.push({ kind: 'gone', lease, startMs, endMs });
  }

  /** Its revocation is asked for. */
  givenUp(lease: bigint, startMs: number): void {
    this.#givenUp.add(lease);
    this.#facts.push({ kind: 'givenUp', lease, startMs, endMs: startMs });
  }

  revoked(lease: bigint, revision: number, startMs: number, endMs: number): void {
    this.#revoked.add(lease);
    this.#facts.push({ kind: 'revoked', lease, revision, startMs, endMs });
  }

  /** A client was told by an answer of this revision that it holds the lock. */
  locked(key: Uint8Array, revision: number): void {
    this.#locks++;
    this.#held.push({ key: latin1(key), revision });
  }

  /** The key of the lock was there, with its create revision, when this revision was made. */
  proved(key: Uint8Array, revision: number): void {
    this.#fencedWrites++;
    this.#held.push({ key: latin1(key), revision });
  }

  get facts(): Required<Pick<History, 'leases' | 'locks'>> {
    return { leases: this.#facts, locks: { name: lockName, held: this.#held } };
  }

  /** Of a run that is over, so that no lease is left. */
  get figures(): LeaseFigures {
    return {
      granted: this.#granted.size,
      renewed: this.#renewed,
      revoked: this.#revoked.size,
      expired: [...this.#granted].filter((lease) => !this.#givenUp.has(lease)).length,
      locks: this.#locks,
      fencedWrites: this.#fencedWrites,
    };
  }
}
