/** Takes what comes on a connection apart into frames (RFC 9113 sections 4 and 6). */
import {
  ConnectionError,
  defaultFrameBytes,
  ErrorCode,
  Flag,
  frameHeaderBytes,
  FrameType,
  pingBytes,
  priorityBytes,
  settingBytes,
} from './frames.ts';
import type { Stream } from './stream.ts';

/** Of a header block in several frames. */
const maxBlockBytes = 64 * 1024;
const maxContinuations = 64;

/** Of why the other end goes away, what is told. */
const maxReasonBytes = 256;

/** Memory for what has come in part. */
export interface FrameMemory {
  /** Holds so many bytes more if there is room for them. */
  take(bytes: number): boolean;
  release(bytes: number): void;
}

/** Takes frames. What it throws ends the connection. */
export interface FrameSink {
  /** Data of a stream begin; undefined if nobody wants them. @param bytes with their padding */
  dataBegins(streamId: number, bytes: number): Stream | undefined;
  /** A part of them. `bytes` are the sink's until it returns. */
  data(stream: Stream, bytes: Buffer, start: number, end: number): void;
  /** What was around them, and is of no use to anybody. */
  padding(stream: Stream, bytes: number): void;
  /** They were the last of the stream. */
  dataEnds(stream: Stream): void;
  /** A whole header block. */
  headers(streamId: number, block: Buffer, start: number, end: number, isLast: boolean): void;
  reset(streamId: number): void;
  settings(values: readonly (readonly [id: number, value: number])[]): void;
  settingsAcknowledged(): void;
  pinged(payload: Uint8Array, flags: number): void;
  goAway(lastStreamId: number, code: number, reason: string): void;
  windowUpdate(streamId: number, grownBytes: number): void;
}

/** A header block that goes on in further frames. */
interface OpenBlock {
  readonly streamId: number;
  readonly isLast: boolean;
  readonly bytes: HeldBytes;
  frames: number;
}

export class FrameReader {
  readonly #sink: FrameSink;
  readonly #memory: FrameMemory;
  readonly #preface: Buffer;
  /** Of the preface, what has not come yet. */
  #prefaceLeft: number;
  #isGreeted = false;
  /** The beginning of a frame. */
  readonly #held: HeldBytes;
  #block: OpenBlock | undefined;
  /** Of a frame of data that is passed on as it comes. */
  #dataLeft = 0;
  #dataStream: Stream | undefined;
  #isDataLast = false;
  // Of the header that was read last.
  #length = 0;
  #type = 0;
  #flags = 0;
  #streamId = 0;
  #isClosed = false;

  /** @param preface what comes before the first frame */
  constructor(sink: FrameSink, memory: FrameMemory, preface: Buffer = empty) {
    this.#sink = sink;
    this.#preface = preface;
    this.#prefaceLeft = preface.length;
    this.#memory = memory;
    this.#held = new HeldBytes(memory);
  }

  /** Nothing more is read. */
  close(): void {
    this.#isClosed = true;
    this.#held.clear();
    this.#block?.bytes.clear();
    this.#block = undefined;
    this.#dataStream = undefined;
  }

  /** @throws ConnectionError */
  take(chunk: Buffer): void {
    let at = this.#takePreface(chunk);
    while (!this.#isClosed) {
      if (this.#dataLeft > 0) {
        if (at === chunk.length) return;
        at = this.#takeData(chunk, at);
      } else if (this.#held.length > 0) {
        if (at === chunk.length) return;
        at = this.#takeIntoHeld(chunk, at);
      } else if (chunk.length - at < frameHeaderBytes) {
        if (at < chunk.length) this.#held.add(chunk, at, chunk.length);
        return;
      } else {
        this.#readHeader(chunk, at);
        at = this.#takeFrame(chunk, at);
      }
    }
  }

  #takePreface(chunk: Buffer): number {
    const count = Math.min(this.#prefaceLeft, chunk.length);
    const from = this.#preface.length - this.#prefaceLeft;
    if (count > 0 && this.#preface.compare(chunk, 0, count, from, from + count) !== 0) {
      throw new ConnectionError(ErrorCode.protocolError, 'preface');
    }
    this.#prefaceLeft -= count;
    return count;
  }

