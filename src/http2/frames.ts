/** The numbers of HTTP/2 (RFC 9113), and the frames of a connection itself. */

/** With what a client's connection begins (section 3.4). */
export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Length, type, flags and stream of a frame (section 4.1). */
export const frameHeaderBytes = 9;
/** Nobody needs to take a larger frame who has not said so (section 6.5.2). */
export const defaultFrameBytes = 16_384;
/** Of a stream and of a connection, until something else is said (section 6.9.2). */
export const defaultWindowBytes = 65_535;
export const maxWindowBytes = 0x7fff_ffff;
export const maxStreamId = 0x7fff_ffff;
export const pingBytes = 8;
export const priorityBytes = 5;
export const settingBytes = 6;

/** Section 6. */
export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const Flag = {
  acknowledgement: 0x1,
  endStream: 0x1,
  endHeaders: 0x4,
  padded: 0x8,
  priority: 0x20,
} as const;

/** Section 6.5.2. */
export const SettingId = {
  headerTableBytes: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowBytes: 4,
  maxFrameBytes: 5,
  maxHeaderListBytes: 6,
} as const;

/** Section 7. */
export const ErrorCode = {
  noError: 0,
  protocolError: 1,
  internalError: 2,
  flowControlError: 3,
  settingsTimeout: 4,
  streamClosed: 5,
  frameSizeError: 6,
  refusedStream: 7,
  cancel: 8,
  compressionError: 9,
  connectError: 10,
  enhanceYourCalm: 11,
} as const;

export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** What a peer did that ends its connection (section 5.4.1). */
export class ConnectionError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = 'ConnectionError';
    this.code = code;
  }
}

/** Writes the header of a frame. */
export function writeFrameHeader(
  out: Buffer,
  at: number,
  bodyBytes: number,
  type: number,
  flags: number,
  streamId: number,
): void {
  out[at] = bodyBytes >>> 16;
  out[at + 1] = bodyBytes >>> 8;
  out[at + 2] = bodyBytes;
  out[at + 3] = type;
  out[at + 4] = flags;
  out[at + 5] = streamId >>> 24;
  out[at + 6] = streamId >>> 16;
  out[at + 7] = streamId >>> 8;
  out[at + 8] = streamId;
}

/** @param fill writes the body, which begins at the index that it is given */
function frame(
  type: number,
  flags: number,
  streamId: number,
  bodyBytes: number,
  fill: (frame: Buffer, at: number) => void,
): Buffer {
  const bytes = Buffer.allocUnsafe(frameHeaderBytes + bodyBytes);
  writeFrameHeader(bytes, 0, bodyBytes, type, flags, streamId);
  fill(bytes, frameHeaderBytes);
  return bytes;
}

/** @param settings values by {@link SettingId} */
export function settingsFrame(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  return frame(FrameType.settings, 0, 0, settings.length * settingBytes, (bytes, at) => {
    for (const [i, [id, value]] of settings.entries()) {
      bytes.writeUInt16BE(id, at + i * settingBytes);
      bytes.writeUInt32BE(value, at + i * settingBytes + 2);
    }
  });
}

export const settingsAcknowledgement: Buffer = frame(
  FrameType.settings,
  Flag.acknowledgement,
  0,
  0,
  () => undefined,
);

/** @param payload eight bytes */
export function pingFrame(payload: Uint8Array, flags = 0): Buffer {
  return frame(FrameType.ping, flags, 0, pingBytes, (bytes, at) => bytes.set(payload, at));
}

export function windowUpdateFrame(streamId: number, grownBytes: number): Buffer {
  return frame(FrameType.windowUpdate, 0, streamId, 4, (bytes, at) => {
    bytes.writeUInt32BE(grownBytes, at);
  });
}

export function resetFrame(streamId: number, code: ErrorCode): Buffer {
  return frame(FrameType.reset, 0, streamId, 4, (bytes, at) => bytes.writeUInt32BE(code, at));
}

export function goAwayFrame(lastStreamId: number, code: ErrorCode, reason: string): Buffer {
  const text = Buffer.from(reason);
  return frame(FrameType.goAway, 0, 0, 8 + text.length, (bytes, at) => {
    bytes.writeUInt32BE(lastStreamId, at);
    bytes.writeUInt32BE(code, at + 4);
    bytes.set(text, at + 8);
  });
}
