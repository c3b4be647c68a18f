/**
 * Proposals that other members passed on and that cannot go further now: this leader is handing
 * over, or this member does not know yet who leads after it, or cannot reach that one. Raft's core
 * would drop them, and each one's client would wait for its timeout and never know the outcome.
 *
 * Nothing here has been handed to Raft. A proposal goes on from here once, so it still happens at
 * most once, however many members pass it on.
 */
import type { Clock } from '../base/clock.ts';
import { EntryKind, type Message } from '../raft/index.ts';

/** As many as may wait for a leader where they were made. */
const heldLimitBytes = 64 * 1024 * 1024;
const heldLimit = 20_000;
/** Whoever asked has given up by then. */
const holdMs = 5000;

type ProposeMessage = Extract<Message, { readonly type: 'propose' }>;

export class PassedProposals {
  readonly #clock: Clock;
  #held: { readonly message: ProposeMessage; readonly sinceMs: number }[] = [];
  #count = 0;
  #bytes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isEmpty(): boolean {
    return this.#held.length === 0;
  }

  /** Beyond the limits a message is dropped, as the network may drop it. */
  hold(message: ProposeMessage): void {
    this.#forgetOld();
    const count = this.#count + message.entries.length;
    const bytes = this.#bytes + bytesOf(message);
    if (count > heldLimit || bytes > heldLimitBytes) return;
    this.#count = count;
    this.#bytes = bytes;
    this.#held.push({ message, sinceMs: this.#clock.monotonicMs() });
  }

  /** The message that came first of those that are not too old. */
  first(): ProposeMessage | undefined {
    this.#forgetOld();
    return this.#held[0]?.message;
  }

  /** The first one has gone on, or is given up. */
  shift(): void {
    const gone = this.#held.shift();
    if (gone === undefined) return;
    this.#count -= gone.message.entries.length;
    this.#bytes -= bytesOf(gone.message);
  }

  #forgetOld(): void {
    const fromMs = this.#clock.monotonicMs() - holdMs;
    for (let [first] = this.#held; first !== undefined && first.sinceMs < fromMs;) {
      this.shift();
      [first] = this.#held;
    }
  }
}

/** Changes of membership have a queue of their own (`conf-change-queue.ts`). */
export function isOfCommands(message: ProposeMessage): boolean {
  return message.entries.every(({ kind }) => kind === EntryKind.normal);
}

function bytesOf({ entries }: ProposeMessage): number {
  return entries.reduce((sum, { data }) => sum + data.length, 0);
}
