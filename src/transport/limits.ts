/** Bounds and times of the transport. Tests pass smaller ones. */

export interface TransportLimits {
  /**
   * Messages waiting for one peer on one channel; Raft's own window of messages in flight is far
   * smaller.
   */
  readonly queueMessages: number;
  /** Bytes waiting for one peer on one channel; a single larger message still travels. */
  readonly queueBytes: number;
  /**
   * Bytes of one batch; a single larger message still travels. Keeps heartbeat-sized pauses on a
   * slow link.
   */
  readonly batchBytes: number;
  /** Messages of one batch: bounds the time in which the receiver's loop does nothing else. */
  readonly batchMessages: number;
  /** Frames that go ahead of the batches and wait for one peer: offers, introductions, notes. */
  readonly controlFrames: number;
  /** Bytes of one frame, at both ends: above every request limit one could sensibly configure. */
  readonly frameBytes: number;
  /** Bytes of one piece of a snapshot: small enough for smooth flow control. */
  readonly chunkBytes: number;
  /** Time in which both ends of a new stream must have said who they are. */
  readonly handshakeMs: number;
  /** After this long without a frame of its own an end sends a ping. */
  readonly pingMs: number;
  /** After this long without a frame from the other end a stream counts as dead. */
  readonly silenceMs: number;
  /** Time between two measurements of the way to a peer and back. */
  readonly probeMs: number;
  /** First wait before dialling again; doubles up to the longest. */
  readonly redialMs: number;
  readonly redialLongestMs: number;
  /** Time in which the receiver of a snapshot offer must dial. */
  readonly offerMs: number;
  /** Streams that have not said who they are yet, over all connections: strangers cost no more. */
  readonly pendingHandshakes: number;
}

export const defaultLimits: TransportLimits = {
  queueMessages: 4_096,
  queueBytes: 64 * 1024 * 1024,
  batchBytes: 1024 * 1024,
  batchMessages: 4_096,
  controlFrames: 64,
  frameBytes: 64 * 1024 * 1024,
  chunkBytes: 256 * 1024,
  handshakeMs: 5_000,
  pingMs: 1_000,
  silenceMs: 5_000,
  probeMs: 4_000,
  redialMs: 50,
  redialLongestMs: 2_000,
  offerMs: 10_000,
  pendingHandshakes: 64,
};
