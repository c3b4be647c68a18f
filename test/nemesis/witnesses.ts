/**
 * Watchers who miss nothing: one per member, of all keys from the first revision on. What they saw
 * must be the same, and is the truth that everything else is held to.
 *
 * A witness moves on when its member falls behind, so that compactions, which may not overtake a
 * witness, go on while a member is down.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { utf8 } from '../../src/base/bytes.ts';
import { Event } from '../../src/gen/kv.ts';
import { WatchCreateRequest } from '../../src/gen/rpc.ts';
import type { Violation } from '../check/history.ts';
import type { MemberProcess } from '../support/cluster-process.ts';
import { GrpcClient } from '../support/grpc.ts';
import { eagerDialling } from './callers.ts';
import type { Recorder } from './recorder.ts';
import { WatchSession } from './watch-session.ts';

/** A witness that knows less than another for so long looks elsewhere. */
const patienceMs = 1500;
const restMs = 100;

interface Witness {
  readonly name: string;
  /** Encoded events of each revision, from 2 on. */
  readonly revisions: (readonly Event[])[];
  behindSinceMs: number | undefined;
}

/** Comparable: without the previous value, which a compaction may have taken. */
function encodedEvents(events: readonly Event[]): string {
  return events
    .map((event) => Buffer.from(Event.encode(withoutPrevious(event))).toString('base64'))
    .join(' ');
}

function withoutPrevious({ type, kv }: Event): Event {
  return { type, kv, prevKv: undefined };
}

export class Witnesses {
  readonly #members: readonly MemberProcess[];
  readonly #recorder: Recorder;
  readonly #witnesses: readonly Witness[];
  readonly #running: Promise<void>[] = [];
  readonly #violations: Violation[] = [];
  #stopping = false;

  constructor(members: readonly MemberProcess[], recorder: Recorder) {
    this.#members = members;
    this.#recorder = recorder;
    this.#witnesses = members.map(({ name }) => ({
      name: `witness-${name}`,
      revisions: [],
      behindSinceMs: undefined,
    }));
  }

  start(): void {
    for (const [i, witness] of this.#witnesses.entries()) {
      this.#running.push(this.#watch(witness, i));
    }
  }

  /** The newest revision that every witness knows. */
  get known(): number {
    return Math.min(...this.#witnesses.map(({ revisions }) => revisions.length)) + 1;
  }

  /** Waits until all know `revision`; false if that takes too long. */
  async reach(revision: number, limitMs: number): Promise<boolean> {
    const untilMs = performance.now() + limitMs;
    while (this.known < revision && performance.now() < untilMs) await delay(20);
    return this.known >= revision;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
  }

  /** Every event that was seen, in order, and where the witnesses contradict each other. */
  truth(): { readonly events: readonly Event[]; readonly violations: readonly Violation[] } {
    const longest = this.#witnesses.reduce((a, b) => {
      return b.revisions.length > a.revisions.length ? b : a;
    });
    const violations = [...this.#violations];
    for (const { name, revisions } of this.#witnesses) {
      const different = revisions.findIndex((events, i) => {
        return encodedEvents(events) !== encodedEvents(longest.revisions[i] ?? []);
      });
      if (different >= 0) {
        const text = `${name} and ${longest.name} saw different events at ${different + 2}`;
        violations.push({ rule: 'witnesses-agree', text, operations: [] });
      }
    }
    return { events: longest.revisions.flat().map(withoutPrevious), violations };
  }

  async #watch(witness: Witness, first: number): Promise<void> {
    let place = first;
    let resumes: number | undefined;
    while (!this.#stopping) {
      const member = this.#members[place % this.#members.length];
      if (member === undefined) throw new Error('no members');
      const request = WatchCreateRequest.create({
        key: utf8('\0'),
        rangeEnd: utf8('\0'),
        startRevision: witness.revisions.length + 2,
        prevKv: true,
        progressNotify: true,
      });
      const client = new GrpcClient(member.address, eagerDialling);
      const log = this.#recorder.watch(witness.name, member.name, request, resumes);
      const session = new WatchSession({
        client,
        request,
        recorder: this.#recorder,
        log,
        onEvents: (events) => this.#take(witness, events),
      });
      witness.behindSinceMs = undefined;
      await session.read(() => this.#stopping || this.#isLeftBehind(witness));
      client.close();
      if (session.compactRevision > 0) {
        const text = `${witness.name} cannot go on at ${request.startRevision}: compacted`;
        this.#violations.push({ rule: 'compacted-too-much', text, operations: [] });
        return;
      }
      resumes = log.index;
      place++;
      await delay(restMs);
    }
  }

  #take(witness: Witness, events: readonly Event[]): void {
    for (const event of events) {
      const revision = event.kv?.modRevision ?? 0;
      const newest = witness.revisions.length + 1;
      if (revision === newest) {
        witness.revisions[newest - 2] = [...(witness.revisions.at(-1) ?? []), event];
      } else if (revision === newest + 1) {
        witness.revisions.push([event]);
      } else {
        const text = `${witness.name} was told revision ${revision} after ${newest}`;
        this.#violations.push({ rule: 'witness-gap', text, operations: [] });
      }
    }
  }

  #isLeftBehind(witness: Witness): boolean {
    const newest = Math.max(...this.#witnesses.map(({ revisions }) => revisions.length));
    if (witness.revisions.length >= newest) {
      witness.behindSinceMs = undefined;
      return false;
    }
    witness.behindSinceMs ??= performance.now();
    return performance.now() - witness.behindSinceMs > patienceMs;
  }
}
