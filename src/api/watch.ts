/**
 * The Watch service (etcd: api/v3rpc/watch.go): many watchers on one stream, their events and the
 * answers to their creation and cancellation in one order.
 */
import { assert } from '../base/assert.ts';
import { latin1 } from '../base/bytes.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { etcdErrors, EtcdError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { preencoded } from '../base/wire.ts';
import {
  FilterType,
  type WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
} from '../gen/rpc.ts';
import type { Event } from '../gen/kv.ts';
import {
  invalidWatchId,
  type WatchDelivery,
  type WatchOutput,
  type WatchStream,
  type WatchStreamOptions,
} from '../mvcc/watch-stream.ts';
import type { CallContext } from './handler.ts';
import type { HeaderSource } from './header.ts';
import { type AnswerSession, SessionAnswers } from './session-answers.ts';

/** The shortest that can be configured, as in etcd. */
const minProgressIntervalMs = 100;
/** Answers that may wait while more requests are read: a client that does not read must not ask. */
const unsentWhileReadingLimit = 1024;
/** What an answer takes beside its events, and each event beside its bytes. */
const responseOverheadBytes = 128;
const eventOverheadBytes = 6;

/** What the service needs of the member. */
export interface WatchBackend {
  readonly headerSource: HeaderSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly hasLeader: boolean;
  /** Mean time between progress notices in milliseconds, before jitter. */
  readonly progressIntervalMs: number;
  /** From this size on, an answer is cut in pieces for watchers that allow it. */
  readonly fragmentBytes: number;
  openWatchStream(options: WatchStreamOptions): WatchStream;
  /** Calls `listener` once after there was no leader for too long. Returns how to stop that. */
  onLeaderLost(listener: () => void): () => void;
  /** Calls `listener` once when the state must not be shown any more. Returns how to stop that. */
  onStateRefused?(listener: () => void): () => void;
  /** Why a client may not watch a range; undefined if it may. */
  refusal?(request: WatchCreateRequest, context: CallContext): string | undefined;
}

export class WatchService {
  readonly #backend: WatchBackend;

  constructor(backend: WatchBackend) {
    this.#backend = backend;
  }

