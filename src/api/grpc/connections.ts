/** The connections of clients that speak HTTP/2, and what they hold together. */
import type { Socket } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import type { HeaderList } from '../../http2/header-fields.ts';
import { ServerConnection } from '../../http2/server-connection.ts';
import type { Stream } from '../../http2/stream.ts';
import { Liveness, type LivenessTimes } from '../../http2/liveness.ts';
import { MemoryBudget, type MemoryLimits, type SessionMemory } from './connection-memory.ts';
import { PingPolicy } from './ping-policy.ts';

export interface ConnectionsOptions {
  readonly clock: Clock;
  /** Serves a call. */
  serve(stream: Stream, headers: HeaderList, memory: SessionMemory): void;
  /** Calls at a time on one connection. */
  readonly maxConcurrentStreams: number;
  /** Shortest time between a client's pings; 0 allows any. */
  readonly minPingTimeMs: number;
  readonly liveness: LivenessTimes;
  readonly requestLimits: MemoryLimits;
  readonly answerLimits: MemoryLimits;
  failed(error: Error): void;
  /** A connection is closed for the memory that it holds. */
  closingFor(heldBytes: number): void;
  /** For tests. */
  readonly openingTimeoutMs?: number | undefined;
}

export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #open = new Set<ServerConnection>();
  readonly #requests: MemoryBudget;
  readonly #answers: MemoryBudget;
  #isDraining = false;
  #whenEmpty: (() => void) | undefined;

  constructor(options: ConnectionsOptions) {
    const { clock } = options;
    this.#options = options;
    const closing = (heldBytes: number): void => options.closingFor(heldBytes);
    this.#requests = new MemoryBudget({ limits: options.requestLimits, clock, closing });
    this.#answers = new MemoryBudget({ limits: options.answerLimits, clock, closing });
  }

  get unsentBytes(): number {
    return this.#answers.heldBytes;
  }

  /** Memory for a connection that ends itself when it must close; it is told of the end. */
  openMemory(close: () => void): SessionMemory {
    return { requests: this.#requests.open(close), answers: this.#answers.open(close) };
  }

  /** Serves a connection. @param received its first bytes, HTTP/2's preface among them */
  accept(socket: Socket, received: Buffer): void {
    // Whoever resets a connection at once is gone before anybody could be told.
    if (socket.destroyed) {
      socket.on('error', (error) => this.#options.failed(error));
      return;
    }
    const options = this.#options;
    const { clock, minPingTimeMs } = options;
    const memory = this.openMemory(() => connection.destroy());
    const pings = new PingPolicy(minPingTimeMs, clock);
    const connection: ServerConnection = new ServerConnection(socket, {
      clock,
      maxConcurrentStreams: options.maxConcurrentStreams,
      openingTimeoutMs: options.openingTimeoutMs,
      received: memory.requests,
      sent: memory.answers,
      request: (stream, headers) => options.serve(stream, headers, memory),
      pinged: () => pings.pinged(connection),
      failed: (error) => options.failed(error),
      closed: () => {
        liveness.stop();
        this.#open.delete(connection);
        memory.requests.closed();
        memory.answers.closed();
        if (this.#open.size === 0) this.#whenEmpty?.();
      },
    });
    const liveness = new Liveness(connection, options.liveness, clock);
    this.#open.add(connection);
    if (this.#isDraining) connection.leave();
    connection.receive(received);
  }

  /** Refuses new calls and lets open ones end; resolves when all connections are closed. */
  async drain(timeoutMs: number): Promise<void> {
    this.#isDraining = true;
    if (this.#open.size === 0) return;
    const empty = new Promise<void>((resolve) => {
      this.#whenEmpty = resolve;
    });
    for (const connection of [...this.#open]) connection.leave();
    const timer = this.#options.clock.after(timeoutMs, () => this.destroy());
    await empty;
    timer.cancel();
    this.#requests.stop();
    this.#answers.stop();
  }

  destroy(): void {
    this.#requests.stop();
    this.#answers.stop();
    for (const connection of [...this.#open]) connection.destroy();
  }
}
