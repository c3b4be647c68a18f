/** A client that watches, reads at its own speed, and resumes when its stream breaks. */
import type { SessionAnswers } from '../../src/api/session-answers.ts';
import { utf8 } from '../../src/base/bytes.ts';
import { FilterType, WatchCreateRequest, WatchRequest, WatchResponse } from '../../src/gen/rpc.ts';
import { type Chance, streamOf } from './chance.ts';
import type { Workload } from './client.ts';
import type { Life, SimMember } from './member.ts';
import type { WatcherPlan } from './plan.ts';
import { clientOwner, contextOf } from './port.ts';
import type { OpenWatchLog } from './recorder.ts';

/** Wait before a broken stream is opened again. */
const reopenMs = { least: 20, most: 300 };

/** How often it begins anew at the oldest revision there is instead. */
const goesBack = 0.2;

/** A client's half of a stream. */
class Requests implements AsyncIterable<WatchRequest> {
  readonly #waiting: WatchRequest[] = [];
  #wake: (() => void) | undefined;

  send(union: WatchRequest['requestUnion']): void {
    this.#waiting.push(WatchRequest.decode(WatchRequest.encode({ requestUnion: union })));
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<WatchRequest> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next !== undefined) yield next;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

/** The server's half of one. */
interface OpenStream {
  readonly answers: SessionAnswers<WatchResponse>;
  readonly steps: AsyncGenerator<WatchResponse>;
}

export class Watcher {
  readonly #plan: WatcherPlan;
  readonly #workload: Workload;
  readonly #chance: Chance;
  #startRevision: number;
  /** The log that the next one goes on from. */
  #resumes: number | undefined;
  #log: OpenWatchLog | undefined;
  #stopped = false;
  /** Arrival of the newest answer: the next comes after it. */
  #arrivedMs = 0;
  #stream = 0;
  #pulls = 0;

  constructor(plan: WatcherPlan, workload: Workload) {
    this.#plan = plan;
    this.#workload = workload;
    this.#chance = streamOf(workload.plan.seed, `watcher ${plan.name}`);
    this.#startRevision = plan.startRevision;
  }

  start(): void {
    this.#later(this.#chance.between(0, 1_000), () => this.#open());
  }

  stop(): void {
    this.#stopped = true;
  }

  /**
   * Whether all it asked for has been sent up to `revision`, as far as it can know: without
   * progress notices nothing tells it of changes to other keys.
   */
  knowsUpTo(revision: number): boolean {
    const { member, progressNotify, startRevision } = this.#plan;
    if (!progressNotify || startRevision > revision) return true;
    if (member !== undefined && this.#memberAt(member).refusal !== undefined) return true;
    return this.#startRevision > revision;
  }

  #memberAt(position: number): SimMember {
    return this.#workload.port.cluster.at(position);
  }

  #later(ms: number, callback: () => void): void {
    this.#workload.port.cluster.scheduler.after(ms, clientOwner, callback);
  }

