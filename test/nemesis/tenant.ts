/**
 * One client that lives on leases, as both kinds of holders do: it asks one member after the other,
 * takes leases, keeps them and lets them end, and writes to keys that services change too.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { SeededRandom } from '../../src/base/random.ts';
import type { Call, Outcome } from '../check/history.ts';
import type { MemberProcess } from '../support/cluster-process.ts';
import { PinnedCaller } from './callers.ts';
import type { LeaseJournal } from './lease-journal.ts';
import type { Recorder } from './recorder.ts';
import { type Ending, saysLeaseIsGone, ServiceCaller } from './services.ts';

const timeoutLeastMs = 500;
const timeoutMostMs = 5000;
/** After a failure, before another member is asked. */
const restMs = 200;

export interface TenantOptions {
  readonly name: string;
  readonly members: readonly MemberProcess[];
  readonly recorder: Recorder;
  readonly journal: LeaseJournal;
  readonly random: SeededRandom;
  /** Ends when it is to stop. */
  readonly signal: AbortSignal;
}

/** The calls to the member that is asked at present. */
interface Place {
  readonly service: ServiceCaller;
  readonly kv: PinnedCaller;
}

export class Tenant {
  readonly name: string;
  readonly random: SeededRandom;
  readonly journal: LeaseJournal;
  readonly recorder: Recorder;
  readonly #options: TenantOptions;
  #place: Place | undefined;

  constructor(options: TenantOptions) {
    this.name = options.name;
    this.random = options.random;
    this.journal = options.journal;
    this.recorder = options.recorder;
    this.#options = options;
  }

  /** The same client with calls of their own, which stop sooner. */
  until(signal: AbortSignal): Tenant {
    const both = AbortSignal.any([signal, this.#options.signal]);
    return new Tenant({ ...this.#options, signal: both });
  }

  close(): void {
    this.#place?.service.close();
    this.#place?.kv.close();
    this.#place = undefined;
  }

  /** False once it is time to stop. */
  async pause(ms: number): Promise<boolean> {
    const { signal } = this.#options;
    await delay(ms, undefined, { signal }).catch(() => {});
    return !signal.aborted;
  }

  /** A new lease; undefined if none was granted, or nobody knows. */
  async grant(ttlSeconds: number, id = 0n): Promise<bigint | undefined> {
    const startMs = this.recorder.nowMs();
    const ended = await this.ask((service, timeoutMs) => service.grant(id, ttlSeconds, timeoutMs));
    if (ended.kind === 'failed') return undefined;
    const { id: lease, ttl } = ended.answer;
    this.journal.granted(lease, ttl, startMs, this.recorder.nowMs());
    return lease;
  }

  /** False if it is gone. */
  async renew(lease: bigint): Promise<boolean> {
    const startMs = this.recorder.nowMs();
    const ended = await this.ask((service, timeoutMs) => service.renew(lease, timeoutMs));
    if (ended.kind === 'failed') return true;
    const endMs = this.recorder.nowMs();
    if (ended.answer > 0) this.journal.renewed(lease, ended.answer, startMs, endMs);
    else this.journal.gone(lease, startMs, endMs);
    return ended.answer > 0;
  }

  /** False if it is gone. */
  async lookUp(lease: bigint): Promise<boolean> {
    const startMs = this.recorder.nowMs();
    const ended = await this.ask((service, timeoutMs) => service.timeToLive(lease, timeoutMs));
    if (ended.kind === 'failed') return true;
    const isThere = ended.answer >= 0;
    this.journal[isThere ? 'found' : 'gone'](lease, startMs, this.recorder.nowMs());
    return isThere;
  }

  async revoke(lease: bigint): Promise<void> {
    const startMs = this.recorder.nowMs();
    this.journal.givenUp(lease, startMs);
    const ended = await this.ask((service, timeoutMs) => service.revoke(lease, timeoutMs));
    const endMs = this.recorder.nowMs();
    if (ended.kind === 'answered') {
      const revision = ended.answer.header?.revision ?? 0;
      this.journal.revoked(lease, revision, startMs, endMs);
    } else if (saysLeaseIsGone(ended.message)) {
      this.journal.gone(lease, startMs, endMs);
    }
  }

  /** A call of the key-value API; what it says of `lease`, on which it puts a key, is noted. */
  async write(call: Call, lease?: bigint): Promise<Outcome> {
    const startMs = this.recorder.nowMs();
    const { kv } = this.#member();
    const ended = this.recorder.begin(this.name, kv.member, call, true);
    const outcome = await kv.call(call, this.#timeoutMs());
    ended(outcome);
    const endMs = this.recorder.nowMs();
    if (lease !== undefined && outcome.kind === 'answered') {
      this.journal.found(lease, startMs, endMs);
    }
    if (lease !== undefined && outcome.kind === 'refused' && saysLeaseIsGone(outcome.message)) {
      this.journal.gone(lease, startMs, endMs);
    }
    if (outcome.kind === 'unknown') await this.#moveOn();
    return outcome;
  }

  async ask<Answer>(
    call: (service: ServiceCaller, timeoutMs: number) => Promise<Ending<Answer>>,
    timeoutMs = this.#timeoutMs(),
  ): Promise<Ending<Answer>> {
    const ended = await call(this.#member().service, timeoutMs);
    if (ended.kind === 'failed' && !saysLeaseIsGone(ended.message)) await this.#moveOn();
    return ended;
  }

  #member(): Place {
    if (this.#place !== undefined) return this.#place;
    const { members } = this.#options;
    const member = members[this.random.below(members.length)];
    if (member === undefined) throw new Error('no members');
    this.#place = { service: new ServiceCaller(member), kv: new PinnedCaller(member) };
    return this.#place;
  }

  async #moveOn(): Promise<void> {
    this.close();
    await this.pause(this.random.below(restMs));
  }

  #timeoutMs(): number {
    return timeoutLeastMs + this.random.below(timeoutMostMs - timeoutLeastMs);
  }
}
