/** The memory that the answer of one call takes: released whole when the call is over. */
import { EtcdError } from '../../base/errors.ts';
import type { UnsentMemory } from '../../mvcc/watch-stream.ts';
import type { AnswerMemory } from '../handler.ts';
import type { ConnectionMemory } from './connection-memory.ts';

export class CallMemory implements AnswerMemory {
  readonly #connection: ConnectionMemory;
  #heldBytes = 0;
  #over = false;

  constructor(connection: ConnectionMemory) {
    this.#connection = connection;
  }

  get isFull(): boolean {
    return this.#connection.isFullOfUnsent;
  }

  get queue(): UnsentMemory {
    return this.#connection.queue;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  hold(bytes: number): void {
    if (this.#over) throw new EtcdError('requestCanceled');
    if (!this.#connection.take(bytes)) throw new EtcdError('tooManyUnsent');
    this.#heldBytes += bytes;
  }

  add(bytes: number): void {
    this.#connection.add(bytes);
  }

  release(bytes: number): void {
    this.#connection.release(bytes);
  }

  onRoom(listener: () => void): () => void {
    return this.#connection.onRoomToSend(listener);
  }

  /** Exchanges what was held in the making for the encoded answer, which is waiting to be sent. */
  encoded(bytes: number): void {
    const more = bytes - this.#heldBytes;
    if (more > 0) this.hold(more);
  }

  /** The call is over: everything was sent, or nobody wants it any more. */
  close(): void {
    this.#over = true;
    if (this.#heldBytes === 0) return;
    this.#connection.release(this.#heldBytes);
    this.#heldBytes = 0;
  }
}
