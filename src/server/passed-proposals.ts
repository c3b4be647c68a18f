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

  get size(): number {
    return this.#count;
  }

  /** Beyond the limits a message is dropped, as the network may drop it. */
  hold(message: ProposeMessage): void {
    const count = this.#count + message.entries.length;
    const bytes = this.#bytes + bytesOf(message);
    if (count > heldLimit || bytes > heldLimitBytes) return;
    this.#count = count;
    this.#bytes = bytes;
    this.#held.push({ message, sinceMs: this.#clock.monotonicMs() });
  }

  /** Gives out all that is not too old, in the order in which it came. */
  take(): readonly ProposeMessage[] {
    const fromMs = this.#clock.monotonicMs() - holdMs;
    const messages = this.#held
      .filter(({ sinceMs }) => sinceMs >= fromMs)
      .map(({ message }) => message);
    this.#held = [];
    this.#count = 0;
    this.#bytes = 0;
    return messages;
  }
}

/** Changes of membership have a queue of their own (`conf-change-queue.ts`). */
export function isOfCommands(message: ProposeMessage): boolean {
  return message.entries.every(({ kind }) => kind === EntryKind.normal);
}

function bytesOf({ entries }: ProposeMessage): number {
  return entries.reduce((sum, { data }) => sum + data.length, 0);
}
