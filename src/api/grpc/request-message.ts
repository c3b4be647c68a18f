/** What requests are refused for that come as gRPC frames them, and how they are decompressed. */
import { gunzip, inflate } from 'node:zlib';
import { StatusCode } from '../../base/errors.ts';
import type { StatusObject } from '../../grpc/call.ts';
import type { ConnectionMemory } from './connection-memory.ts';
import { tooManyIncomplete } from './partial-message.ts';

const COMPRESSED = 1;

const decompressors = { gzip: gunzip, deflate: inflate } as const;

export function tooLarge(messageBytes: number, maxMessageBytes: number): StatusObject {
  const details = `grpc: received message larger than max (${messageBytes} vs. ${maxMessageBytes})`;
  return { code: StatusCode.resourceExhausted, details };
}

/** What a client is told that ends its side in the middle of a message. */
export const unexpectedEnd: StatusObject = {
  code: StatusCode.internal,
  details: 'unexpected EOF',
};

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
