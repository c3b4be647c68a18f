/** The frames of HTTP/2 that are read or written outside of Node's HTTP/2 (RFC 9113 section 6). */
import { mendAuthority } from './header-block.ts';

export const frameHeaderBytes = 9;
/** Before other settings are acknowledged nobody may send a larger one (RFC 9113 section 6.5.2). */
export const frameBytesMax = 16_384;

export const FrameType = {
  headers: 1,
  priority: 2,
  settings: 4,
  goAway: 7,
  windowUpdate: 8,
} as const;
export const Flag = {
  acknowledgement: 0x1,
  endHeaders: 0x4,
  padded: 0x8,
  priority: 0x20,
} as const;

export const priorityBytes = 5;
export const settingBytes = 6;
const settingMaxConcurrentStreams = 3;
const goAwayBytes = 8;

/** An empty frame of the connection itself, its body to be filled in. */
function connectionFrame(type: number, bodyBytes: number): Buffer {
  const frame = Buffer.alloc(frameHeaderBytes + bodyBytes);
  frame.writeUIntBE(bodyBytes, 0, 3);
  frame[3] = type;
  return frame;
}

/** Settings that name the one limit that clients need before they send anything. */
export function settingsFrame(maxConcurrentStreams: number): Buffer {
  const frame = connectionFrame(FrameType.settings, settingBytes);
  frame.writeUInt16BE(settingMaxConcurrentStreams, frameHeaderBytes);
  frame.writeUInt32BE(maxConcurrentStreams, frameHeaderBytes + 2);
  return frame;
}

/** The connection ends without an error, and no request on it has been looked at. */
export const unusedGoAwayFrame: Buffer = connectionFrame(FrameType.goAway, goAwayBytes);

/** Length of the frame that begins with these bytes, its header included. */
export function frameLength(frame: Buffer): number {
  return frameHeaderBytes + frame.readUIntBE(0, 3);
}

/**
 * A whole frame of headers with an authority that Node takes, or undefined if it is no such frame
 * or there is nothing to mend.
 */
export function mendHeadersFrame(frame: Buffer): Buffer | undefined {
  const flags = frame[4] ?? 0;
  if (frame[3] !== FrameType.headers || (flags & Flag.endHeaders) === 0) return undefined;
  let from = frameHeaderBytes;
  let padding = 0;
  if ((flags & Flag.padded) !== 0) padding = frame[from++] ?? 0;
  if ((flags & Flag.priority) !== 0) from += priorityBytes;
  const to = frame.length - padding;
  const block = from < to ? mendAuthority(frame.subarray(from, to)) : undefined;
  if (block === undefined) return undefined;
  const mended = Buffer.concat([frame.subarray(0, from), block, frame.subarray(to)]);
  const bodyBytes = mended.length - frameHeaderBytes;
  // Without Huffman coding the block may have grown; a frame at the limit stays as it is.
  if (bodyBytes > frameBytesMax) return undefined;
  mended.writeUIntBE(bodyBytes, 0, 3);
  return mended;
}
