/** One snapshot on its way in: fetched from the peer that offered it, checked, put into a sink. */
import { crc32 } from 'node:zlib';
import { concatBytes } from '../base/bytes.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { MemberId, SnapshotMessage, SnapshotMetadata } from '../raft/index.ts';
import { decodeFrame, encodeResult } from './frames.ts';
import type { Begin, Chunk, End, Frame } from './frames.ts';
import type { TransportLimits } from './limits.ts';
import type { TransferMeter } from './metrics.ts';
import { LiveStream } from './stream.ts';
import type { FrameStream, FrameStreamEvents } from './stream.ts';
import type { SnapshotSink } from './transport.ts';
import { PeerProtocolError } from './wire.ts';

export interface SnapshotReceiverOwner {
  readonly self: MemberId;
  readonly id: MemberId;
  dial(events: FrameStreamEvents): FrameStream;
  heard(sizeBytes: number): void;
  /** Bytes came that are no frame. */
  readonly malformed: () => void;
  receiveSnapshot(metadata: SnapshotMetadata): SnapshotSink | 'held' | undefined;
  /** The snapshot is whole and durable. */
  received(message: SnapshotMessage): void;
  /** The transfer is over, one way or the other; called once. */
  ended(receiver: SnapshotReceiver): void;
  readonly meter: TransferMeter;
}

/**
 * Frames are handled one after the other: while the sink is busy, reading stops, and what had been
 * read by then waits in a short queue.
 */
export class SnapshotReceiver {
  readonly #owner: SnapshotReceiverOwner;
  readonly #clock: Clock;
  readonly #limits: TransportLimits;
  readonly #logger: Logger;
  readonly #stream: LiveStream;
  readonly #handshake: Timer;
  #state: 'hello' | 'welcome' | 'chunks' | 'finishing' | 'over' = 'hello';
  #begin: Begin | undefined;
  #sink: SnapshotSink | undefined;
  /** The sink has not yet taken its last chunk: it may be neither given another nor aborted. */
  #busy = false;
  #isStopping = false;
  #waiting: Frame[] = [];
  #pieces: Uint8Array[] = [];
  #piecesBytes = 0;
  #sizeBytes = 0;
  #digest = 0;

