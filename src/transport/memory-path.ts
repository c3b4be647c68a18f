/** What is under way from one member to another in the memory network. */
import type { MemberId } from '../raft/index.ts';

/** Messages and bytes under way from one member to another; what is above is dropped. */
export const memoryQueueMessages = 4_096;
export const memoryQueueBytes = 64 * 1024 * 1024;

/** One life of a member, which something is sent to. */
interface Receiver {
  arrive(flight: Flight): void;
}

/** A batch or an introduction that is under way. */
export interface Flight {
  readonly from: MemberId;
  readonly to: MemberId;
  /** The life of the receiver that it was sent to; another one does not get it. */
  readonly receiver: Receiver;
  readonly frame: Uint8Array;
  readonly messages: number;
  readonly bytes: number;
  /** Longer under way than others, which may overtake it; otherwise 0. */
  readonly lateMs: number;
  /** A copy has arrived: the proposals in further copies do not count. */
  arrived: boolean;
}

/** State of the way from one member to another. */
export class Path {
  readonly from: MemberId;
  readonly to: MemberId;
  messages = 0;
  bytes = 0;
  /** Batches of each channel that arrive in the order of sending. */
  readonly inOrder = new Map<string, Flight[]>();
  /** What this way takes longer than others. */
  extraMs = 0;
  cut = false;
  healedMs = -Infinity;
  /** The first member is about to open a stream to the other. */
  dials = false;

  constructor(from: MemberId, to: MemberId) {
    this.from = from;
    this.to = to;
  }

  queue(channel: string): Flight[] {
    let queue = this.inOrder.get(channel);
    if (queue === undefined) {
      queue = [];
      this.inOrder.set(channel, queue);
    }
    return queue;
  }
}
