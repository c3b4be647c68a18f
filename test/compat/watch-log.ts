/** All watches of one server on one stream, and what each of them has delivered. */
import { latin1 } from '../../src/base/bytes.ts';
import type { Event } from '../../src/gen/kv.ts';
import type { WatchCreateRequest, WatchRequest, WatchResponse } from '../../src/gen/rpc.ts';
import * as rpc from '../../src/gen/rpc.ts';
import { Watch } from '../../src/gen/services.ts';
import type { GrpcClient, MessageStream } from '../support/grpc.ts';
import { type Plain, plainOf } from './session.ts';

interface Delivered {
  created: boolean;
  canceled: Plain | undefined;
  readonly events: Event[];
}

/** The watch of everything, from which the expectations of all others follow. */
export const everything = 1;

export class WatchLog {
  readonly #stream: MessageStream<WatchRequest, WatchResponse>;
  readonly #watches = new Map<number, Delivered>();
  #failure: Error | undefined;
  #woken: (() => void)[] = [];

  constructor(client: GrpcClient) {
    this.#stream = client.bidirectional(Watch.methods.watch);
    void this.#read();
    const all = { key: Buffer.of(0), rangeEnd: Buffer.of(0), prevKv: true, watchId: everything };
    this.create(rpc.WatchCreateRequest.create(all));
  }

  create(request: WatchCreateRequest): void {
    this.#watches.set(request.watchId, { created: false, canceled: undefined, events: [] });
    this.#stream.send({ requestUnion: { case: 'createRequest', value: request } });
  }

  cancel(watchId: number): void {
    this.#stream.send({ requestUnion: { case: 'cancelRequest', value: { watchId } } });
  }

  delivered(watchId: number): Delivered {
    const delivered = this.#watches.get(watchId);
    if (delivered === undefined) throw new Error(`no watch ${watchId}`);
    return delivered;
  }

  close(): void {
    this.#stream.cancel();
  }

  /** Waits until `condition` holds; false if it does not within the time. */
  async until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    const end = Date.now() + timeoutMs;
    while (!condition()) {
      if (this.#failure !== undefined) throw this.#failure;
      const left = end - Date.now();
      if (left <= 0) return false;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(left, 1000));
        this.#woken.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    return true;
  }

  async #read(): Promise<void> {
    try {
      for (;;) {
        const response = await this.#stream.next(3_600_000);
        if (response === undefined) throw new Error('the watch stream ended');
        this.#take(response);
      }
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error));
      this.#wake();
    }
  }

  #take(response: WatchResponse): void {
    const delivered = this.#watches.get(response.watchId);
    if (delivered === undefined) throw new Error(`an answer for watch ${response.watchId}`);
    if (response.created) delivered.created = true;
    if (delivered.canceled !== undefined) throw new Error('an answer after the cancellation');
    delivered.events.push(...response.events);
    if (response.canceled) {
      const { compactRevision, cancelReason } = response;
      delivered.canceled = plainOf({ compactRevision, cancelReason }, []);
    }
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#woken.splice(0)) wake();
  }
}

/** Whether a watch shows an event of the log of everything. */
export function shows(request: WatchCreateRequest, createdAt: number, event: Event): boolean {
  const { kv, type } = event;
  if (kv === undefined || request.filters.includes(type)) return false;
  const start = request.startRevision === 0 ? createdAt + 1 : request.startRevision;
  if (kv.modRevision < start) return false;
  // A start in the future is not held back to: what happens before it is not shown.
  const key = latin1(kv.key);
  const from = latin1(request.key);
  const end = latin1(request.rangeEnd);
  if (end === '') return key === from;
  return key >= from && (end === '\0' || key < end);
}
