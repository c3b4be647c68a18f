/** Watches that outlive connections and members. */
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { StatusCode } from '../base/errors.ts';
import type { Event } from '../gen/kv.ts';
import {
  ResponseHeader,
  type WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
} from '../gen/rpc.ts';
import { Watch } from '../gen/services.ts';
import { BatchQueue } from './batch-queue.ts';
import { CallScope } from './call-scope.ts';
import type { Caller, OpenStream } from './caller.ts';
import type { Sized } from './endpoint.ts';
import { ClientError, deadlineExceeded, fromGrpc, isServiceError } from './errors.ts';
import type { CallOptions } from './options.ts';
import { type WatchParameters, watchRequest } from './requests.ts';
import { backoffMs, isStreamRetry } from './retry.ts';
import { RevisionAssembler, revisionOf } from './revision-assembler.ts';
import { cancellationOf } from './watch-cancellation.ts';

/** What to watch; `key` with `rangeEnd` as in ranges. */
export type WatchOptions = WatchParameters & {
  /** Tells once, before anything else, that the watch is established: `WatchBatch.created`. */
  readonly createdNotify?: boolean;
};

/** One answer with something to tell: events of whole revisions, or progress. */
export interface WatchBatch {
  readonly header: ResponseHeader;
  /** The server's id; -1 for the answer to `requestProgress`. Another one after each resumption. */
  readonly watchId: number;
  /** In the order of revisions. A revision's events are never divided between batches. */
  readonly events: readonly Event[];
  /** The watch is established. Only with `createdNotify`, and once. */
  readonly created: boolean;
  /** All events up to `header.revision` have been told. */
  readonly progress: boolean;
  /** The server's message; `events` are those of this batch. */
  readonly response: WatchResponse;
}

/**
 * A watch in progress. It is asked for at once; without `startRevision` it begins when the server
 * has confirmed it (see `createdNotify`). It resumes by itself after a lost connection, at the
 * revision after the last one told, so that every event is told once. To be iterated once; leaving
 * the loop ends it. When the user is slow, the server is not read any further.
 *
 * The iteration throws `CompactedError` if the events to resume with have been compacted,
 * `ClientError` for any other end by the server or by `Client.close`, and the signal's reason if
 * that was aborted. What was received before the server's end is told first.
 */
export interface Watcher extends AsyncIterable<WatchBatch, undefined> {
  [Symbol.asyncIterator](): AsyncIterator<WatchBatch, undefined>;
  /**
   * Asks for a batch with `progress`. Servers answer once the watch has caught up, or not at all.
   * etcd before 3.4.25 and 3.5.8 may answer too early; resuming relies on periodic progress only.
   */
  requestProgress(): void;
  /** Ends the watch, here and at the server; the iteration ends too. */
  close(): void;
}

type WatchCall = ClientDuplexStream<WatchRequest, Sized<WatchResponse>>;

/**
 * A watcher with a stream of its own. Watchers share the connection, not the stream: a slow user
 * then holds up nobody else without a buffer that grows, and progress asked for is that of one
 * watch and not of all.
 */
