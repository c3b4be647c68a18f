/**
 * The opening of an HTTP/2 connection, from the client's preface to its first request (RFC 9113
 * section 3.4). Node's HTTP/2 takes the connection over after it, and does not show what it
 * reads: this is the place to mend what it would refuse (see header-block.ts).
 *
 * Some clients send their first request only after the server's settings. So the opening sends
 * settings itself and drops their acknowledgement, of which the HTTP/2 library knows nothing; the
 * library's own settings follow.
 */
import {
  Flag,
  FrameType,
  frameBytesMax,
  frameHeaderBytes,
  frameLength,
  mendHeadersFrame,
  priorityBytes,
  settingBytes,
  settingsFrame,
} from './http2-frames.ts';

export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Headers, and what the initial window allows of a body, with room for small frames. */
const openingBytesMax = 128 * 1024;
/** The connection's window grows from 65,535 bytes to at most 2^31-1 (RFC 9113 section 6.9.1). */
const windowGrowthMax = 0x7fff_0000;

/** What the connection needs next. */
export type OpeningState =
  | 'opening'
  /** The HTTP/2 library takes over, beginning with `bytes`. */
  | 'ready'
  /** The client does not speak HTTP/2. */
  | 'broken';

export interface Http2OpeningOptions {
  /** What the server's settings say. */
  readonly maxConcurrentStreams: number;
  /** Writes to the client. */
  send(bytes: Buffer): void;
}

export class Http2Opening {
  readonly #options: Http2OpeningOptions;
  /** All that was received and is to be passed on. */
  #bytes: Buffer = Buffer.alloc(0);
  /** Where the first frame begins that was not looked at. */
  #at = preface.length;
  #isGreeted = false;
  #isAcknowledged = false;
  /** Something arrived that the HTTP/2 library must answer. */
  #isRequested = false;
  #isOversized = false;
  #isMended = false;

  constructor(options: Http2OpeningOptions) {
    this.#options = options;
  }

  /** To be passed on: the client's preface and frames. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  /** The end of `bytes` that has not been looked at: the beginning of a frame, or nothing. */
  get unseenBytes(): number {
    return this.#bytes.length - this.#at;
  }

  /** Whether a request had to be mended, as further ones of this client will. */
  get isMended(): boolean {
    return this.#isMended;
  }

  /** Whether a request waits for the client's acknowledgement alone. */
  get isRequested(): boolean {
    return this.#isRequested;
  }

  /** Whether the HTTP/2 library can take over: it must not see our settings acknowledged. */
  get mayEnd(): boolean {
    return !this.#isGreeted || this.#isAcknowledged;
  }

  /** @param received from the preface on, then what follows */
  take(received: Buffer): OpeningState {
    this.#bytes = Buffer.concat([this.#bytes, received]);
    while (!this.#isOversized && this.#takeFrame());
    if (this.#isRequested && this.mayEnd) return 'ready';
    if (this.#isOversized || this.#bytes.length > openingBytesMax) return 'broken';
    if (!this.#isGreeted) {
      this.#isGreeted = true;
      this.#options.send(settingsFrame(this.#options.maxConcurrentStreams));
    }
    return 'opening';
  }

  /** Looks at the next frame if it is there. */
  #takeFrame(): boolean {
    const left = this.#bytes.length - this.#at;
    if (left < frameHeaderBytes) return false;
    const frameBytes = frameLength(this.#bytes.subarray(this.#at));
    if (frameBytes > frameHeaderBytes + frameBytesMax) {
      this.#isOversized = true;
      this.#isRequested = true;
      return false;
    }
    const end = this.#at + frameBytes;
    if (end > this.#bytes.length) return false;
    const type = this.#bytes[this.#at + 3] ?? 0;
    const flags = this.#bytes[this.#at + 4] ?? 0;
    const isAcknowledgement =
      type === FrameType.settings &&
      (flags & Flag.acknowledgement) !== 0 &&
      frameBytes === frameHeaderBytes;
    if (isAcknowledgement && !this.mayEnd) {
      this.#isAcknowledged = true;
      this.#replace(this.#at, end, Buffer.alloc(0));
      return true;
    }
    if (!this.#isPreliminary(type, flags, end)) this.#isRequested = true;
    const mended = mendHeadersFrame(this.#bytes.subarray(this.#at, end));
    if (mended === undefined) {
      this.#at = end;
    } else {
      this.#isMended = true;
      this.#replace(this.#at, end, mended);
      this.#at += mended.length;
    }
    return true;
  }

  /** Whether the frame may come before a request and needs no answer. */
  #isPreliminary(type: number, flags: number, end: number): boolean {
    const bodyBytes = end - this.#at - frameHeaderBytes;
    switch (type) {
      case FrameType.settings:
        return (flags & Flag.acknowledgement) === 0 && bodyBytes % settingBytes === 0;
      case FrameType.windowUpdate:
        return bodyBytes === 4 && this.#bytes.readUInt32BE(end - 4) <= windowGrowthMax;
      case FrameType.priority:
        return bodyBytes === priorityBytes;
      default:
        return false;
    }
  }

  #replace(from: number, to: number, by: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes.subarray(0, from), by, this.#bytes.subarray(to)]);
  }
}
