/** Watchers of all kinds, whose streams break, or are broken, and are resumed at other members. */
import { setTimeout as delay } from 'node:timers/promises';
import { utf8 } from '../../src/base/bytes.ts';
import type { SeededRandom } from '../../src/base/random.ts';
import { SeededRandom as Generator } from '../../src/base/random.ts';
import { FilterType, WatchCreateRequest } from '../../src/gen/rpc.ts';
import type { MemberProcess } from '../support/cluster-process.ts';
import { GrpcClient } from '../support/grpc.ts';
import { eagerDialling } from './callers.ts';
import { leasedPrefix, leasedPrefixEnd } from './lease-holders.ts';
import { keyPrefix, keyPrefixEnd } from './operations.ts';
import type { Recorder } from './recorder.ts';
import { WatchSession } from './watch-session.ts';

/** How long a watcher stays on one stream. */
const stayLeastMs = 500;
const stayMostMs = 6000;
const restMs = 300;
const progressRequestsMs = 400;

type Kind = (random: SeededRandom) => Partial<WatchCreateRequest>;

const all = { key: keyPrefix, rangeEnd: keyPrefixEnd };

const leased = { key: leasedPrefix, rangeEnd: leasedPrefixEnd };

const kinds: readonly Kind[] = [
  (random) => ({ key: utf8(`k${random.below(8)}`), prevKv: true }),
  () => ({ ...all, filters: [FilterType.nodelete], progressNotify: true }),
  () => ({ ...all, filters: [FilterType.noput], prevKv: true }),
  () => ({ ...all, prevKv: true, fragment: true, progressNotify: true }),
  (random) => ({ key: utf8(`k${random.below(4)}`), rangeEnd: utf8('k6') }),
  (random) => ({ key: utf8(`k${random.below(8)}`), rangeEnd: utf8('\0'), prevKv: true }),
  () => ({ ...leased, prevKv: true }),
  () => ({ ...leased, filters: [FilterType.noput], fragment: true }),
];

export interface WatchersOptions {
  readonly members: readonly MemberProcess[];
  readonly recorder: Recorder;
  readonly seed: number;
}

export class Watchers {
  readonly #options: WatchersOptions;
  readonly #running: Promise<void>[] = [];
  readonly #stopping = new AbortController();

  constructor(options: WatchersOptions) {
    this.#options = options;
  }

  /** One of each kind; every second one stays with its member. */
  start(): void {
    for (const [i, kind] of kinds.entries()) {
      this.#running.push(this.#watcher(i, kind, new Generator(this.#options.seed + 100 + i)));
    }
  }

  /** Leaves at once: what is under way to a watcher that leaves is lost to it, as in life. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#running);
  }

  async #watcher(number: number, kind: Kind, random: SeededRandom): Promise<void> {
    const { members, recorder } = this.#options;
    const name = `w${number}`;
    let place = number;
    let wanted = WatchCreateRequest.create({
      ...kind(random),
      startRevision: random.below(2) === 0 ? 0 : 2,
    });
    let resumes: number | undefined;
    while (!this.#stopping.signal.aborted) {
      const member = members[place % members.length];
      if (member === undefined) throw new Error('no members');
      const client = new GrpcClient(member.address, eagerDialling);
      const log = recorder.watch(name, member.name, wanted, resumes);
      const session = new WatchSession({ client, request: wanted, recorder, log });
      await this.#stay(session, random);
      client.close();
      if (number % 2 === 1) place += random.below(members.length);
      // Now and then somebody else begins in its place; one that was told to begins later.
      const anew = random.below(4) === 0 || session.compactRevision > 0;
      resumes = anew || session.nextRevision === 0 ? undefined : log.index;
      wanted = {
        ...(anew ? WatchCreateRequest.create(kind(random)) : wanted),
        startRevision: anew ? session.compactRevision : session.nextRevision,
      };
      await this.#pause(random.below(restMs));
    }
  }

  async #stay(session: WatchSession, random: SeededRandom): Promise<void> {
    const leaveMs = performance.now() + stayLeastMs + random.below(stayMostMs - stayLeastMs);
    let askMs = performance.now() + random.below(2 * progressRequestsMs);
    await session.read(() => {
      const nowMs = performance.now();
      if (nowMs > askMs) {
        session.requestProgress();
        askMs = nowMs + random.below(2 * progressRequestsMs);
      }
      return this.#stopping.signal.aborted || nowMs > leaveMs;
    });
  }

  async #pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#stopping.signal }).catch(() => {});
  }
}
