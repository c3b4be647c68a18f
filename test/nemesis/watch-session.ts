/** One watcher on one stream, recorded as it is told. */
import type { Event } from '../../src/gen/kv.ts';
import {
  type WatchCreateRequest,
  WatchProgressRequest,
  type WatchRequest,
  type WatchResponse,
} from '../../src/gen/rpc.ts';
import { Watch } from '../../src/gen/services.ts';
import { CallError, type GrpcClient, type MessageStream } from '../support/grpc.ts';
import type { OpenWatch, Recorder } from './recorder.ts';

export interface WatchSessionOptions {
  readonly client: GrpcClient;
  readonly request: WatchCreateRequest;
  readonly recorder: Recorder;
  readonly log: OpenWatch;
  /** Told of the events of whole revisions, in order. */
  readonly onEvents?: (events: readonly Event[]) => void;
}

/** Waiting for the next answer is interrupted this often to see whether it is time to leave. */
const lookMs = 100;

export class WatchSession {
  readonly #options: WatchSessionOptions;
  readonly #stream: MessageStream<WatchRequest, WatchResponse>;
  /** Events of a revision whose rest has not come yet. */
  #fragments: Event[] = [];
  #next: number;
  #compactRevision = 0;
  #over = false;

  constructor(options: WatchSessionOptions) {
    this.#options = options;
    this.#next = options.request.startRevision;
    this.#stream = options.client.bidirectional(Watch.methods.watch);
    this.#stream.send({ requestUnion: { case: 'createRequest', value: options.request } });
  }

  /** The first revision that is not known in full; 0 until the server has said where it began. */
  get nextRevision(): number {
    return this.#next;
  }

  /** Where events begin after the watcher fell behind a compaction; 0 if it did not. */
  get compactRevision(): number {
    return this.#compactRevision;
  }

  requestProgress(): void {
    const value = WatchProgressRequest.create();
    if (!this.#over) this.#stream.send({ requestUnion: { case: 'progressRequest', value } });
  }

  /** Reads until the stream ends or `leave` says so, which is asked now and then. */
  async read(leave: () => boolean): Promise<void> {
    const { log } = this.#options;
    let reason = 'left';
    try {
      while (!this.#isOver()) {
        if (leave()) break;
        const response = await this.#stream.tryNext(lookMs);
        if (response === 'silence') continue;
        if (response === undefined) {
          reason = 'the server ended the stream';
          break;
        }
        this.#take(response);
      }
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      reason = error.message;
    }
    this.#stream.cancel();
    if (!this.#over) log.add({ kind: 'ended', reason, atMs: this.#options.recorder.nowMs() });
    this.#over = true;
  }

  #isOver(): boolean {
    return this.#over;
  }

  #take(response: WatchResponse): void {
    const { log, recorder } = this.#options;
    const revision = response.header?.revision ?? 0;
    const atMs = recorder.nowMs();
    if (response.created) {
      if (this.#next === 0) this.#next = revision + 1;
      log.add({ kind: 'created', revision, atMs });
    }
    if (response.compactRevision > 0) {
      // The server cancels such a watcher: that is its end.
      this.#compactRevision = response.compactRevision;
      this.#over = true;
      log.add({ kind: 'compacted', compactRevision: response.compactRevision, atMs });
    } else if (response.canceled) {
      this.#over = true;
      log.add({ kind: 'ended', reason: response.cancelReason, atMs });
    } else if (response.events.length > 0) {
      const { events, fragment } = response;
      log.add({ kind: 'events', revision, events, fragment, atMs });
      this.#events(events, fragment);
    } else if (!response.created) {
      log.add({ kind: 'progress', revision, atMs });
      this.#next = Math.max(this.#next, revision + 1);
    }
  }

  #events(events: readonly Event[], fragment: boolean): void {
    this.#fragments.push(...events);
    const last = this.#fragments.at(-1)?.kv?.modRevision ?? 0;
    // The last revision of a fragment may go on in the next one.
    const whole = fragment
      ? this.#fragments.filter((event) => event.kv?.modRevision !== last)
      : this.#fragments;
    this.#fragments = fragment
      ? this.#fragments.filter((event) => event.kv?.modRevision === last)
      : [];
    const newest = whole.at(-1)?.kv?.modRevision;
    if (newest === undefined) return;
    this.#next = newest + 1;
    this.#options.onEvents?.(whole);
  }
}
