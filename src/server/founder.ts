/**
 * Introduces this member to the others until all of them know it, and tells when it may take part
 * (`cluster/founding.ts` decides that).
 */
import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import { Founding, type FoundingOptions, type Introduction } from '../cluster/founding.ts';
import type { MemberId } from '../raft/index.ts';
import { asError } from '../storage/errors.ts';
import { memberHex } from './server.ts';

/** How often a member that may not take part yet asks the others; a cluster is founded in a few. */
const askEveryMs = 100;
/**
 * How long members that found the cluster wait for the rest. Those that are up connect sooner: each
 * dials, and is dialled back at once.
 */
const foundingWaitMs = 2000;
/** How often one that takes part asks those who were not there before. */
const askLaterEveryMs = 1000;
/** How often a member that still waits says so. */
const reportEveryMs = 30_000;

export interface FounderOptions extends FoundingOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly introduce: (to: MemberId, introduction: Introduction) => void;
  /** It may vote, stand for election and acknowledge, from now on. Called at most once. */
  readonly takePart: () => void;
  /** It must not take part, or cannot make durable that it does. */
  readonly failed: (error: Error) => void;
}

export class Founder {
  readonly #options: FounderOptions;
  readonly #founding: Founding;
  #timer: Timer | undefined;
  #wait: Timer | undefined;
  #reportedMs = -Infinity;
  #started = false;

  constructor(options: FounderOptions) {
    this.#options = options;
    this.#founding = new Founding(options);
  }

  get takesPart(): boolean {
    return this.#founding.takesPart;
  }

  start(): void {
    this.#started = true;
    if (!this.takesPart) {
      const waitNoLonger = (): void => this.#change(() => this.#founding.waitNoLonger());
      this.#wait = this.#options.clock.after(foundingWaitMs, waitNoLonger);
    }
    this.#ask();
  }

  stop(): void {
    this.#started = false;
    this.#timer?.cancel();
    this.#wait?.cancel();
  }

  /** Members came or went: those that came are to know this one. */
  othersChanged(): void {
    if (!this.#started) return;
    this.#timer?.cancel();
    this.#ask();
  }

  introduced(member: MemberId, introduction: Introduction): void {
    if (!this.#options.others().includes(member)) return;
    this.#change(() => {
      this.#founding.hear(member, introduction);
      if (introduction.asks) this.#introduce(member, false);
    });
  }

  #change(change: () => void): void {
    const { logger, takePart, failed } = this.#options;
    const before = this.takesPart;
    try {
      change();
    } catch (thrown) {
      failed(asError(thrown));
      return;
    }
    if (before === this.takesPart) return;
    logger.info({}, 'this member takes part in its cluster from now on');
    takePart();
  }

  #introduce(member: MemberId, asks: boolean): void {
    this.#options.introduce(member, this.#founding.introductionTo(member, asks));
  }

  #ask(): void {
    const { clock, others } = this.#options;
    // One that waits asks everybody: what they have become since may be what it waits for.
    const unasked = others().filter((each) => !this.takesPart || !this.#founding.isKnownTo(each));
    if (unasked.length === 0) return;
    for (const member of unasked) this.#introduce(member, true);
    if (!this.takesPart) this.#report();
    const restMs = this.takesPart ? askLaterEveryMs : askEveryMs;
    this.#timer = clock.after(restMs, () => this.#ask());
  }

  #report(): void {
    const { clock, logger, others } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#reportedMs < reportEveryMs) return;
    const first = this.#reportedMs === -Infinity;
    this.#reportedMs = nowMs;
    const awaited = others().filter((each) => !this.#founding.isKnownTo(each));
    const isAdded = this.#options.founders.length === 0;
    logger[first ? 'info' : 'warn'](
      {
        'not-heard-of': awaited.map(memberHex),
        ...(isAdded && { witnesses: this.#founding.witnesses.map(memberHex) }),
      },
      isAdded
        ? 'the data directory is new; this member takes part once most of those that worked when ' +
            'it was added, its witnesses, have noted it'
        : 'the data directory is new; this member takes part once it knows from others that they ' +
            'found the cluster with it, or work without it',
    );
  }
}