export class StreamWatcher implements Watcher {
  readonly #caller: Caller;
  readonly #request: WatchCreateRequest;
  readonly #createdNotify: boolean;
  readonly #progressNotify: boolean;
  readonly #hasLeader: boolean;
  readonly #establishTimeoutMs: number;
  /** How long the watch may be without a stream that is established. */
  readonly #lostTimeoutMs: number;
  /** Never ends by time; by the caller's signal, the client's close or our own. */
  readonly #life: CallScope;
  readonly #own = new AbortController();
  readonly #queue = new BatchQueue<WatchBatch>(() => {
    this.#call?.resume();
    this.#wakeForRoom?.();
  });
  #wakeForRoom: (() => void) | undefined;
  readonly #assembler = new RevisionAssembler();
  #call: WatchCall | undefined;
  /** Events below have been told; 0 before the first stream says where the watch begins. */
  #nextRevision: number;
  #watchId: number | undefined;
  #toldCreated = false;
  #progressWanted = false;
  /** Streams in a row that came to nothing. */
  #failures = 0;
  #renewed = false;
  /** The server's word on the watch itself, which another stream would only repeat. */
  #refusal: ClientError | undefined;
  #lostAtMs = Date.now();

  /** @param establishTimeoutMs how long a server may take to confirm a watch */
  constructor(
    caller: Caller,
    options: WatchOptions,
    { signal, timeoutMs = Infinity, hasLeader = true }: CallOptions,
    establishTimeoutMs: number,
  ) {
    const { createdNotify = false, ...parameters } = options;
    this.#caller = caller;
    this.#createdNotify = createdNotify;
    this.#progressNotify = parameters.progressNotify ?? false;
    this.#request = watchRequest(parameters);
    this.#nextRevision = this.#request.startRevision;
    this.#hasLeader = hasLeader;
    this.#establishTimeoutMs = establishTimeoutMs;
    this.#lostTimeoutMs = timeoutMs;
    this.#life = new CallScope(caller.closing, Infinity, signal);
    const ended = (): void => {
      this.#queue.abort(this.#life.signal.reason);
      this.#stop();
    };
    this.#life.signal.addEventListener('abort', ended);
    if (this.#life.signal.aborted) ended();
    else void this.#run();
  }

  [Symbol.asyncIterator](): AsyncIterator<WatchBatch, undefined> {
    return {
      next: () => this.#queue.next(),
      return: () => {
        this.close();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  requestProgress(): void {
    this.#progressWanted = true;
    this.#sendProgressRequest();
  }

  close(): void {
    this.#queue.end();
    this.#stop();
  }

  #stop(): void {
    this.#life.end();
    this.#own.abort();
    this.#call?.cancel();
    this.#wakeForRoom?.();
  }

  #isStopped(): boolean {
    return this.#own.signal.aborted || this.#life.signal.aborted;
  }

  /** One stream after the other, until the watch is closed or refused. */
  async #run(): Promise<void> {
    while (!this.#isStopped()) {
      await this.#room();
      const scope = new CallScope(this.#own.signal, this.#establishLimitMs());
      try {
        await this.#follow(scope);
      } catch (error) {
        if (this.#isStopped()) return;
        if (!this.#mayResume(error)) {
          this.#queue.fail(this.#timeIsOver() ? deadlineExceeded(error) : error);
          this.#stop();
          return;
        }
      } finally {
        scope.end();
      }
      await this.#backoff();
    }
  }

  /** A new stream would bring more: it waits until the user has taken some of what is there. */
  async #room(): Promise<void> {
    if (!this.#queue.isFull) return;
    await new Promise<void>((resolve) => {
      this.#wakeForRoom = resolve;
    });
    this.#wakeForRoom = undefined;
    this.#lostAtMs = Date.now();
  }

  #establishLimitMs(): number {
    const left = this.#lostTimeoutMs - (Date.now() - this.#lostAtMs);
    return Math.max(0, Math.min(left, this.#establishTimeoutMs));
  }

  #timeIsOver(): boolean {
    return this.#watchId === undefined && Date.now() - this.#lostAtMs >= this.#lostTimeoutMs;
  }

  async #backoff(): Promise<void> {
    if (this.#failures === 0) return;
    const pause = new CallScope(this.#own.signal, Infinity);
    await pause.sleep(backoffMs(this.#failures)).catch(() => undefined);
    pause.end();
  }

  #mayResume(error: unknown): boolean {
    if (!(error instanceof ClientError) || this.#timeIsOver()) return false;
    this.#failures++;
    if (error instanceof Resumable) return true;
    // Only our own limit on how long a server may be silent has this code.
    const silent = error.code === StatusCode.deadlineExceeded;
    return error !== this.#refusal && (silent || isStreamRetry(error));
  }

  /** Serves one stream up to its end, which is always an error. */
  async #follow(scope: CallScope): Promise<void> {
    const open = await this.#caller.bidirectional(Watch.methods.watch, scope, this.#hasLeader);
    const call: WatchCall = open.stream;
    try {
      await new Promise<void>((_resolve, reject) => {
        const silent = (): void => reject(deadlineExceeded());
        scope.signal.addEventListener('abort', silent, { once: true });
        call.on('error', (error) => reject(isServiceError(error) ? fromGrpc(error) : error));
        call.on('end', () => reject(new ClientError(StatusCode.unavailable, 'the stream ended')));
        call.on('data', ({ message, sizeBytes }: Sized<WatchResponse>) => {
          const end = this.#receive(message, sizeBytes, scope);
          if (end !== undefined) reject(end);
          else if (this.#queue.isFull) call.pause();
        });
        this.#call = call;
        if (this.#isStopped()) reject(this.#life.signal.reason as Error);
        else call.write(this.#createRequest());
      });
    } catch (error) {
      throw this.#learn(open, error);
    } finally {
      this.#forget(call);
    }
  }

  /** Lets the caller know what a stream failed of. */
  #learn(open: OpenStream<WatchCall>, error: unknown): unknown {
    if (!(error instanceof ClientError)) return error;
    const refused = this.#caller.streamFailed(open, error);
    if (!refused || this.#renewed) return error;
    this.#renewed = true;
    return new Resumable(error);
  }

  /** Leaves a stream: what of it may still come must not be told after what the next one brings. */
  #forget(call: WatchCall): void {
    call.removeAllListeners();
    // A cancelled call reports that as an error.
    call.on('error', () => undefined);
    call.resume();
    call.cancel();
    this.#call = undefined;
    if (this.#watchId !== undefined) this.#lostAtMs = Date.now();
    this.#watchId = undefined;
    this.#assembler.reset();
  }

  #createRequest(): WatchRequest {
    // Periodic progress moves the point to resume at, so that an idle watch survives compactions.
    const value = { ...this.#request, startRevision: this.#nextRevision, progressNotify: true };
    return { requestUnion: { case: 'createRequest', value } };
  }

  #sendProgressRequest(): void {
    // A stream that does not take it now has not caught up, and would not be answered.
    if (this.#watchId === undefined || this.#call?.writableNeedDrain !== false) return;
    this.#call.write({ requestUnion: { case: 'progressRequest', value: {} } });
  }

  /** Takes a response; returns the error that it ends the stream with, if any. */
  #receive(response: WatchResponse, sizeBytes: number, scope: CallScope): ClientError | undefined {
    if (response.canceled) {
      const ours = response.created || response.watchId === this.#watchId;
      this.#refusal = ours ? cancellationOf(response) : undefined;
      return this.#refusal;
    }
    const header = response.header ?? ResponseHeader.create();
    if (response.created) {
      this.#established(response, header, scope);
      return undefined;
    }
    if (response.watchId === this.#watchId) this.#tell(response, header, sizeBytes);
    else if (response.watchId === -1) this.#tellProgress(response, header);
    return undefined;
  }

  #established(response: WatchResponse, header: ResponseHeader, scope: CallScope): void {
    scope.unlimited();
    this.#watchId = response.watchId;
    this.#failures = 0;
    this.#renewed = false;
    // Without this, a watch of what comes next that is cut off before anything came would miss it.
    if (this.#nextRevision === 0) this.#nextRevision = header.revision + 1;
    if (this.#createdNotify && !this.#toldCreated) {
      this.#push(response, header, [], { created: true }, 0);
    }
    this.#toldCreated = true;
    if (this.#progressWanted) this.#sendProgressRequest();
  }

  #tell(response: WatchResponse, header: ResponseHeader, sizeBytes: number): void {
    if (response.events.length === 0 && !response.fragment) {
      // After a resumption a member that is behind may report less than has been told.
      this.#nextRevision = Math.max(this.#nextRevision, header.revision + 1);
      if (this.#progressNotify) this.#push(response, header, [], { progress: true }, sizeBytes);
      return;
    }
    const whole = this.#assembler.add(response);
    const first = whole.findIndex((event) => revisionOf(event) >= this.#nextRevision);
    if (first < 0) return;
    const events = first === 0 ? whole : whole.slice(first);
    this.#nextRevision = revisionOf(events.at(-1)) + 1;
    this.#push(response, header, events, {}, sizeBytes);
  }

  #tellProgress(response: WatchResponse, header: ResponseHeader): void {
    this.#progressWanted = false;
    this.#push(response, header, [], { progress: true }, 0);
  }

  #push(
    response: WatchResponse,
    header: ResponseHeader,
    events: readonly Event[],
    { created = false, progress = false }: { created?: boolean; progress?: boolean },
    sizeBytes: number,
  ): void {
    const { watchId } = response;
    const message = { ...response, fragment: false, events };
    this.#queue.push({ header, watchId, events, created, progress, response: message }, sizeBytes);
  }
}

/** A failure that a new token may cure. */
class Resumable extends ClientError {
  constructor(cause: ClientError) {
    super(cause.code, cause.message, { cause });
  }
}
