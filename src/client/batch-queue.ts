/** What a watcher has received and its user has not taken. */

/** Batches to hold before the stream is not read any more. Each has at least one response. */
const batchesMax = 128;
/** And bytes, as they were on the wire: batches may be large. */
const sizeMaxBytes = 8 * 1024 * 1024;

interface Waiter<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: unknown): void;
}

const done = { done: true, value: undefined } as const;

/** A queue whose producer looks at `isFull` and is told by `onRoom` when to go on. */
export class BatchQueue<T> {
  readonly #batches: { readonly batch: T; readonly sizeBytes: number }[] = [];
  /** Not empty only while there are no batches. */
  readonly #waiters: Waiter<T>[] = [];
  readonly #onRoom: () => void;
  #sizeBytes = 0;
  #wasFull = false;
  /** Set when nothing more will come; how it is told to those who ask, once. */
  #end: { readonly error: Error } | 'quiet' | undefined;

  constructor(onRoom: () => void) {
    this.#onRoom = onRoom;
  }

  get isFull(): boolean {
    return this.#batches.length >= batchesMax || this.#sizeBytes >= sizeMaxBytes;
  }

  push(batch: T, sizeBytes: number): void {
    if (this.#end !== undefined) return;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      waiter.resolve({ done: false, value: batch });
      return;
    }
    this.#batches.push({ batch, sizeBytes });
    this.#sizeBytes += sizeBytes;
    this.#wasFull ||= this.isFull;
  }

  /** The next batch, in order of the calls. */
  next(): Promise<IteratorResult<T, undefined>> {
    const first = this.#batches.shift();
    if (first !== undefined) {
      this.#sizeBytes -= first.sizeBytes;
      if (this.#wasFull && !this.isFull) {
        this.#wasFull = false;
        this.#onRoom();
      }
      return Promise.resolve({ done: false, value: first.batch });
    }
    const end = this.#end;
    if (end === undefined) {
      return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
    }
    if (end === 'quiet') return Promise.resolve(done);
    this.#end = 'quiet';
    return Promise.reject(end.error);
  }

  /** After what is in the queue, the next one who asks gets `error`, whatever it is. */
  fail(error: unknown): void {
    if (this.#end !== undefined) return;
    const [first, ...others] = this.#waiters.splice(0);
    this.#end = first === undefined ? { error: error as Error } : 'quiet';
    first?.reject(error);
    for (const waiter of others) waiter.resolve(done);
  }

  /** As `fail`, but what is in the queue is dropped. */
  abort(error: unknown): void {
    this.#drop();
    this.fail(error);
  }

  /** Drops what is in the queue; there is nothing more. */
  end(): void {
    this.#drop();
    this.#end = 'quiet';
    for (const waiter of this.#waiters.splice(0)) waiter.resolve(done);
  }

  #drop(): void {
    this.#batches.length = 0;
    this.#sizeBytes = 0;
  }
}
