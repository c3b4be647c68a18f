/**
 * A member's service about leases to its API: who leads answers by its own clock, the others ask
 * their leader over the connections between members, as often as it takes until the time is up.
 */
import { ChurnMap } from '../base/churn.ts';
import type { Clock } from '../base/clock.ts';
import { EtcdError } from '../base/errors.ts';
import type { Metrics } from '../base/metrics.ts';
import type { Random } from '../base/random.ts';
import { type Command, encodeCommand } from '../apply/request.ts';
import type { Lease } from '../lease/lease.ts';
import type { Lessor } from '../lease/lessor.ts';
import { type MemberId, noMember } from '../raft/index.ts';
import {
  type LeaseAnswer,
  type LeaseAsk,
  type LeaseNote,
  leaseNoteItemsMax,
  type LeaseQuestion,
  type NumberedAnswer,
} from '../transport/lease-notes.ts';
import { defaultCheckpointIntervalMs } from './lease-checkpoints.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { createLeaseMetrics } from './lease-metrics.ts';
import { RequestIds } from './request-id.ts';
import type { ReadDone } from './linearizable-reads.ts';
import { WaitList } from './wait.ts';

/** Questions of clients that may wait for an answer. */
const waitingAsksLimit = 50_000;
/** A question without an answer is asked again, as note or answer may have been lost. */
const retryMs = 500;

export interface LeasesOptions {
  readonly memberId: MemberId;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly requestTimeoutMs: number;
  /** Time from one note of what a lease has left to the next. */
  readonly leaseCheckpointIntervalMs?: number | undefined;
  readonly lessor: () => Lessor;
  readonly leader: () => MemberId;
  readonly term: () => number;
  /** See Server.confirmLeader. */
  readonly confirm: (done: ReadDone) => void;
  /** See LeaseKeeperOptions. */
  readonly mayRevoke: () => boolean;
  /** See RaftDriver.proposeInTerm. */
  readonly propose: (term: number, datas: readonly Uint8Array[]) => boolean;
  readonly sendNote: (to: MemberId, note: LeaseNote) => boolean;
}

/** A question of a client that has no answer yet. */
interface Pending {
  readonly ask: LeaseAsk;
  /** This member looks for the answer itself. */
  here: boolean;
  sentTo: MemberId;
  sentMs: number;
}

export class Leases {
  /** Shorter leases could run out before a new leader is elected (etcd: minTTL). */
  readonly minTtlSeconds: number;
  readonly #options: LeasesOptions;
  readonly #keeper: LeaseKeeper;
  /** Of questions, and of the entries of the keeper, whose outcome nobody waits for. */
  readonly #numbers: RequestIds;
  readonly #waiting: WaitList<LeaseAnswer | 'stopped'>;
  readonly #pending = new ChurnMap<bigint, Pending>();
  #outgoingAsks: Pending[] = [];
  #outgoingAnswers = new Map<MemberId, NumberedAnswer[]>();
  #flushing = false;
  #stopped = false;

  constructor(options: LeasesOptions) {
    this.#options = options;
    const { clock, electionMs, heartbeatMs } = options;
    const electionTicks = Math.floor(electionMs / heartbeatMs);
    this.minTtlSeconds = Math.ceil((Math.floor((3 * electionTicks) / 2) * heartbeatMs) / 1000);
    this.#numbers = new RequestIds(options.random);
    this.#waiting = new WaitList(clock, options.requestTimeoutMs);
    this.#keeper = new LeaseKeeper({
      clock,
      metrics: createLeaseMetrics(options.metrics),
      electionMs,
      checkpointIntervalMs: options.leaseCheckpointIntervalMs ?? defaultCheckpointIntervalMs,
      confirm: options.confirm,
      mayRevoke: options.mayRevoke,
      propose: (term, commands) => options.propose(term, commands.map(this.#encode)),
    });
    this.restored();
  }

  readonly #encode = (command: Command): Uint8Array => encodeCommand(this.#numbers.next(), command);

  /** The state was replaced: another lessor tells of changes from now on. */
  restored(): void {
    this.#options.lessor().setListener(this.#keeper);
  }

