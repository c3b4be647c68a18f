/** Messages as gRPC frames them, in both directions: a flag, the length, the bytes. */
import { gunzip, inflate } from 'node:zlib';
import { StatusCode } from '../../base/errors.ts';
import type { ConnectionMemory } from './connection-memory.ts';
import { PREFIX_BYTES, tooManyIncomplete } from './partial-message.ts';
import type { StatusObject } from './status.ts';

const PLAIN = 0;
const COMPRESSED = 1;

const decompressors = { gzip: gunzip, deflate: inflate } as const;

/** Of the message that begins at `start`, without its prefix, which must be there. */
export function messageBytesAt(bytes: Buffer, start: number): number {
  return bytes.readUInt32BE(start + 1);
}

export function tooLarge(messageBytes: number, maxMessageBytes: number): StatusObject {
  const details = `grpc: received message larger than max (${messageBytes} vs. ${maxMessageBytes})`;
  return { code: StatusCode.resourceExhausted, details };
}

/** What a client is told that ends its side in the middle of a message. */
export const unexpectedEnd: StatusObject = {
  code: StatusCode.internal,
  details: 'unexpected EOF',
};

/**
 * The message whose frame reaches from `start` to `end`: a copy, because the frame is part of all
 * that was read from the connection at once.
 */
export function messageAt(bytes: Buffer, start: number, end: number): Buffer {
  const message = Buffer.allocUnsafe(end - start - PREFIX_BYTES);
  bytes.copy(message, 0, start + PREFIX_BYTES, end);
  return message;
}

export function isPlain(flag: number | undefined): boolean {
  return flag === PLAIN;
}

export interface Compressed {
  readonly bytes: Uint8Array;
  /** Of its prefix. */
  readonly flag: number | undefined;
  /** The header `grpc-encoding` of the call. */
  readonly encoding: string | undefined;
  readonly maxMessageBytes: number;
  /** Holds it, and what decompressing it takes, until that is done. */
  readonly memory: ConnectionMemory;
}

/** What zlib takes for one message, about. */
const zlibBytes = 32 * 1024;

/**
 * Decompresses a message.
 * @param done called with the message, or why the call is refused; maybe at once
 */
export function decompress(
  { bytes, flag, encoding, maxMessageBytes, memory }: Compressed,
  done: (refusal: StatusObject | undefined, message: Buffer) => void,
): void {
  const refuse = (code: StatusCode, details: string): void =>
    done({ code, details }, Buffer.alloc(0));
  if (flag !== COMPRESSED) {
    refuse(StatusCode.internal, `grpc: received unexpected payload format ${flag}`);
  } else if (encoding === undefined || encoding === 'identity') {
    const text = 'grpc: compressed flag set with identity or empty encoding';
    refuse(StatusCode.internal, text);
  } else if (encoding !== 'gzip' && encoding !== 'deflate') {
    const name = JSON.stringify(encoding);
    const text = `grpc: Decompressor is not installed for grpc-encoding ${name}`;
    refuse(StatusCode.unimplemented, text);
  } else if (!memory.take(bytes.length + zlibBytes)) {
    done(tooManyIncomplete, Buffer.alloc(0));
  } else {
    decompressors[encoding](bytes, { maxOutputLength: maxMessageBytes }, (error, message) => {
      memory.release(bytes.length + zlibBytes);
      if (error === null) done(undefined, message);
      else if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
        const text = 'grpc: received message after decompression larger than max';
        refuse(StatusCode.resourceExhausted, `${text} ${maxMessageBytes}`);
      } else {
        const text = `grpc: failed to decompress the received message: ${error.message}`;
        refuse(StatusCode.internal, text);
      }
    });
  }
}

/** A longer message is not copied behind its prefix, but sent after it. */
const maxCopiedBytes = 1024;

/**
 * What is to be written to send a message: its prefix and the message. In one piece if it is small:
 * as a part of a larger memory, it would keep all of that while it waits.
 */
export function framed(message: Uint8Array): [Uint8Array, Uint8Array?] {
  const isCopied = message.length <= maxCopiedBytes;
  const piece = Buffer.allocUnsafe(PREFIX_BYTES + (isCopied ? message.length : 0));
  piece[0] = PLAIN;
  piece.writeUInt32BE(message.length, 1);
  if (!isCopied) return [piece, message];
  piece.set(message, PREFIX_BYTES);
  return [piece];
}
