/** HTTP/2 and gRPC as bytes (RFC 9113 section 6, RFC 7541), right or wrong as the caller likes. */
import { Flag, FrameType, preface } from '../../src/http2/frames.ts';

export { Flag, FrameType };

export function frame(type: number, flags: number, stream: number, body?: Uint8Array): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(body?.length ?? 0, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, body ?? Buffer.alloc(0)]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Settings by their numbers (RFC 9113 section 6.5.2). */
export function settings(values: readonly (readonly [number, number])[] = []): Buffer {
  const body = values.map(([id, value]) => Buffer.concat([Buffer.from([0, id]), uint32(value)]));
  return frame(FrameType.settings, 0, 0, Buffer.concat(body));
}

/** What a client's connection begins with. */
export function opening(values: readonly (readonly [number, number])[] = []): Buffer {
  return Buffer.concat([preface, settings(values)]);
}

/** A string without Huffman coding, its length as an integer of seven bits and more. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  const length: number[] = [Math.min(bytes.length, 0x7f)];
  let rest = bytes.length - 0x7f;
  if (rest >= 0) {
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) length.push((rest & 0x7f) | 0x80);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}

/** Header fields in full; only the authority is named by its place in the table, as clients do. */
export function headerBlock(fields: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(
    Object.entries(fields).map(([name, value]) =>
      name === ':authority'
        ? Buffer.concat([Buffer.from([0x41]), text(value)])
        : Buffer.concat([Buffer.from([0]), text(name), text(value)]),
    ),
  );
}

/** The header fields of a call. */
export function callFields(
  path: string,
  others: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return {
    ':method': 'POST',
    ':scheme': 'http',
    ':path': path,
    ':authority': '127.0.0.1:1',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...others,
  };
}

/** A message as gRPC frames it. */
export function grpcMessage(message: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([0]), uint32(message.length), message]);
}