  constructor(
    owner: SnapshotReceiverOwner,
    environment: { clock: Clock; limits: TransportLimits; logger: Logger },
  ) {
    const { clock, limits } = environment;
    this.#owner = owner;
    this.#clock = clock;
    this.#limits = limits;
    this.#logger = environment.logger;
    this.#stream = new LiveStream(clock, limits, {
      heard: (sizeBytes) => {
        this.#owner.heard(sizeBytes);
      },
      frame: (bytes) => {
        this.#bytes(bytes);
      },
      closed: (reason) => {
        this.#fail(reason);
      },
    });
    this.#handshake = clock.after(limits.handshakeMs, () => {
      this.#fail('no answer to hello');
    });
  }

  start(): void {
    this.#stream.bind(this.#owner.dial(this.#stream));
  }

  /** The peer has; what was written is removed. */
  giveUp(): void {
    this.#fail('given up');
  }

  /** The same because the transport stops, or the peer is one no more. */
  stop(): void {
    this.#owner.meter.over();
    this.#isStopping = true;
    this.giveUp();
  }

  #bytes(bytes: Uint8Array): void {
    if (this.#state === 'over') return;
    let frame: Frame;
    try {
      frame = decodeFrame(bytes, this.#owner.id, this.#owner.self);
    } catch (error) {
      if (!(error instanceof PeerProtocolError)) throw error;
      this.#owner.malformed();
      this.#fail(`malformed frame: ${error.message}`);
      return;
    }
    if (this.#busy) this.#waiting.push(frame);
    else this.#frame(frame);
  }

  #frame(frame: Frame): void {
    if (this.#state === 'hello' && frame.kind === 'welcome') {
      this.#handshake.cancel();
      this.#state = 'welcome';
    } else if (frame.kind === 'refused') this.#fail(`refused: ${frame.text}`);
    else if (this.#state === 'welcome' && frame.kind === 'begin') this.#open(frame);
    else if (this.#state === 'chunks' && frame.kind === 'chunk') this.#chunk(frame);
    else if (this.#state === 'chunks' && frame.kind === 'end') this.#finish(frame);
    else this.#fail(`unexpected frame ${frame.kind}`);
  }

  #open(begin: Begin): void {
    const sink = this.#owner.receiveSnapshot(begin.metadata);
    if (sink === undefined) {
      this.#refuse('not wanted now');
      return;
    }
    const { index, term } = begin.metadata;
    if (sink === 'held') {
      this.#logger.info({ index, term }, 'this member has what the snapshot covers');
      this.#over(true, '');
      return;
    }
    this.#owner.meter.begin();
    this.#logger.info({ index, term }, 'receiving snapshot');
    this.#begin = begin;
    this.#sink = sink;
    this.#state = 'chunks';
  }

  #chunk(chunk: Chunk): void {
    this.#digest = crc32(chunk.bytes, this.#digest);
    this.#sizeBytes += chunk.bytes.length;
    if (chunk.digest !== this.#digest) {
      this.#refuse('the digest of a chunk does not match');
      return;
    }
    this.#pieces.push(chunk.bytes);
    this.#piecesBytes += chunk.bytes.length;
    if (this.#piecesBytes > this.#limits.frameBytes) {
      this.#refuse('a chunk is too large');
    } else if (chunk.last) {
      const [first] = this.#pieces;
      const whole = this.#pieces.length === 1 && first ? first : concatBytes(this.#pieces);
      this.#pieces = [];
      this.#piecesBytes = 0;
      this.#write(whole);
    }
  }

  #write(chunk: Uint8Array): void {
    this.#busy = true;
    this.#stream.pause();
    this.#sink?.write(chunk, (error) => {
      this.#busy = false;
      if (this.#state === 'over') this.#abort();
      else if (error !== undefined) this.#refuse(`cannot write it: ${error.message}`);
      else this.#drain();
    });
  }

  /** Handles what was read while the sink was busy, then reads on. */
  #drain(): void {
    while (!this.#busy && this.#state !== 'over') {
      const frame = this.#waiting.shift();
      if (frame === undefined) {
        this.#stream.resume();
        return;
      }
      this.#frame(frame);
    }
  }

  #finish(end: End): void {
    if (end.sizeBytes !== this.#sizeBytes || end.digest !== this.#digest) {
      this.#refuse('size or digest does not match');
      return;
    }
    if (this.#pieces.length > 0) {
      this.#refuse('it ends within a chunk');
      return;
    }
    this.#state = 'finishing';
    this.#busy = true;
    this.#sink?.finish((error) => {
      this.#busy = false;
      if (error !== undefined) {
        this.#state = 'chunks';
        this.#refuse(`cannot make it durable: ${error.message}`);
      } else this.#received();
    });
  }

  /** Also if the stream broke while the sink finished: the contents are whole and durable. */
  #received(): void {
    const begin = this.#begin;
    this.#sink = undefined;
    if (begin !== undefined && this.#state === 'finishing') {
      this.#logger.info({ sizeBytes: this.#sizeBytes }, 'snapshot received');
      this.#owner.received({
        type: 'snapshot',
        from: this.#owner.id,
        to: this.#owner.self,
        term: begin.term,
        snapshot: begin.metadata,
      });
    }
    this.#over(true, '');
  }

  #refuse(reason: string): void {
    this.#fail(reason, true);
  }

  #fail(reason: string, tell = false): void {
    // A sink that is finishing can no longer be aborted; its completion decides.
    if (this.#state === 'over' || this.#state === 'finishing') return;
    this.#logger.warn({ reason, sizeBytes: this.#sizeBytes }, 'snapshot not received');
    if (!this.#busy) this.#abort();
    this.#over(false, tell ? reason : undefined);
  }

  #abort(): void {
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.abort();
  }

  /**
   * Ends the transfer. With a verdict to tell, closing the stream is left to the peer for a while.
   */
  #over(ok: boolean, tell: string | undefined): void {
    this.#state = 'over';
    if (ok) this.#owner.meter.succeeded();
    else if (!this.#isStopping) this.#owner.meter.failed();
    this.#handshake.cancel();
    this.#waiting = [];
    this.#pieces = [];
    if (tell === undefined) this.#stream.close();
    else {
      this.#stream.resume();
      this.#stream.write(encodeResult(ok, tell));
      this.#clock.after(this.#limits.handshakeMs, () => {
        this.#stream.close();
      });
    }
    this.#owner.ended(this);
  }
}
