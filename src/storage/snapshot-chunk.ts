/**
 * The pieces in which a state database travels: a beginning, pairs as they are stored, and an end
 * that says how many there were and their digest. Each has a version and a checksum.
 */
import { crc32 } from 'node:zlib';
import { buffer } from '../base/bytes.ts';
import type { SnapshotMetadata } from '../raft/index.ts';
import type { EngineEntry } from './engine.ts';
import { CorruptionError } from './errors.ts';
import { readConfState, RecordReader, RecordWriter, writeConfState } from './record.ts';

const version = 1;
const kinds = { begin: 0, pairs: 1, end: 2 } as const;
/** Version, kind, checksum of the rest, number of pairs. */
const pairsHeaderBytes = 1 + 1 + 4 + 4;
const lengthsBytes = 8;

export interface SnapshotBegin {
  readonly metadata: SnapshotMetadata;
  /** Chain value of the log at the snapshot's index. */
  readonly chain: number;
}

export interface SnapshotEnd {
  readonly pairs: number;
  /** CRC-32 over all chunks of pairs. */
  readonly digest: number;
}

export type SnapshotChunk =
  | { readonly kind: 'begin'; readonly begin: SnapshotBegin }
  | { readonly kind: 'pairs'; readonly pairs: readonly EngineEntry[] }
  | { readonly kind: 'end'; readonly end: SnapshotEnd };

/** What a pair counts for in the size of a chunk. */
export function pairBytes([key, value]: EngineEntry): number {
  return lengthsBytes + key.length + value.length;
}

export function encodeBegin({ metadata, chain }: SnapshotBegin): Buffer {
  const writer = new RecordWriter(version).u8(kinds.begin);
  writer.u64(metadata.index).u64(metadata.term).u32(chain);
  writeConfState(writer, metadata.confState);
  return writer.finish();
}

export function encodeEnd({ pairs, digest }: SnapshotEnd): Buffer {
  return new RecordWriter(version).u8(kinds.end).u64(pairs).u32(digest).finish();
}

export function encodePairs(pairs: readonly EngineEntry[]): Buffer {
  let length = pairsHeaderBytes;
  for (const pair of pairs) length += pairBytes(pair);
  const bytes = Buffer.allocUnsafe(length);
  bytes.writeUInt8(version, 0);
  bytes.writeUInt8(kinds.pairs, 1);
  bytes.writeUInt32LE(pairs.length, 6);
  let at = pairsHeaderBytes;
  for (const [key, value] of pairs) {
    bytes.writeUInt32LE(key.length, at);
    bytes.writeUInt32LE(value.length, at + 4);
    bytes.set(key, at + lengthsBytes);
    bytes.set(value, at + lengthsBytes + key.length);
    at += lengthsBytes + key.length + value.length;
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(6)), 2);
  return bytes;
}

/** Every contradiction is a {@link CorruptionError}: the transfer fails, the member goes on. */
export function decodeChunk(chunk: Uint8Array): SnapshotChunk {
  const bytes = buffer(chunk);
  if (bytes.length < 2 || bytes[0] !== version) {
    throw new CorruptionError(`a snapshot chunk has unknown version ${bytes[0] ?? 'none'}`);
  }
  const kind = bytes[1];
  if (kind === kinds.pairs) return { kind: 'pairs', pairs: decodePairs(bytes) };
  const reader = new RecordReader(bytes, version, 'a snapshot chunk');
  reader.u8();
  if (kind === kinds.end) {
    const end = { pairs: reader.u64(), digest: reader.u32() };
    reader.finish();
    return { kind: 'end', end };
  }
  if (kind !== kinds.begin) throw new CorruptionError('a snapshot chunk is of unknown kind');
  const index = reader.u64();
  const term = reader.u64();
  const chain = reader.u32();
  const begin = { metadata: { index, term, confState: readConfState(reader) }, chain };
  reader.finish();
  return { kind: 'begin', begin };
}

function decodePairs(bytes: Buffer): readonly EngineEntry[] {
  const malformed = (): never => {
    throw new CorruptionError('a snapshot chunk of pairs is malformed');
  };
  if (bytes.length < pairsHeaderBytes) malformed();
  if (crc32(bytes.subarray(6)) !== bytes.readUInt32LE(2)) malformed();
  const pairs: EngineEntry[] = [];
  let at = pairsHeaderBytes;
  for (let left = bytes.readUInt32LE(6); left > 0; left--) {
    if (at + lengthsBytes > bytes.length) malformed();
    const keyAt = at + lengthsBytes;
    const valueAt = keyAt + bytes.readUInt32LE(at);
    at = valueAt + bytes.readUInt32LE(keyAt - 4);
    if (at > bytes.length) malformed();
    pairs.push([bytes.subarray(keyAt, valueAt), bytes.subarray(valueAt, at)]);
  }
  if (at !== bytes.length) malformed();
  return pairs;
}
