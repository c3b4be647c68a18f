/**
 * A leader tells followers of each commit. It is no hurry for most: the next entries tell it too,
 * and where clients send one write after the other they follow at once. So a notice waits for
 * them a little, and two messages, and what they cost their receivers, are saved for each write.
 *
 * It does not wait for those who do: a follower whose client waits for the commit, or for a read.
 */
import type { Clock, Timer } from '../base/clock.ts';
import type { MemberId, Message } from '../raft/index.ts';

/** Longer than a client on the same network takes from an answer to its next request. */
const holdMs = 1;
/** How long a follower that has passed something on is taken for one whose clients write. */
const proposerMs = 1_000;

type CommittedMessage = Extract<Message, { readonly type: 'committed' }>;

export class CommitNotices {
  readonly #clock: Clock;
  readonly #send: (messages: readonly Message[]) => void;
  /** At most one for each member: the newest says all. */
  readonly #held = new Map<MemberId, CommittedMessage>();
  /** When members last passed on a proposal. */
  readonly #proposers = new Map<MemberId, number>();
  #timer: Timer | undefined;

  /** @param send called only with what was held for its full time */
  constructor(clock: Clock, send: (messages: readonly Message[]) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  stop(): void {
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
      const { to } = message;
      const held = this.#held.get(to);
      if (message.type === 'committed') {
        this.#held.set(to, message);
        if (hurries || this.#proposes(to)) this.#release(to, now);
        continue;
      }
      if (held !== undefined && tells(message, held)) this.#held.delete(to);
      now.push(message);
    }
    for (const message of messages) if (needs(message)) this.#release(message.to, now);
    this.#arm();
    return now;
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
    if (this.#held.size === 0) {
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

/** Whether a message tells its receiver at least as much as a notice. */
function tells(message: Message, notice: CommittedMessage): boolean {
  const hasCommit = message.type === 'append' || message.type === 'heartbeat';
  return hasCommit && message.term === notice.term && message.commit >= notice.index;
}

/** Whether the receiver of a message waits for what is committed: to read, or to lead. */
function needs({ type }: Message): boolean {
  return type === 'readIndexResponse' || type === 'timeoutNow';
}
