/**
 * What leases must and must not do, seen from outside: holders tell what they were promised, the
 * log tells when a lease ended. Time is the simulation's; members' clocks run up to a tenth faster
 * or slower.
 */
import { decodeCommand } from '../../src/apply/request.ts';
import { anyGrant } from '../../src/lease/lease.ts';
import { type Entry, EntryKind } from '../../src/raft/index.ts';

/** The fastest clock that a plan gives to a member. */
export const fastestRate = 1.1;

interface Known {
  /** Before this it must not run out. */
  promisedUntilMs: number;
  /** Its holder has asked for its end: from then on it may be gone. */
  givenUp: boolean;
  /** When the holder was told that it is revoked. */
  revokedMs: number | undefined;
  /** When the first member applied its end. */
  endedMs: number | undefined;
}

type Broken = (rule: string, text: string) => void;

export class LeaseLedger {
  readonly #nowMs: () => number;
  readonly #broken: Broken;
  readonly #leases = new Map<bigint, Known>();
  /** Leases that ran out, as the log says. */
  expired = 0;
  renewals = 0;

  constructor(nowMs: () => number, broken: Broken) {
    this.#nowMs = nowMs;
    this.#broken = broken;
  }

  /** A grant or a renewal asked for at `startMs` was answered with so much time. */
  promised(id: bigint, startMs: number, seconds: number): void {
    const known = this.#known(id);
    this.renewals++;
    const untilMs = startMs + (seconds * 1000) / fastestRate;
    known.promisedUntilMs = Math.max(known.promisedUntilMs, untilMs);
    if (known.revokedMs !== undefined && startMs > known.revokedMs) {
      this.#broken('lease-undead', `lease ${id} was renewed after it was said to be revoked`);
    }
    this.#check(id, known);
  }

  /** The holder asks for its end. */
  givenUp(id: bigint): void {
    this.#known(id).givenUp = true;
  }

  revoked(id: bigint): void {
    const known = this.#known(id);
    known.revokedMs ??= this.#nowMs();
    if (known.endedMs === undefined) {
      this.#broken('lease-undead', `lease ${id} is said to be revoked, and the log knows no end`);
    }
  }

  /** A question asked at `startMs` found the lease alive. */
  seen(id: bigint, startMs: number): void {
    const { revokedMs } = this.#known(id);
    if (revokedMs !== undefined && startMs > revokedMs) {
      this.#broken('lease-undead', `lease ${id} was found after it was said to be revoked`);
    }
  }

  /** The holder was told that there is no such lease. */
  missed(id: bigint): void {
    if (this.#known(id).endedMs === undefined) {
      this.#broken('lease-lost', `lease ${id} is said to be gone, and the log knows no end`);
    }
  }

  /** A member is the first to apply an entry. */
  applied({ kind, data }: Entry): void {
    if (kind !== EntryKind.normal || data.length === 0) return;
    const { command } = decodeCommand(data);
    if (command.case !== 'leaseRevoke') return;
    const known = this.#known(command.value.id);
    if (known.endedMs !== undefined) return;
    known.endedMs = this.#nowMs();
    if (command.value.grant !== anyGrant) this.expired++;
    this.#check(command.value.id, known);
  }

  #known(id: bigint): Known {
    let known = this.#leases.get(id);
    if (known === undefined) {
      known = {
        promisedUntilMs: Number.NEGATIVE_INFINITY,
        givenUp: false,
        revokedMs: undefined,
        endedMs: undefined,
      };
      this.#leases.set(id, known);
    }
    return known;
  }

  #check(id: bigint, { endedMs, promisedUntilMs, givenUp }: Known): void {
    if (endedMs === undefined || givenUp || endedMs >= promisedUntilMs) return;
    const early = Math.round(promisedUntilMs - endedMs);
    this.#broken('lease-early', `lease ${id} ended ${early} ms before its promised time was over`);
  }
}
