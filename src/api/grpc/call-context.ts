/** What a handler may know of its call, made cheaply: most calls never ask. */
import type { CallContext } from '../handler.ts';
import { CallMemory } from './call-memory.ts';
import type { ConnectionMemory } from './connection-memory.ts';

export interface CancellableCall {
  /** The first value of that name. */
  metadata(name: string): string | undefined;
  readonly cancelled: boolean;
  once(event: 'cancelled', listener: () => void): unknown;
}

export class GrpcCallContext implements CallContext {
  readonly #call: CancellableCall;
  #controller: AbortController | undefined;
  readonly memory: CallMemory;
  #ended = false;
  #isCut = false;
  #onEnd: (() => void) | undefined;

  constructor(call: CancellableCall, answers: ConnectionMemory) {
    this.#call = call;
    this.memory = new CallMemory(answers);
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      if (this.#call.cancelled) controller.abort();
      else {
        this.#call.once('cancelled', () => {
          if (!this.#ended) controller.abort();
        });
      }
    }
    return this.#controller.signal;
  }

  get cancelled(): boolean {
    return this.#isCut || this.#call.cancelled;
  }

  /** Calls `listener` when the call ends. */
  onEnd(listener: () => void): void {
    this.#onEnd = listener;
  }

  /** Makes the handler end as if the client had cancelled. */
  cut(): void {
    this.#isCut = true;
    this.#controller ??= new AbortController();
    this.#controller.abort();
  }

  metadata(name: string): string | undefined {
    return this.#call.metadata(name);
  }

  /**
   * The answer is on its way: from now on the signal stays as it is, because the end of every
   * call is reported as a cancellation. Returns whether this was the first time.
   */
  end(): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.memory.close();
    this.#onEnd?.();
    return true;
  }
}
