/**
 * Memory that clients make the server hold, counted by connection: requests that have come in part
 * and answers that are not sent yet. A client decides how fast both go away, so both have limits.
 */
import type { Clock, Timer } from '../../base/clock.ts';
import type { UnsentMemory } from '../../mvcc/watch-stream.ts';

/** Who holds so little is no cause of a shortage: only its connection's own limit holds for it. */
const SMALL_BYTES = 64 * 1024;

export interface MemoryLimits {
  /** What one connection may hold. */
  readonly connectionBytes: number;
  /** What all may hold together. */
  readonly totalBytes: number;
  /**
   * If all memory is held for so long, the connection that holds most is closed, one that let go
   * of nothing before others: everybody else would be refused until its client finishes or reads.
   */
  readonly stallMs: number;
}

export interface MemoryBudgetOptions {
  readonly limits: MemoryLimits;
  readonly clock: Clock;
  /** A connection is closed for what it holds. */
  closing(heldBytes: number): void;
}

/** The memory of all connections. */
export class MemoryBudget {
  readonly limits: MemoryLimits;
  readonly #options: MemoryBudgetOptions;
  readonly #open = new Set<ConnectionMemory>();
  /** Connections with listeners that wait for room. */
  readonly #waiting = new Set<ConnectionMemory>();
  #heldBytes = 0;
  /** Of these, what waits in queues. */
  #queuedBytes = 0;
  #timer: Timer | undefined;

  constructor(options: MemoryBudgetOptions) {
    this.#options = options;
    this.limits = options.limits;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  get isFull(): boolean {
    return this.#heldBytes >= this.limits.totalBytes;
  }

  get isFullOfUnsent(): boolean {
    return this.#heldBytes - this.#queuedBytes >= this.limits.totalBytes;
  }

  /** @param close ends the connection; may do so later */
  open(close: () => void): ConnectionMemory {
    const memory = new ConnectionMemory(this, close);
    this.#open.add(memory);
    return memory;
  }

  /** For {@link ConnectionMemory}. */
  closed(memory: ConnectionMemory): void {
    this.#open.delete(memory);
    this.#waiting.delete(memory);
  }

  /**
   * For {@link ConnectionMemory}: counts bytes that it holds from now on, or no more.
   * @param queuedBytes those of them that wait in queues
   */
  count(bytes: number, queuedBytes: number): void {
    const { isFull: wasFull, isFullOfUnsent: wasFullOfUnsent } = this;
    this.#heldBytes += bytes;
    this.#queuedBytes += queuedBytes;
    const hasRoom = wasFull && !this.isFull;
    if (hasRoom || (wasFullOfUnsent && !this.isFullOfUnsent)) {
      for (const memory of [...this.#waiting]) memory.roomAgain();
    }
    if (this.isFull) this.exhausted();
  }

  /** For {@link ConnectionMemory}: tells it when there is room again. */
  awaited(memory: ConnectionMemory): void {
    this.#waiting.add(memory);
  }

  /** Somebody did not get what he asked for: begins to watch whether anything moves. */
  exhausted(): void {
    if (this.#timer !== undefined) return;
    for (const memory of this.#open) memory.moved = false;
    this.#timer = this.#options.clock.after(this.limits.stallMs, () => {
      this.#timer = undefined;
      if (this.#heldBytes < this.limits.totalBytes / 2) return;
      const stuck = [...this.#open].filter(({ moved }) => !moved);
      if (!this.#closeGreediest(stuck) && this.isFull) this.#closeGreediest([...this.#open]);
      this.exhausted();
    });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Returns whether one of them held anything. */
  #closeGreediest(memories: readonly ConnectionMemory[]): boolean {
    let greediest: ConnectionMemory | undefined;
    for (const memory of memories) {
      if (memory.heldBytes > (greediest?.heldBytes ?? 0)) greediest = memory;
    }
    if (greediest === undefined) return false;
    this.#options.closing(greediest.heldBytes);
    greediest.closeConnection();
    return true;
  }
}

/** The memory of one connection. */
export class ConnectionMemory {
  readonly #budget: MemoryBudget;
  readonly #close: () => void;
  /** Those who wait for room of any kind, and those who wait to send. */
  readonly #listeners = new Set<() => void>();
  readonly #senders = new Set<() => void>();
  readonly queue: UnsentMemory;
  #heldBytes = 0;
  /** Of these, what waits in queues. */
  #queuedBytes = 0;
  /** For {@link MemoryBudget}: whether any was released of late. */
  moved = false;

  constructor(budget: MemoryBudget, close: () => void) {
    this.#budget = budget;
    this.#close = close;
    const isFull = (): boolean => this.isFull;
    this.queue = {
      get isFull() {
        return isFull();
      },
      add: (bytes) => this.#count(bytes, bytes),
      release: (bytes) => this.#release(bytes, bytes),
      onRoom: (listener) => this.#wait(this.#listeners, listener),
    };
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Whether nothing more may be held now; what is small may all the same. */
  get isFull(): boolean {
    return this.#budget.isFull || this.#heldBytes >= this.#budget.limits.connectionBytes;
  }

  /** The same without what waits in queues. */
  get isFullOfUnsent(): boolean {
    const unsentBytes = this.#heldBytes - this.#queuedBytes;
    return this.#budget.isFullOfUnsent || unsentBytes >= this.#budget.limits.connectionBytes;
  }

  /** Holds so many bytes more if there is room for them. */
  take(bytes: number): boolean {
    const { limits } = this.#budget;
    if (this.#heldBytes + bytes > limits.connectionBytes) return false;
    if (bytes > SMALL_BYTES && this.#budget.heldBytes + bytes > limits.totalBytes) {
      this.#budget.exhausted();
      return false;
    }
    this.add(bytes);
    return true;
  }

  /** Holds so many bytes more, room or not. */
  add(bytes: number): void {
    this.#count(bytes, 0);
  }

  release(bytes: number): void {
    this.#release(bytes, 0);
  }

  #count(bytes: number, queuedBytes: number): void {
    this.#heldBytes += bytes;
    this.#queuedBytes += queuedBytes;
    this.#budget.count(bytes, queuedBytes);
  }

  #release(bytes: number, queuedBytes: number): void {
    this.moved = true;
    this.#count(-bytes, -queuedBytes);
    if (this.#listeners.size > 0 || this.#senders.size > 0) this.roomAgain();
  }

  /** Calls `listener` once when there is room again to send. Returns how to stop that. */
  onRoomToSend(listener: () => void): () => void {
    return this.#wait(this.#senders, listener);
  }

  #wait(waiting: Set<() => void>, listener: () => void): () => void {
    waiting.add(listener);
    this.#budget.awaited(this);
    return () => {
      waiting.delete(listener);
    };
  }

  /** For {@link MemoryBudget}. Those who are told look for themselves whether enough is left. */
  roomAgain(): void {
    if (!this.isFull) tell(this.#listeners);
    if (!this.isFullOfUnsent) tell(this.#senders);
  }

  /** For {@link MemoryBudget}. */
  closeConnection(): void {
    this.#close();
  }

  /** The connection is gone; what it holds is released by those who took it. */
  closed(): void {
    this.#budget.closed(this);
  }
}

function tell(waiting: Set<() => void>): void {
  const listeners = [...waiting];
  waiting.clear();
  for (const listener of listeners) listener();
}

/** The memory of one connection, both ways. */
export interface SessionMemory {
  /** Requests that have come in part. */
  readonly requests: ConnectionMemory;
  /** Answers that are being made or not sent yet. */
  readonly answers: ConnectionMemory;
}
