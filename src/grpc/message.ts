/** Messages as gRPC frames them on an HTTP/2 stream: a flag, the length, the bytes. */
import type { Stream } from '../http2/stream.ts';

/** Compression flag and length in front of every message. */
export const prefixBytes = 5;

const plain = 0;

/** Whether a message with this flag is not compressed. */
export function isPlain(flag: number | undefined): boolean {
  return flag === plain;
}

/** Of the message that begins at `start`, without its prefix, which must be there. */
export function messageBytesAt(bytes: Buffer, start: number): number {
  return bytes.readUInt32BE(start + 1);
}

/**
 * The message whose frame reaches from `start` to `end`: a copy, because the frame is part of all
 * that was read from the connection at once.
 */
export function messageAt(bytes: Buffer, start: number, end: number): Buffer {
  const message = Buffer.allocUnsafe(end - start - prefixBytes);
  bytes.copy(message, 0, start + prefixBytes, end);
  return message;
}

/** A longer message is not copied behind its prefix, but sent after it. */
const maxCopiedBytes = 1024;

/**
 * Sends a message, which must not change until it was sent or the stream is closed. A small one in
 * one piece: as a part of a larger memory, it would keep all of that while it waits.
 *
 * @param sent called when all of it was sent; never if the stream is closed before
 */
export function writeMessage(stream: Stream, message: Uint8Array, sent?: () => void): void {
  const isCopied = message.length <= maxCopiedBytes;
  const piece = Buffer.allocUnsafe(prefixBytes + (isCopied ? message.length : 0));
  piece[0] = plain;
  piece.writeUInt32BE(message.length, 1);
  if (isCopied) {
    piece.set(message, prefixBytes);
    stream.write(piece, sent);
  } else {
    stream.write(piece);
    stream.write(message, sent);
  }
}