  #request(): WatchCreateRequest {
    const { key, rangeEnd, prevKv, progressNotify, fragment, noPut, noDelete } = this.#plan;
    const filters: FilterType[] = [];
    if (noPut) filters.push(FilterType.noput);
    if (noDelete) filters.push(FilterType.nodelete);
    return WatchCreateRequest.create({
      // The whole of the keys is asked for as etcd's clients do.
      key: utf8(key === '' ? '\0' : key),
      rangeEnd: utf8(rangeEnd ?? ''),
      startRevision: this.#startRevision,
      prevKv,
      progressNotify,
      fragment,
      filters,
    });
  }

  #open(): void {
    if (this.#stopped) return;
    const { port, recorder, plan } = this.#workload;
    const position = this.#plan.member ?? this.#chance.below(plan.members);
    const member = this.#memberAt(position);
    const { life } = member;
    if (life?.serving !== true || !port.reaches(member)) {
      this.#later(this.#chance.between(reopenMs.least, reopenMs.most), () => this.#open());
      return;
    }
    const request = this.#request();
    const log = recorder.watch(this.#plan.name, member.name, request, this.#resumes);
    this.#log = log;
    const stream = ++this.#stream;
    const requests = new Requests();
    const abort = new AbortController();
    let open: OpenStream | undefined;
    // The server ends a stream whose connection broke, wherever it stands.
    const cut = (): void => {
      abort.abort();
      open?.steps.return(undefined).catch(() => undefined);
    };
    const forget = member.onDeath(() => {
      life.process.deliver(cut);
      this.#ended(stream, 'connection reset');
    });
    port.later(() => {
      life.process.deliver(() => {
        requests.send({ case: 'createRequest', value: request });
        if (abort.signal.aborted) return;
        const answers = life.watch.watch(requests, contextOf(abort.signal));
        open = { answers, steps: answers[Symbol.asyncIterator]() };
        this.#pull(stream, member, life, open);
      });
    });
    this.#askProgress(stream, life, requests);
    this.#breakLater(stream, life, cut, forget);
  }

  /** Connections break now and then without a fault. */
  #breakLater(stream: number, life: Life, cut: () => void, forget: () => void): void {
    this.#later(this.#chance.between(2_000, 20_000), () => {
      if (stream !== this.#stream) return;
      forget();
      life.process.deliver(cut);
      this.#ended(stream, 'left');
    });
  }

  #askProgress(stream: number, life: Life, requests: Requests): void {
    const { askMs } = this.#plan;
    if (askMs === 0) return;
    this.#later(this.#chance.between(0, 2 * askMs), () => {
      if (stream !== this.#stream || this.#stopped) return;
      life.process.deliver(() => requests.send({ case: 'progressRequest', value: {} }));
      this.#askProgress(stream, life, requests);
    });
  }

  #pull(stream: number, member: SimMember, life: Life, open: OpenStream): void {
    open.steps.next().then(
      ({ done, value }) => {
        if (done === true) {
          this.#arrive(stream, member, life, () => this.#ended(stream, 'ended by the server'));
          return;
        }
        const all = [value, ...this.#ready(open)].map((answer) => WatchResponse.encode(answer));
        this.#arrive(stream, member, life, () => {
          for (const bytes of all) this.#take(stream, WatchResponse.decode(bytes));
          this.#later(this.#plan.readMs, () => {
            if (stream !== this.#stream) return;
            life.process.deliver(() => this.#pull(stream, member, life, open));
          });
        });
      },
      (thrown: unknown) => {
        const reason = thrown instanceof Error ? thrown.message : String(thrown);
        this.#arrive(stream, member, life, () => this.#ended(stream, reason));
      },
    );
  }

  /** A few of the answers that are there at once: none, one or two in turns. */
  #ready({ answers }: OpenStream): WatchResponse[] {
    const taken: WatchResponse[] = [];
    try {
      for (let left = this.#pulls++ % 3; left > 0; left--) {
        const answer = answers.ready();
        if (answer === undefined) break;
        taken.push(answer);
      }
    } catch {
      // The next step of the iteration fails as well, and says why.
    }
    return taken;
  }

  /** After a delay and in order, if the process still runs and clients reach it. */
  #arrive(stream: number, member: SimMember, life: Life, callback: () => void): void {
    const { port } = this.#workload;
    const { scheduler } = port.cluster;
    const atMs = Math.max(this.#arrivedMs, scheduler.nowMs + port.travelMs());
    this.#arrivedMs = atMs;
    this.#later(atMs - scheduler.nowMs, () => {
      if (stream !== this.#stream || !life.process.alive) return;
      if (port.reaches(member)) callback();
      else this.#ended(stream, 'no route');
    });
  }

  #take(stream: number, answer: WatchResponse): void {
    const log = this.#log;
    if (log === undefined || stream !== this.#stream) return;
    const { recorder, port } = this.#workload;
    const atMs = port.cluster.scheduler.nowMs;
    const revision = answer.header?.revision ?? 0;
    if (answer.compactRevision > 0) {
      const { compactRevision } = answer;
      recorder.add(log, { kind: 'compacted', compactRevision, atMs });
      this.#startRevision = compactRevision;
      this.#resumes = undefined;
      this.#restart(stream);
    } else if (answer.canceled) {
      this.#ended(stream, `cancelled: ${answer.cancelReason}`);
    } else if (answer.created) {
      recorder.add(log, { kind: 'created', revision, atMs });
      if (log.request.startRevision === 0) this.#known(log, revision);
    } else if (answer.events.length === 0) {
      recorder.add(log, { kind: 'progress', revision, atMs });
      this.#known(log, revision);
    } else {
      const { events, fragment } = answer;
      recorder.add(log, { kind: 'events', revision, events, fragment, atMs });
      const last = events.at(-1)?.kv?.modRevision ?? 0;
      // A piece ends within a revision, but what comes before that revision is whole.
      this.#known(log, fragment ? last - 1 : last);
    }
  }

  #known(log: OpenWatchLog, revision: number): void {
    this.#startRevision = Math.max(this.#startRevision, revision + 1);
    this.#resumes = log.position;
  }

  #ended(stream: number, reason: string): void {
    const log = this.#log;
    if (log === undefined || stream !== this.#stream) return;
    const atMs = this.#workload.port.cluster.scheduler.nowMs;
    this.#workload.recorder.add(log, { kind: 'ended', reason, atMs });
    this.#restart(stream);
  }

  #restart(stream: number): void {
    if (stream !== this.#stream) return;
    this.#stream++;
    this.#log = undefined;
    const { compacted } = this.#workload;
    if (compacted > 0 && this.#chance.chance(goesBack)) {
      this.#startRevision = compacted;
      this.#resumes = undefined;
    }
    this.#later(this.#chance.between(reopenMs.least, reopenMs.most), () => this.#open());
  }
}
