/**
 * Memory that clients make the server hold, counted by connection: requests that have come in part
 * and answers that are not sent yet. A client decides how fast both go away, so both have limits.
 */
import type { Clock, Timer } from '../../base/clock.ts';

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

  /** For {@link ConnectionMemory}: counts bytes that it holds from now on, or no more. */
  count(bytes: number): void {
    const wasFull = this.isFull;
    this.#heldBytes += bytes;
    if (!this.isFull) {
      if (wasFull) for (const memory of [...this.#waiting]) memory.roomAgain();
    } else {
      this.exhausted();
    }
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
  readonly #listeners = new Set<() => void>();
  #heldBytes = 0;
  /** For {@link MemoryBudget}: whether any was released of late. */
  moved = false;

  constructor(budget: MemoryBudget, close: () => void) {
    this.#budget = budget;
    this.#close = close;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Whether nothing more may be held now; what is small may all the same. */
  get isFull(): boolean {
    return this.#budget.isFull || this.#heldBytes >= this.#budget.limits.connectionBytes;
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
    this.#heldBytes += bytes;
    this.#budget.count(bytes);
  }

  release(bytes: number): void {
    this.moved = true;
    this.#heldBytes -= bytes;
    this.#budget.count(-bytes);
    if (this.#listeners.size > 0 && !this.isFull) this.roomAgain();
  }

  /** Calls `listener` once when there is room again. Returns how to stop that. */
  onRoom(listener: () => void): () => void {
    this.#listeners.add(listener);
    this.#budget.awaited(this);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** For {@link MemoryBudget}. Those who are told look for themselves whether enough is left. */
  roomAgain(): void {
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    for (const listener of listeners) listener();
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

/** The memory of one connection, both ways. */
export interface SessionMemory {
  /** Requests that have come in part. */
  readonly requests: ConnectionMemory;
  /** Answers that are being made or not sent yet. */
  readonly answers: ConnectionMemory;
}