  /** A frame whose header is there: all of it, or what is there. Returns where that ends. */
  #takeFrame(chunk: Buffer, at: number): number {
    const bodyAt = at + frameHeaderBytes;
    if (this.#isPlainData) {
      this.#beginData();
      return bodyAt;
    }
    const end = bodyAt + this.#length;
    if (end > chunk.length) {
      this.#held.add(chunk, at, chunk.length);
      return chunk.length;
    }
    this.#frame(chunk, bodyAt, end);
    return end;
  }

  /** Adds what is missing of the frame that is held. Returns where that ends. */
  #takeIntoHeld(chunk: Buffer, at: number): number {
    const held = this.#held;
    const isHeader = held.length < frameHeaderBytes;
    const wanted = isHeader ? frameHeaderBytes : frameHeaderBytes + this.#length;
    const end = Math.min(chunk.length, at + wanted - held.length);
    held.add(chunk, at, end);
    if (held.length < wanted) return end;
    if (isHeader) {
      this.#readHeader(held.bytes, 0);
      if (this.#isPlainData) {
        held.clear();
        this.#beginData();
        return end;
      }
      if (this.#length > 0) return end;
    }
    const { bytes, length } = held;
    this.#frame(bytes, frameHeaderBytes, length);
    held.clear();
    return end;
  }

  #readHeader(bytes: Buffer, at: number): void {
    this.#length =
      ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
    this.#type = bytes[at + 3] as number;
    this.#flags = bytes[at + 4] as number;
    this.#streamId = bytes.readUInt32BE(at + 5) & 0x7fff_ffff;
    if (this.#length > defaultFrameBytes) {
      throw new ConnectionError(ErrorCode.frameSizeError, `frame of ${this.#length} bytes`);
    }
    if (!this.#isGreeted) this.#expectGreeting();
    const block = this.#block;
    const isContinuation = this.#type === FrameType.continuation;
    const isExpected =
      block === undefined ? !isContinuation : isContinuation && block.streamId === this.#streamId;
    if (!isExpected) throw this.#error(ErrorCode.protocolError, 'out of turn');
  }

  /** Section 3.4: settings come first. */
  #expectGreeting(): void {
    const isAnswer = (this.#flags & Flag.acknowledgement) !== 0;
    if (this.#type !== FrameType.settings || isAnswer) {
      throw new ConnectionError(ErrorCode.protocolError, 'no settings at first');
    }
    this.#isGreeted = true;
  }

  /** Data without padding, which are passed on as they come. */
  get #isPlainData(): boolean {
    return this.#type === FrameType.data && (this.#flags & Flag.padded) === 0;
  }

  #beginData(): void {
    this.#dataStream = this.#sink.dataBegins(this.#streamId, this.#length);
    this.#dataLeft = this.#length;
    this.#isDataLast = (this.#flags & Flag.endStream) !== 0;
    if (this.#dataLeft === 0) this.#endData();
  }

  #takeData(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#dataLeft);
    this.#dataLeft -= end - at;
    if (this.#dataStream !== undefined) this.#sink.data(this.#dataStream, chunk, at, end);
    if (this.#dataLeft === 0) this.#endData();
    return end;
  }

  #endData(): void {
    const stream = this.#dataStream;
    this.#dataStream = undefined;
    if (stream !== undefined && this.#isDataLast) this.#sink.dataEnds(stream);
  }

  /** A whole frame; its body is from `start` to `end`. */
  #frame(bytes: Buffer, start: number, end: number): void {
    switch (this.#type) {
      case FrameType.data:
        this.#paddedData(bytes, start, end);
        break;
      case FrameType.headers:
        this.#headers(bytes, start, end);
        break;
      case FrameType.continuation:
        this.#continuation(bytes, start, end);
        break;
      case FrameType.priority:
        this.#expectLength(priorityBytes);
        this.#expectStream();
        break;
      case FrameType.reset:
        this.#expectLength(4);
        this.#expectStream();
        this.#sink.reset(this.#streamId);
        break;
      case FrameType.settings:
        this.#settings(bytes, start, end);
        break;
      case FrameType.pushPromise:
        throw this.#error(ErrorCode.protocolError, 'unwanted');
      case FrameType.ping:
        this.#expectLength(pingBytes);
        this.#expectConnection();
        this.#sink.pinged(bytes.subarray(start, end), this.#flags);
        break;
      case FrameType.goAway:
        this.#expectConnection();
        if (this.#length < 8) throw this.#error(ErrorCode.frameSizeError, 'cut short');
        this.#sink.goAway(
          bytes.readUInt32BE(start) & 0x7fff_ffff,
          bytes.readUInt32BE(start + 4),
          bytes.toString('utf8', start + 8, Math.min(end, start + 8 + maxReasonBytes)),
        );
        break;
      case FrameType.windowUpdate:
        this.#expectLength(4);
        this.#sink.windowUpdate(this.#streamId, bytes.readUInt32BE(start) & 0x7fff_ffff);
        break;
      default:
      // Section 5.5: frames of other types are ignored.
    }
  }

  #paddedData(bytes: Buffer, start: number, end: number): void {
    const to = this.#withoutPadding(bytes, start, end);
    const stream = this.#sink.dataBegins(this.#streamId, this.#length);
    if (stream === undefined) return;
    if (to > start + 1) this.#sink.data(stream, bytes, start + 1, to);
    this.#sink.padding(stream, this.#length - Math.max(0, to - start - 1));
    if ((this.#flags & Flag.endStream) !== 0) this.#sink.dataEnds(stream);
  }

  /** Where padding begins, whose length is the first byte of a body. */
  #withoutPadding(bytes: Buffer, start: number, end: number): number {
    const to = end - (bytes[start] ?? 0);
    if (start >= end || to < start + 1) throw this.#error(ErrorCode.protocolError, 'padding');
    return to;
  }

  #headers(bytes: Buffer, start: number, end: number): void {
    this.#expectStream();
    let from = start;
    let to = end;
    if ((this.#flags & Flag.padded) !== 0) {
      to = this.#withoutPadding(bytes, start, end);
      from++;
    }
    if ((this.#flags & Flag.priority) !== 0) from += priorityBytes;
    if (from > to) {
      const { protocolError, frameSizeError } = ErrorCode;
      throw this.#error(from > end ? frameSizeError : protocolError, 'cut short');
    }
    const isLast = (this.#flags & Flag.endStream) !== 0;
    if ((this.#flags & Flag.endHeaders) !== 0) {
      this.#sink.headers(this.#streamId, bytes, from, to, isLast);
      return;
    }
    const block = new HeldBytes(this.#memory);
    block.add(bytes, from, to);
    this.#block = { streamId: this.#streamId, isLast, bytes: block, frames: 0 };
  }

  #continuation(bytes: Buffer, start: number, end: number): void {
    const block = this.#block as OpenBlock;
    const held = block.bytes;
    block.frames++;
    if (block.frames > maxContinuations || held.length + (end - start) > maxBlockBytes) {
      throw this.#error(ErrorCode.enhanceYourCalm, 'of too many headers');
    }
    held.add(bytes, start, end);
    if ((this.#flags & Flag.endHeaders) === 0) return;
    this.#block = undefined;
    try {
      this.#sink.headers(block.streamId, held.bytes, 0, held.length, block.isLast);
    } finally {
      held.clear();
    }
  }

  #settings(bytes: Buffer, start: number, end: number): void {
    this.#expectConnection();
    if ((this.#flags & Flag.acknowledgement) !== 0) {
      this.#expectLength(0);
      this.#sink.settingsAcknowledged();
      return;
    }
    if (this.#length % settingBytes !== 0) throw this.#error(ErrorCode.frameSizeError, 'length');
    const values: [number, number][] = [];
    for (let at = start; at < end; at += settingBytes) {
      values.push([bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2)]);
    }
    this.#sink.settings(values);
  }

  #expectLength(bytes: number): void {
    if (this.#length !== bytes) throw this.#error(ErrorCode.frameSizeError, 'length');
  }

  #expectStream(): void {
    if (this.#streamId === 0) throw this.#error(ErrorCode.protocolError, 'without a stream');
  }

  #expectConnection(): void {
    if (this.#streamId !== 0) throw this.#error(ErrorCode.protocolError, 'on a stream');
  }

  #error(code: ErrorCode, what: string): ConnectionError {
    return new ConnectionError(code, `frame of type ${this.#type}: ${what}`);
  }
}

const firstCapacityBytes = 128;

/** Bytes that are kept until the rest has come. */
class HeldBytes {
  readonly #memory: FrameMemory;
  /** At least as long as what it holds. */
  bytes: Buffer = empty;
  length = 0;

  constructor(memory: FrameMemory) {
    this.#memory = memory;
  }

  /** @throws ConnectionError if there is no memory for them */
  add(from: Buffer, start: number, end: number): void {
    const length = this.length + end - start;
    if (length > this.bytes.length) this.#grow(length);
    from.copy(this.bytes, this.length, start, end);
    this.length = length;
  }

  #grow(length: number): void {
    const capacity = Math.max(firstCapacityBytes, 2 * this.bytes.length, length);
    if (!this.#memory.take(capacity - this.bytes.length)) {
      throw new ConnectionError(ErrorCode.enhanceYourCalm, 'too many incomplete frames');
    }
    const bytes = Buffer.allocUnsafeSlow(capacity);
    bytes.set(this.bytes);
    this.bytes = bytes;
  }

  clear(): void {
    this.#memory.release(this.bytes.length);
    this.bytes = empty;
    this.length = 0;
  }
}

const empty = Buffer.alloc(0);