  /**
   * Serves one stream until the client leaves; that it will not ask any more is no reason to end.
   * The answers throw EtcdError `noLeader` for clients that asked to be told, and `watchCanceled`.
   */
  watch(
    requests: AsyncIterable<WatchRequest>,
    context: CallContext,
  ): SessionAnswers<WatchResponse> {
    return new SessionAnswers(() => {
      const needsLeader = context.metadata('hasleader') === 'true';
      if (needsLeader && !this.#backend.hasLeader) throw new EtcdError('noLeader');
      const session = new WatchSession(this.#backend, context, needsLeader);
      session.read(requests);
      return session;
    });
  }
}

/** One stream of one client. */
class WatchSession implements AnswerSession<WatchResponse> {
  readonly #backend: WatchBackend;
  readonly #context: CallContext;
  readonly #stream: WatchStream;
  readonly #progressIntervalMs: number;
  readonly #stopListening: () => void;
  readonly #stopDoubting: (() => void) | undefined;
  readonly #abort = (): void => this.#fail(new EtcdError('watchCanceled'));
  #timer: Timer;
  /** What is left of an answer that is sent in pieces, the next one last. */
  #pieces: WatchResponse[] = [];
  #failure: Error | undefined;
  #closed = false;
  #wakeWriter: (() => void) | undefined;
  #wakeReader: (() => void) | undefined;

  constructor(backend: WatchBackend, context: CallContext, needsLeader: boolean) {
    this.#backend = backend;
    this.#context = context;
    this.#stream = backend.openWatchStream({
      onReadable: () => this.#wake(),
      memory: context.memory.queue,
    });
    this.#progressIntervalMs = jittered(backend);
    this.#timer = this.#startTimer();
    this.#stopListening = needsLeader
      ? backend.onLeaderLost(() => this.#fail(new EtcdError('noLeader')))
      : () => undefined;
    this.#stopDoubting = backend.onStateRefused?.(() => this.#fail(new EtcdError('corrupt')));
    context.signal.addEventListener('abort', this.#abort);
    if (context.signal.aborted) this.#abort();
  }

  #startTimer(): Timer {
    return this.#backend.clock.after(this.#progressIntervalMs, () => {
      this.#stream.tick();
      this.#timer = this.#startTimer();
    });
  }

  /** Handles requests until there are no more; what goes wrong ends the stream. */
  read(requests: AsyncIterable<WatchRequest>): void {
    this.#readAll(requests).catch((error: unknown) => {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    });
  }

  async #readAll(requests: AsyncIterable<WatchRequest>): Promise<void> {
    for await (const request of requests) {
      if (this.#isClosed()) return;
      this.#handle(request);
      while (!this.#isClosed() && this.#stream.unsent > unsentWhileReadingLimit) {
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve;
        });
      }
    }
  }

  /** A call, because the compiler takes no field to change while a function waits. */
  #isClosed(): boolean {
    return this.#closed;
  }

  #handle({ requestUnion: request }: WatchRequest): void {
    switch (request?.case) {
      case 'createRequest':
        this.#create(request.value);
        break;
      case 'cancelRequest':
        this.#stream.cancel(request.value.watchId);
        break;
      case 'progressRequest':
        this.#stream.requestProgress();
        break;
      case undefined:
        // A later version's request: not a reason to end the other watchers.
        break;
    }
  }

  #create(request: WatchCreateRequest): void {
    const { rangeEnd, startRevision, filters, prevKv, progressNotify, fragment } = request;
    if (startRevision < 0) {
      this.#stream.refuse(etcdErrors.compacted[1]);
      return;
    }
    const refusal = this.#backend.refusal?.(request, this.#context);
    if (refusal !== undefined) {
      this.#stream.refuse(refusal);
      return;
    }
    this.#stream.create({
      id: request.watchId,
      key: request.key.length === 0 ? '\0' : latin1(request.key),
      end: rangeEnd.length === 0 ? undefined : latin1(rangeEnd),
      startRevision,
      noPut: filters.includes(FilterType.noput),
      noDelete: filters.includes(FilterType.nodelete),
      prevKv,
      progressNotify,
      fragment,
    });
  }

  /** The next answer, or piece of one. @throws why the stream ends */
  next(): WatchResponse | undefined {
    if (this.#pieces.length > 0) return this.#pieces.pop();
    if (this.#failure !== undefined) throw this.#failure;
    const output = this.#stream.take();
    if (output === undefined) return undefined;
    if (this.#wakeReader !== undefined && this.#stream.unsent <= unsentWhileReadingLimit / 2) {
      this.#wakeReader();
      this.#wakeReader = undefined;
    }
    return this.#response(output);
  }

  /** Resolves when {@link next} may have something. */
  async readable(): Promise<void> {
    if (this.#failure !== undefined || this.#stream.unsent > 0) return;
    await new Promise<void>((resolve) => {
      this.#wakeWriter = resolve;
    });
  }

  /** Clients end their watches by leaving. */
  isOver(): boolean {
    return false;
  }

  #wake(): void {
    this.#wakeWriter?.();
    this.#wakeWriter = undefined;
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wake();
  }

  close(): void {
    this.#closed = true;
    this.#timer.cancel();
    this.#stopListening();
    this.#stopDoubting?.();
    this.#context.signal.removeEventListener('abort', this.#abort);
    this.#stream.close();
    this.#wakeReader?.();
  }

  #response(output: WatchOutput): WatchResponse {
    const source = this.#backend.headerSource;
    switch (output.kind) {
      case 'events':
        return this.#eventResponse(output);
      case 'created':
        return { ...answer(source, output.revision, output.watchId), created: true };
      case 'refused':
        return {
          ...answer(source, output.revision, invalidWatchId),
          created: true,
          canceled: true,
          cancelReason: output.reason,
        };
      case 'cancelled':
        return { ...answer(source, output.revision, output.watchId), canceled: true };
      case 'compacted': {
        const { watchId, compactRevision } = output;
        // As in etcd, this answer's header has no revision.
        return { ...answer(source, 0, watchId), canceled: true, compactRevision };
      }
      case 'progress':
        return answer(source, output.revision, output.watchId);
    }
  }

  #eventResponse(output: WatchDelivery): WatchResponse {
    const source = this.#backend.headerSource;
    const { watchId, revision, events } = output;
    const limit = this.#backend.fragmentBytes;
    const eventBytes = output.sizeBytes + events.length * eventOverheadBytes;
    const small = eventBytes + responseOverheadBytes < limit;
    if (!output.fragment || small || events.length < 2) {
      return answer(source, revision, watchId, events);
    }
    const pieces = cut(events, limit - responseOverheadBytes);
    const last = pieces.length - 1;
    const [first, ...rest] = pieces.map((piece, i) =>
      answer(source, revision, watchId, piece, i < last),
    );
    assert(first !== undefined, 'events without a piece');
    this.#pieces = rest.reverse();
    return first;
  }
}

function answer(
  source: HeaderSource,
  revision: number,
  watchId: number,
  events = noEvents,
  fragment = false,
): WatchResponse {
  const { clusterId, memberId, term: raftTerm } = source;
  return {
    header: { clusterId, memberId, revision, raftTerm },
    watchId,
    created: false,
    canceled: false,
    compactRevision: 0,
    cancelReason: '',
    fragment,
    events,
  };
}

const noEvents: readonly Event[] = [];

/** Groups events so that each group stays below `limit` bytes, or is one event. */
function cut(events: readonly Event[], limit: number): Event[][] {
  const pieces: Event[][] = [];
  let piece: Event[] = [];
  let bytes = 0;
  for (const event of events) {
    const size = (event[preencoded]?.length ?? 0) + eventOverheadBytes;
    if (piece.length > 0 && bytes + size >= limit) {
      pieces.push(piece);
      piece = [];
      bytes = 0;
    }
    piece.push(event);
    bytes += size;
  }
  pieces.push(piece);
  return pieces;
}

/** Up to a tenth longer, so that streams opened together are not served together. */
function jittered({ progressIntervalMs, random }: WatchBackend): number {
  const interval = Math.max(progressIntervalMs, minProgressIntervalMs);
  return interval + random.below(Math.ceil(interval / 10));
}
