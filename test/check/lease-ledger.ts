/**
 * What leases must and must not do in time, seen from outside. What is told may come in any order,
 * so it serves a run that goes on as well as a history that is complete.
 *
 * Rules: `lease-early` (it ended before the time was over that somebody was promised),
 * `lease-undead` (found after somebody was told of its end).
 */

/** How far the clock of promises and the one of their keepers can differ. */
export interface LeaseTime {
  /** Of the fastest clock that counts a lease's time: 1.1 counts eleven seconds in ten. */
  readonly fastestRate: number;
  /** Beside that: what reading and rounding clocks may cost, in milliseconds. */
  readonly marginMs: number;
}

type Broken = (rule: string, text: string) => void;

interface Known {
  /** Before this it must not run out. */
  promisedUntilMs: number;
  /** Its holder has asked for its end: from then on it may be gone. */
  givenUpMs: number;
  /** When it had ended, at the latest. */
  endedMs: number;
  /** When a client was told so: from then on nobody may find it. */
  toldEndMs: number;
  /** When the newest question was asked that found it alive. */
  foundMs: number;
}

export class LeaseLedger {
  readonly #time: LeaseTime;
  readonly #broken: Broken;
  readonly #leases = new Map<bigint, Known>();
  /** Leases of which something is broken already. */
  readonly #reported = new Set<bigint>();

  constructor(time: LeaseTime, broken: Broken) {
    this.#time = time;
    this.#broken = broken;
  }

  /** A grant or a renewal asked for at `startMs` was answered with so much time. */
  promised(id: bigint, startMs: number, seconds: number): void {
    const known = this.#known(id);
    const untilMs = startMs + (seconds * 1000) / this.#time.fastestRate - this.#time.marginMs;
    known.promisedUntilMs = Math.max(known.promisedUntilMs, untilMs);
    this.found(id, startMs);
  }

  /** A question asked at `startMs` found it alive. */
  found(id: bigint, startMs: number): void {
    const known = this.#known(id);
    known.foundMs = Math.max(known.foundMs, startMs);
    this.#check(id, known);
  }

  /** The holder asks for its end at `atMs`, or does what may look like one. */
  givenUp(id: bigint, atMs: number): void {
    const known = this.#known(id);
    known.givenUpMs = Math.min(known.givenUpMs, atMs);
  }

  /** It had ended at `atMs`, or before. */
  ended(id: bigint, atMs: number): void {
    const known = this.#known(id);
    known.endedMs = Math.min(known.endedMs, atMs);
    this.#check(id, known);
  }

  /** A client was told at `atMs` that it has ended. */
  toldEnd(id: bigint, atMs: number): void {
    const known = this.#known(id);
    known.toldEndMs = Math.min(known.toldEndMs, atMs);
    this.ended(id, atMs);
  }

  #known(id: bigint): Known {
    let known = this.#leases.get(id);
    if (known === undefined) {
      known = {
        promisedUntilMs: Number.NEGATIVE_INFINITY,
        givenUpMs: Number.POSITIVE_INFINITY,
        endedMs: Number.POSITIVE_INFINITY,
        toldEndMs: Number.POSITIVE_INFINITY,
        foundMs: Number.NEGATIVE_INFINITY,
      };
      this.#leases.set(id, known);
    }
    return known;
  }

  #check(id: bigint, known: Known): void {
    const { promisedUntilMs, givenUpMs, endedMs, toldEndMs, foundMs } = known;
    if (this.#reported.has(id)) return;
    if (foundMs > toldEndMs) {
      this.#report(id, 'lease-undead', 'was found after it was said to have ended');
    } else if (endedMs < promisedUntilMs && endedMs < givenUpMs) {
      const early = Math.round(promisedUntilMs - endedMs);
      this.#report(id, 'lease-early', `ended ${early} ms before its promised time was over`);
    }
  }

  #report(id: bigint, rule: string, text: string): void {
    this.#reported.add(id);
    this.#broken(rule, `lease ${id} ${text}`);
  }
}
