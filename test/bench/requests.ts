/** What is sent: keys, values, messages, and how gRPC frames them. */
import { buffer, utf8 } from '../../src/base/bytes.ts';
import type { Codec } from '../../src/base/wire.ts';
import {
  PutRequest,
  PutResponse,
  RangeRequest,
  type ResponseHeader,
  type RequestOp,
  TxnRequest,
} from '../../src/gen/rpc.ts';

export const valueBytes = 256;

/** A flag for compression and the length. */
export const frameHeaderBytes = 5;

export function framed(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(frameHeaderBytes + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, frameHeaderBytes);
  return frame;
}

/** Copied, as codecs share the memory behind their results. */
export function encoded<T>(codec: Codec<T>, message: Partial<T>): Buffer {
  return Buffer.from(codec.encode(codec.create(message)));
}

/** Key `index` of those below `prefix`; their order is that of the numbers. */
export function keyOf(prefix: string, index: number): Uint8Array {
  return utf8(`${prefix}/${String(index).padStart(9, '0')}`);
}

/** A value that tells whose it is: the key, and then dots. */
export function valueOf(key: Uint8Array): Uint8Array {
  const value = Buffer.alloc(valueBytes, '.');
  value.set(key);
  return value;
}

export function isValueOf(value: Uint8Array, key: Uint8Array): boolean {
  return buffer(value).equals(valueOf(key));
}

export function putOf(key: Uint8Array): Buffer {
  return encoded(PutRequest, { key, value: valueOf(key) });
}

export function getOf(key: Uint8Array, serializable = false): Buffer {
  return encoded(RangeRequest, { key, serializable });
}

/** All keys below `prefix` before the one numbered `end`. */
export function rangeOf(prefix: string, end: number): Buffer {
  return encoded(RangeRequest, { key: keyOf(prefix, 0), rangeEnd: keyOf(prefix, end) });
}

/** A transaction of puts without a condition. */
export function putsOf(keys: readonly Uint8Array[]): Buffer {
  const success = keys.map((key): RequestOp => {
    const value = PutRequest.create({ key, value: valueOf(key) });
    return { request: { case: 'requestPut', value } };
  });
  return encoded(TxnRequest, { success });
}

/**
 * Bytes of all answers to puts that made the revisions after `before` up to `last`, in frames: each
 * tells its own revision, whose length grows.
 */
export function putAnswerBytes(header: ResponseHeader, before: number, last: number): number {
  let sum = 0;
  for (let from = before + 1; from <= last;) {
    // As many as have a revision of the same length.
    const bits = Math.floor(Math.log2(from)) + 1;
    const until = Math.min(last, 2 ** (Math.ceil(bits / 7) * 7) - 1);
    const answer = encoded(PutResponse, { header: { ...header, revision: from } });
    sum += (until - from + 1) * (frameHeaderBytes + answer.length);
    from = until + 1;
  }
  return sum;
}