  /** An id that no lease has, but for a chance of one in many billions; never 0 or negative. */
  chooseId(): bigint {
    let id = 0n;
    while (id === 0n) id = BigInt.asUintN(63, this.#options.random.bits64());
    return id;
  }

  get(id: bigint): Lease | undefined {
    return this.#options.lessor().get(id);
  }

  /** All leases that this member knows; at the leader those first that run out first. */
  list(): readonly Lease[] {
    return Array.from(this.#options.lessor().all(), (lease) => ({
      lease,
      leftMs: this.#keeper.leftMs(lease.id) ?? 0,
    }))
      .sort((a, b) => a.leftMs - b.leftMs || (a.lease.id < b.lease.id ? -1 : 1))
      .map(({ lease }) => lease);
  }

  /**
   * Gives a lease its whole time again. Resolves with that time in seconds, or with 0 if there is
   * no such lease.
   * @throws EtcdError `noLeader`, `timeout`, `tooManyRequests` or `stopped`
   */
  async renew(id: bigint): Promise<number> {
    const answer = await this.#ask('renew', id);
    return answer.outcome === 'alive' ? answer.seconds : 0;
  }

  /**
   * Resolves with what is left of a lease in whole seconds, or with undefined if there is none.
   * @throws EtcdError as {@link renew}
   */
  async secondsLeft(id: bigint): Promise<number | undefined> {
    const answer = await this.#ask('timeToLive', id);
    return answer.outcome === 'alive' ? answer.seconds : undefined;
  }

  /** Called with every tick. */
  tick(): void {
    this.#keeper.tick();
    if (this.#pending.size === 0) return;
    const leader = this.#options.leader();
    const nowMs = this.#options.clock.monotonicMs();
    for (const pending of this.#pending.values()) {
      if (pending.here) continue;
      if (pending.sentTo !== leader || nowMs - pending.sentMs >= retryMs) this.#attempt(pending);
    }
  }

  /** Called after entries were applied, the last of `term`. */
  applied(term: number): void {
    const { memberId, leader, lessor } = this.#options;
    // All that earlier leaders decided is applied as well by then.
    if (leader() !== memberId || term !== this.#options.term()) return;
    if (this.#keeper.term !== term) this.#keeper.promote(term, lessor());
  }

  leaderChanged(): void {
    if (this.#options.leader() !== this.#options.memberId) this.#keeper.demote();
  }

  /** A note from another member. */
  receive(from: MemberId, note: LeaseNote): void {
    if (this.#stopped) return;
    if (note.kind === 'leaseAnswers') {
      for (const { number, answer } of note.answers) this.#answered(number, answer);
      return;
    }
    for (const { number, question, lease } of note.asks) {
      this.#keeper[question](lease, (answer) => {
        const answers = this.#outgoingAnswers.get(from);
        if (answers === undefined) this.#outgoingAnswers.set(from, [{ number, answer }]);
        else answers.push({ number, answer });
        this.#flushSoon();
      });
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#keeper.demote();
    this.#waiting.triggerAll('stopped');
  }

  #ask(question: LeaseQuestion, lease: bigint): Promise<LeaseAnswer> {
    if (this.#stopped) return Promise.reject(new EtcdError('stopped'));
    if (this.#waiting.size >= waitingAsksLimit) {
      return Promise.reject(new EtcdError('tooManyRequests'));
    }
    return new Promise((resolve, reject) => {
      const number = this.#numbers.next();
      const ask = { number, question, lease };
      const pending = { ask, here: false, sentTo: noMember, sentMs: Number.NEGATIVE_INFINITY };
      this.#pending.set(number, pending);
      this.#waiting.register(number, (answer) => {
        this.#pending.delete(number);
        if (answer === 'stopped') reject(new EtcdError('stopped'));
        else if (answer !== undefined) resolve(answer);
        else reject(new EtcdError(this.#options.leader() === noMember ? 'noLeader' : 'timeout'));
      });
      this.#attempt(pending);
    });
  }

  #attempt(pending: Pending): void {
    const { memberId } = this.#options;
    const leader = this.#options.leader();
    if (leader === noMember) return;
    if (leader !== memberId) {
      pending.sentTo = leader;
      pending.sentMs = this.#options.clock.monotonicMs();
      this.#outgoingAsks.push(pending);
      this.#flushSoon();
      return;
    }
    // Elected, but not up to date yet.
    if (this.#keeper.term !== this.#options.term()) return;
    pending.here = true;
    const { number, question, lease } = pending.ask;
    this.#keeper[question](lease, (answer) => {
      pending.here = false;
      this.#answered(number, answer);
    });
  }

  #answered(number: bigint, answer: LeaseAnswer): void {
    const pending = this.#pending.get(number);
    if (pending === undefined) return;
    // With the next tick: at once would be over and over.
    if (answer.outcome === 'retry') pending.sentTo = noMember;
    else this.#waiting.trigger(number, answer);
  }

  /** What gathers until the input that is already waiting has been taken goes as one note. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.#options.clock.defer(() => {
      this.#flushing = false;
      if (!this.#stopped) this.#flush();
    });
  }

  #flush(): void {
    const { sendNote } = this.#options;
    const leader = this.#options.leader();
    const asks = this.#outgoingAsks.filter(({ sentTo }) => sentTo === leader);
    this.#outgoingAsks = [];
    for (const some of parts(asks)) {
      const note = { kind: 'leaseAsks', asks: some.map(({ ask }) => ask) } as const;
      if (!sendNote(leader, note)) for (const pending of some) pending.sentTo = noMember;
    }
    const all = this.#outgoingAnswers;
    this.#outgoingAnswers = new Map();
    for (const [to, answers] of all) {
      // What cannot be sent is asked again.
      for (const some of parts(answers)) sendNote(to, { kind: 'leaseAnswers', answers: some });
    }
  }
}

function* parts<Item>(items: readonly Item[]): Generator<readonly Item[]> {
  for (let i = 0; i < items.length; i += leaseNoteItemsMax) {
    yield items.slice(i, i + leaseNoteItemsMax);
  }
}
