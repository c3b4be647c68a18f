/** Clients of the key-value API that go on, whatever happens to the members, until told to stop. */
import { setTimeout as delay } from 'node:timers/promises';
import { SeededRandom } from '../../src/base/random.ts';
import { CompactionRequest } from '../../src/gen/rpc.ts';
import type { MemberProcess } from '../support/cluster-process.ts';
import { type Caller, FreeCaller, PinnedCaller } from './callers.ts';
import { OperationMaker } from './operations.ts';
import type { Recorder } from './recorder.ts';

/** Clients beside those that each have a member of their own. */
const freeClients = 2;
const leastClients = 8;
/** A client gives up on a call after between these. The server's own limit is 7 s. */
const timeoutLeastMs = 500;
const timeoutMostMs = 8000;
const compactionLeastMs = 150;
const compactionMostMs = 600;
/** How far behind what the watchers know a compaction stays, at most. */
const compactionSlack = 100;

export interface TrafficOptions {
  /** May change: who asks one that has left turns to another. */
  readonly members: readonly MemberProcess[];
  readonly recorder: Recorder;
  readonly seed: number;
  /** Calls of all clients together. */
  readonly callsPerSecond: number;
  /** Revisions below are known in full to those who must miss nothing. */
  readonly compactable: () => number;
}

function memberAt(members: readonly MemberProcess[], place: number): MemberProcess {
  const member = members[place % members.length];
  if (member === undefined) throw new Error('no members');
  return member;
}

/** One client's caller, made anew when those whom it can ask have changed. */
class RosterCaller {
  readonly #members: readonly MemberProcess[];
  /** Undefined for a client that asks whichever answers. */
  readonly #place: number | undefined;
  #known: readonly MemberProcess[] = [];
  #caller: Caller | undefined;

  constructor(members: readonly MemberProcess[], place: number | undefined) {
    this.#members = members;
    this.#place = place;
  }

  present(): Caller {
    const wanted =
      this.#place === undefined ? this.#members : [memberAt(this.#members, this.#place)];
    const isSame =
      wanted.length === this.#known.length && wanted.every((each, i) => each === this.#known[i]);
    if (this.#caller !== undefined && isSame) return this.#caller;
    this.close();
    this.#known = [...wanted];
    this.#caller =
      this.#place === undefined
        ? new FreeCaller(this.#known)
        : new PinnedCaller(memberAt(this.#known, 0));
    return this.#caller;
  }

  close(): void {
    this.#caller?.close();
  }
}

export class Traffic {
  readonly #options: TrafficOptions;
  readonly #running: Promise<void>[] = [];
  readonly #stopping = new AbortController();

  constructor(options: TrafficOptions) {
    this.#options = options;
  }

  start(): void {
    const { members, seed } = this.#options;
    const pinned = Math.max(members.length, leastClients - freeClients);
    for (let i = 0; i < pinned + freeClients; i++) {
      const pauseMs = ((pinned + freeClients) * 1000) / this.#options.callsPerSecond;
      const caller = new RosterCaller(members, i < pinned ? i : undefined);
      this.#running.push(this.#client(`c${i}`, caller, new SeededRandom(seed + i), pauseMs));
    }
    this.#running.push(this.#compactor(new SeededRandom(seed - 1)));
  }

  /** Waits for the calls under way. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#running);
  }

  async #client(name: string, callers: RosterCaller, random: SeededRandom, pauseMs: number) {
    const { recorder } = this.#options;
    const maker = new OperationMaker(name, random);
    while (await this.#pause(random.next() * 2 * pauseMs)) {
      const call = maker.next();
      const caller = callers.present();
      const timeoutMs = timeoutLeastMs + random.below(timeoutMostMs - timeoutLeastMs);
      const ended = recorder.begin(name, caller.member, call);
      const outcome = await caller.call(call, timeoutMs);
      ended(outcome);
      if (outcome.kind === 'answered') maker.learn(outcome.answer);
      // Who cannot be reached must not be asked a thousand times a second.
      if (outcome.kind === 'unknown') await this.#pause(50 + random.below(200));
    }
    callers.close();
  }

  /** Compacts as close as it may behind those who must not miss anything. */
  async #compactor(random: SeededRandom): Promise<void> {
    const { members, recorder, compactable } = this.#options;
    let last = 0;
    while (
      await this.#pause(compactionLeastMs + random.below(compactionMostMs - compactionLeastMs))
    ) {
      const revision = compactable() - random.below(compactionSlack);
      if (revision <= last) continue;
      last = revision;
      const caller = new PinnedCaller(memberAt(members, random.below(members.length)));
      const request = CompactionRequest.create({ revision, physical: random.below(4) === 0 });
      const call = { kind: 'compact', request } as const;
      const ended = recorder.begin('compactor', caller.member, call);
      ended(await caller.call(call, timeoutMostMs));
      caller.close();
    }
  }

  /** False once it is time to stop. */
  async #pause(ms: number): Promise<boolean> {
    const { signal } = this.#stopping;
    await delay(ms, undefined, { signal }).catch(() => {});
    return !signal.aborted;
  }
}
