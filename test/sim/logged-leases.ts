/**
 * The leases of a run: holders tell what they were promised, the log tells when a lease ended. Time
 * is the simulation's; members' clocks run up to a tenth faster or slower.
 */
import { decodeCommand } from '../../src/apply/request.ts';
import { anyGrant } from '../../src/lease/lease.ts';
import { type Entry, EntryKind } from '../../src/raft/index.ts';
import { LeaseLedger } from '../check/lease-ledger.ts';

/** The fastest clock that a plan gives to a member. */
export const fastestRate = 1.1;

type Broken = (rule: string, text: string) => void;

export class LoggedLeases {
  readonly #nowMs: () => number;
  readonly #broken: Broken;
  readonly #ledger: LeaseLedger;
  /** Those whose end the first member has applied. */
  readonly #ended = new Set<bigint>();
  /** Leases that ran out, as the log says. */
  expired = 0;
  renewals = 0;

  constructor(nowMs: () => number, broken: Broken) {
    this.#nowMs = nowMs;
    this.#broken = broken;
    this.#ledger = new LeaseLedger({ fastestRate, marginMs: 0 }, broken);
  }

  /** A grant or a renewal asked for at `startMs` was answered with so much time. */
  promised(id: bigint, startMs: number, seconds: number): void {
    this.renewals++;
    this.#ledger.promised(id, startMs, seconds);
  }

  /** The holder asks for its end. */
  givenUp(id: bigint): void {
    this.#ledger.givenUp(id, this.#nowMs());
  }

  revoked(id: bigint): void {
    this.#toldEnd(id, 'revoked');
  }

  /** A question asked at `startMs` found the lease alive. */
  seen(id: bigint, startMs: number): void {
    this.#ledger.found(id, startMs);
  }

  /** The holder was told that there is no such lease. */
  missed(id: bigint): void {
    this.#toldEnd(id, 'gone');
  }

  /** A member is the first to apply an entry. */
  applied({ kind, data }: Entry): void {
    if (kind !== EntryKind.normal || data.length === 0) return;
    const { command } = decodeCommand(data);
    if (command.case !== 'leaseRevoke') return;
    const { id, grant } = command.value;
    if (this.#ended.has(id)) return;
    this.#ended.add(id);
    if (grant !== anyGrant) this.expired++;
    this.#ledger.ended(id, this.#nowMs());
  }

  #toldEnd(id: bigint, how: 'revoked' | 'gone'): void {
    if (!this.#ended.has(id)) {
      const rule = how === 'revoked' ? 'lease-undead' : 'lease-lost';
      this.#broken(rule, `lease ${id} is said to be ${how}, and the log knows no end`);
    }
    this.#ledger.toldEnd(id, this.#nowMs());
  }
}
