/** One snapshot on its way to one peer: offered, fetched by the peer, streamed with a digest. */
import { crc32 } from 'node:zlib';
import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { MemberId, SnapshotMessage } from '../raft/index.ts';
import { decodeFrame, encodeBegin, encodeChunk, encodeEnd } from './frames.ts';
import type { Frame } from './frames.ts';
import type { TransportLimits } from './limits.ts';
import type { TransferMeter } from './metrics.ts';
import type { LiveStream } from './stream.ts';
import type { SnapshotSource } from './transport.ts';
import { PeerProtocolError } from './wire.ts';

export interface SnapshotSenderOwner {
  readonly self: MemberId;
  readonly id: MemberId;
  openSnapshot(): SnapshotSource | undefined;
  /** Bytes came that are no frame. */
  readonly malformed: () => void;
  /** The transfer is over; called once, never from within a call to the sender. */
  ended(sender: SnapshotSender, ok: boolean): void;
  readonly meter: TransferMeter;
}

/**
 * The view of the database is opened only when the peer comes for it, so that it is as new as
 * possible and an unanswered offer holds nothing. One piece is under way at a time: a slow peer
 * slows the reading of the view, and nothing gathers in memory.
 */
export class SnapshotSender {
  readonly transfer: number;
  readonly #message: SnapshotMessage;
  readonly #owner: SnapshotSenderOwner;
  readonly #clock: Clock;
  readonly #limits: TransportLimits;
  readonly #logger: Logger;
  readonly #offerTimer: Timer;
  #stream: LiveStream | undefined;
  #source: SnapshotSource | undefined;
  #sizeBytes = 0;
  #digest = 0;
  #over = false;

  constructor(
    transfer: number,
    message: SnapshotMessage,
    owner: SnapshotSenderOwner,
    environment: { clock: Clock; limits: TransportLimits; logger: Logger },
  ) {
    this.transfer = transfer;
    this.#message = message;
    this.#owner = owner;
    this.#clock = environment.clock;
    this.#limits = environment.limits;
    this.#logger = environment.logger.child({ transfer });
    this.#offerTimer = this.#clock.after(this.#limits.offerMs, () => {
      this.fail('the peer did not come for the snapshot');
    });
  }

  /**
   * The peer has come: sends on its stream, after the welcome. False if there is nothing to send.
   */
  serve(stream: LiveStream, welcome: () => void): boolean {
    if (this.#over || this.#stream !== undefined) return false;
    this.#offerTimer.cancel();
    const source = this.#owner.openSnapshot();
    if (source === undefined) {
      this.fail('no snapshot to send');
      return false;
    }
    // Another leader was elected since the message was made. Its entries belong to a term that the
    // receiver may not have heard of, and the message cannot tell: the new leader sends its own.
    if (source.metadata.term > this.#message.term) {
      source.close();
      this.fail('this member does not lead any more');
      return false;
    }
    this.#stream = stream;
    this.#source = source;
    this.#owner.meter.begin();
    welcome();
    const { metadata } = source;
    this.#logger.info({ index: metadata.index, term: metadata.term }, 'sending snapshot');
    stream.write(encodeBegin(this.#message.term, metadata), () => {
      this.#next();
    });
    return true;
  }

  /** A frame on the snapshot's stream: the peer's verdict. */
  frame(bytes: Uint8Array): void {
    let frame: Frame;
    try {
      frame = decodeFrame(bytes, this.#owner.id, this.#owner.self);
    } catch (error) {
      if (!(error instanceof PeerProtocolError)) throw error;
      this.#owner.malformed();
      this.fail(`malformed frame: ${error.message}`);
      return;
    }
    if (frame.kind !== 'result') this.fail(`unexpected frame ${frame.kind}`);
    else if (!frame.ok) this.fail(`the peer refused it: ${frame.text}`);
    else this.#end(true, '');
  }

  fail(reason: string): void {
    this.#end(false, reason);
  }

  /** Gives up without telling anyone: the transport stops. */
  stop(): void {
    this.#over = true;
    this.#owner.meter.over();
    this.#release();
  }

  #next(): void {
    if (this.#over) return;
    this.#source?.next((error, chunk) => {
      if (this.#over) return;
      if (error !== undefined) this.fail(`cannot read the snapshot: ${error.message}`);
      else if (chunk === undefined) this.#stream?.write(encodeEnd(this.#sizeBytes, this.#digest));
      else this.#piece(chunk, 0);
    });
  }

  /** Sends `chunk` from `start` on, in pieces that the receiver puts together again. */
  #piece(chunk: Uint8Array, start: number): void {
    if (this.#over) return;
    const end = Math.min(start + this.#limits.chunkBytes, chunk.length);
    const piece = chunk.subarray(start, end);
    this.#digest = crc32(piece, this.#digest);
    this.#sizeBytes += piece.length;
    const last = end === chunk.length;
    this.#stream?.write(encodeChunk(last, this.#digest, piece), () => {
      if (last) this.#next();
      else this.#piece(chunk, end);
    });
  }

  #end(ok: boolean, reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#release();
    const { meter } = this.#owner;
    if (ok) {
      meter.succeeded();
      this.#logger.info({ sizeBytes: this.#sizeBytes }, 'peer has the snapshot');
    } else {
      meter.failed();
      this.#logger.warn({ reason, sizeBytes: this.#sizeBytes }, 'snapshot not delivered');
    }
    this.#clock.defer(() => {
      this.#owner.ended(this, ok);
    });
  }

  #release(): void {
    this.#offerTimer.cancel();
    this.#stream?.close();
    this.#source?.close();
    this.#source = undefined;
  }
}
