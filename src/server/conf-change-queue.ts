/**
 * Changes of membership on their way into the log. The core takes one at a time, and only at a
 * leader that has applied the one before; what comes meanwhile, from here or from other members,
 * waits here. A change is in one queue at a time: once it is handed on its outcome is unknown here.
 */
import type { Clock } from '../base/clock.ts';
import { type LoggedMemberChange, decodeMemberChange } from '../cluster/member-change.ts';
import {
  type ConfChange,
  decodeConfChange,
  type Entry,
  type MemberId,
  noMember,
  type ProposalRefusal,
} from '../raft/index.ts';
import type { ChangeRefusal } from '../transport/change-notes.ts';

/** Changes that wait: operators make them one by one. */
const waitingLimit = 64;
/** Who asked on another member has given up by then. */
const waitMs = 5000;

export interface ConfChangeQueueOptions {
  readonly self: MemberId;
  readonly clock: Clock;
  readonly leader: () => MemberId;
  readonly connected: (member: MemberId) => boolean;
  readonly propose: (change: ConfChange) => ProposalRefusal | undefined;
  readonly transferLeader: (to: MemberId) => void;
  /** Who could lead instead of this member. */
  readonly successor: () => MemberId | undefined;
  /** Whether somebody here still waits for a request's outcome. */
  readonly awaited: (request: bigint) => boolean;
  /** Whether all members know such entries, as far as this member, which leads, is aware. */
  readonly gate: () => 'open' | 'waiting' | 'shut';
  /** Why this member, which leads, does not propose a change. */
  readonly refusalOf: (change: LoggedMemberChange) => ChangeRefusal | undefined;
  /** Told of what was refused; `from` passed it on, or it was asked for here. */
  readonly refused: (from: MemberId, request: bigint, reason: ChangeRefusal) => void;
}

interface Waiting {
  readonly from: MemberId;
  readonly change: ConfChange;
  readonly logged: LoggedMemberChange;
  readonly sinceMs: number;
  /** Another member was asked to lead, because this one is to be removed. */
  handingOver: boolean;
}

export class ConfChangeQueue {
  readonly #options: ConfChangeQueueOptions;
  readonly #waiting: Waiting[] = [];

  constructor(options: ConfChangeQueueOptions) {
    this.#options = options;
  }

  /** Takes a change asked for here; false if too many wait. */
  push(change: ConfChange): boolean {
    return this.#push(this.#options.self, change);
  }

  /** Takes the changes out of what another member proposes to this one, and returns the rest. */
  take(from: MemberId, entries: readonly Entry[]): readonly Entry[] {
    const rest = entries.filter(({ kind, data }) => {
      if (kind === 0) return true;
      const change = decodeConfChange(data);
      // Those of Raft's own are for the core.
      if (decodeMemberChange(change) === undefined) return true;
      this.#push(from, change);
      return false;
    });
    return rest;
  }

  /** Proposes or passes on what can be. Called in every turn of the driver. */
  turn(): void {
    for (;;) {
      const first = this.#waiting[0];
      if (first === undefined || !this.#settle(first)) return;
      this.#waiting.shift();
    }
  }

  #push(from: MemberId, change: ConfChange): boolean {
    const logged = decodeMemberChange(change);
    if (logged === undefined || this.#waiting.length >= waitingLimit) return false;
    const sinceMs = this.#options.clock.monotonicMs();
    this.#waiting.push({ from, change, logged, sinceMs, handingOver: false });
    return true;
  }

  /** False while the change must wait. */
  #settle(waiting: Waiting): boolean {
    const { self, clock, leader, awaited } = this.#options;
    const { from, logged, sinceMs } = waiting;
    const isOwn = from === self;
    if (isOwn ? !awaited(logged.request) : clock.monotonicMs() - sinceMs > waitMs) return true;
    if (leader() === noMember) return false;
    if (leader() !== self) return this.#passOn(waiting);
    const gate = this.#options.gate();
    if (gate === 'waiting') return false;
    const refusal = gate === 'shut' ? 'notCapable' : this.#options.refusalOf(logged);
    if (refusal === undefined) return this.#propose(waiting);
    this.#options.refused(from, logged.request, refusal);
    return true;
  }

  /** Also back to who passed it on: it may lead by now, because this member is to be removed. */
  #passOn({ change }: Waiting): boolean {
    const { leader, connected, propose } = this.#options;
    return connected(leader()) && propose(change) === undefined;
  }

  #propose(waiting: Waiting): boolean {
    const { self, successor, transferLeader, propose, refused } = this.#options;
    const { from, change, logged } = waiting;
    const { kind, member } = logged.change;
    if (kind === 'remove' && member === self && !waiting.handingOver) {
      // Whoever leads must not be the one that goes: the others might never hear that it may.
      waiting.handingOver = true;
      const to = successor();
      if (to !== undefined) {
        transferLeader(to);
        return false;
      }
    }
    const refusal = propose(change);
    if (refusal !== 'confChangeInvalid') return refusal === undefined;
    refused(from, logged.request, 'notEnoughStarted');
    return true;
  }
}
