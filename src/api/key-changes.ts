/** Changes of keys, in their order, for a call of this member that waits for them. */
import { EtcdError } from '../base/errors.ts';
import type { StoredEvent } from '../mvcc/event.ts';
import type { WatchStream } from '../mvcc/watch-stream.ts';
import type { CallContext } from './handler.ts';
import type { WatchBackend } from './watch.ts';

export interface WatchedKeys {
  readonly key: string;
  /** Undefined for a single key. */
  readonly end?: string;
  /** Changes from this revision on, and not those that are told for another reason. */
  readonly startRevision: number;
  readonly noPut?: boolean;
  readonly noDelete?: boolean;
}

/** Events of one revision or more; `lost` if the store has forgotten some that are wanted. */
export type KeyChange =
  | {
      readonly kind: 'events';
      readonly events: readonly StoredEvent[];
      readonly revision: number;
    }
  | { readonly kind: 'lost' };

export class KeyChanges {
  readonly #stream: WatchStream;
  readonly #signal: AbortSignal;
  readonly #wakeUp = (): void => this.#wake?.();
  readonly #stopDoubting: (() => void) | undefined;
  #wake: (() => void) | undefined;
  #refused = false;

  /** To be closed by who opens it. It keeps no more than a watch of a client may. */
  constructor(
    backend: Pick<WatchBackend, 'openWatchStream' | 'onStateRefused'>,
    { signal, memory }: Pick<CallContext, 'signal' | 'memory'>,
  ) {
    this.#stream = backend.openWatchStream({ onReadable: this.#wakeUp, memory });
    this.#stopDoubting = backend.onStateRefused?.(() => {
      this.#refused = true;
      this.#wakeUp();
    });
    this.#signal = signal;
    signal.addEventListener('abort', this.#wakeUp);
  }

  watch({ key, end, startRevision, noPut = false, noDelete = false }: WatchedKeys): void {
    const rest = { id: 0, prevKv: false, progressNotify: false, fragment: false };
    this.#stream.create({ key, end, startRevision, noPut, noDelete, ...rest });
  }

  /**
   * The next change; undefined once the call is over.
   * @throws EtcdError `corrupt` once the state must not be shown any more
   */
  async next(): Promise<KeyChange | undefined> {
    for (;;) {
      if (this.#refused) throw new EtcdError('corrupt');
      if (this.#signal.aborted) return undefined;
      for (let next = this.#stream.take(); next !== undefined; next = this.#stream.take()) {
        if (next.kind === 'events') return next;
        if (next.kind === 'compacted') return { kind: 'lost' };
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  close(): void {
    this.#stopDoubting?.();
    this.#signal.removeEventListener('abort', this.#wakeUp);
    this.#stream.close();
  }
}
