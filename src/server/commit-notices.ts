/**
 * A leader tells followers of each commit. It is no hurry for most: the next entries tell it too,
 * and where clients send one write after the other they follow at once. So a notice waits for
 * them a little, and two messages, and what they cost their receivers, are saved for each write.
 * Watchers and serializable reads at a follower may see a write that much later.
 *
 * It does not wait for those who do: a follower whose client waits for the commit, or for a read.
 * Nor when a change of membership is about to be applied: who is removed hears no more after that.
 */
import type { Clock, Timer } from '../base/clock.ts';
import type { MemberId, Message } from '../raft/index.ts';

/** Longer than a client on the same network takes from an answer to its next request. */
const holdMs = 1;
/** How long a follower that has passed something on is taken for one whose clients write. */
const proposerMs = 1_000;
/** Longer entries take longer than a notice may wait. */
const smallBytes = 64 * 1024;

type CommittedMessage = Extract<Message, { readonly type: 'committed' }>;

export class CommitNotices {
  readonly #clock: Clock;
  readonly #send: (messages: readonly Message[]) => void;
  /** At most one for each member: the newest says all. */
  readonly #held = new Map<MemberId, CommittedMessage>();
  /** When members last passed on a proposal. */
  readonly #proposers = new Map<MemberId, number>();
  #timer: Timer | undefined;
  #stopped = false;

  /** @param send called only with what was held for its full time */
  constructor(clock: Clock, send: (messages: readonly Message[]) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#held.clear();
  }

  /** A follower passed on what a client of its own asked for. */
  proposedBy(member: MemberId): void {
    this.#proposers.set(member, this.#clock.monotonicMs());
  }

  /**
   * What of a leader's messages is to be sent now, and what was held and must not wait any more.
   * @param hurries whether no notice may wait
   */
  outgoing(messages: readonly Message[], hurries: boolean): readonly Message[] {
    if (this.#held.size === 0 && !messages.some(({ type }) => type === 'committed')) {
      return messages;
    }
    const now: Message[] = [];
    for (const message of messages) {
      if (message.type === 'committed') this.#hold(message, now);
      else {
        if (needs(message)) this.#release(message.to, now);
        else if (tells(message, this.#held.get(message.to))) this.#held.delete(message.to);
        now.push(message);
      }
    }
    for (const to of [...this.#held.keys()]) {
      const waits = messages.some((message) => message.to === to && needs(message));
      if (hurries || waits || this.#proposes(to)) this.#release(to, now);
    }
    this.#arm();
    return now;
  }

  #hold(message: CommittedMessage, now: Message[]): void {
    const held = this.#held.get(message.to);
    // What is less was said to somebody who asked for a vote.
    if (held !== undefined && held.index > message.index) now.push(message);
    else this.#held.set(message.to, message);
  }

  #release(member: MemberId, into: Message[]): void {
    const held = this.#held.get(member);
    if (held !== undefined) into.push(held);
    this.#held.delete(member);
  }

  #proposes(member: MemberId): boolean {
    const lastMs = this.#proposers.get(member);
    if (lastMs === undefined) return false;
    if (this.#clock.monotonicMs() - lastMs < proposerMs) return true;
    this.#proposers.delete(member);
    return false;
  }

  #arm(): void {
    if (this.#held.size === 0 || this.#stopped) {
      this.#timer?.cancel();
      this.#timer = undefined;
      return;
    }
    this.#timer ??= this.#clock.after(holdMs, () => {
      this.#timer = undefined;
      const messages = [...this.#held.values()];
      this.#held.clear();
      this.#send(messages);
    });
  }
}

/** Whether a message soon tells its receiver at least as much as a notice. */
function tells(message: Message, notice: CommittedMessage | undefined): boolean {
  if (notice === undefined || message.term !== notice.term) return false;
  if (message.type === 'heartbeat') return message.commit >= notice.index;
  if (message.type !== 'append' || message.commit < notice.index) return false;
  let bytes = 0;
  for (const { data } of message.entries) bytes += data.length;
  return bytes <= smallBytes;
}

/** Whether the receiver of a message waits for what is committed: to read, or to lead. */
function needs({ type }: Message): boolean {
  return type === 'readIndexResponse' || type === 'timeoutNow';
}
