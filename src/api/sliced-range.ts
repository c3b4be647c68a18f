/**
 * A large range, read in slices: between two of them everybody else gets a turn. All slices show
 * one revision, which compaction spares while it is pinned.
 */
import { latin1 } from '../base/bytes.ts';
import { EtcdError } from '../base/errors.ts';
import { assembleRange, rangeQuery, reducePart } from '../apply/range.ts';
import type { RangeQuery, RangeReader, RangeResult } from '../apply/reader.ts';
import type { KeyValue } from '../gen/kv.ts';
import type { RangeRequest, RangeResponse } from '../gen/rpc.ts';
import type { AnswerMemory } from './handler.ts';
import type { Turns } from './turns.ts';

/** Key values read in one turn: about a millisecond. */
const sliceKeys = 1000;
/** Bytes after which a turn ends, for the same reason. */
const sliceBytes = 1024 * 1024;
/** Largest answer. A client that wants more asks in pages or with RangeStream. */
const rangeAnswerLimitBytes = 256 * 1024 * 1024;
/** What a key value in memory takes beside its bytes, about. */
const keyValueOverheadBytes = 128;

/** A revision that stays readable until it is released. */
export interface PinnedRevision {
  range(query: Omit<RangeQuery, 'revision'>): RangeResult;
  release(): void;
}

export interface PinnableReader extends RangeReader {
  /** @throws EtcdError `compacted` or `futureRevision` */
  pin(revision: number): PinnedRevision;
}

export interface SlicedRangeOptions {
  readonly turns: Turns;
  readonly memory: Pick<AnswerMemory, 'hold'>;
  /** For tests; the default is {@link rangeAnswerLimitBytes}. */
  readonly answerLimitBytes?: number;
}

/**
 * @throws EtcdError `compacted`, `futureRevision`, or `answerTooLarge`
 * @throws StatusError resourceExhausted if there is no memory for the answer
 */
export async function slicedRange(
  reader: PinnableReader,
  request: RangeRequest,
  options: SlicedRangeOptions,
): Promise<RangeResponse> {
  const query = rangeQuery(request);
  if (query.end === undefined || query.countOnly) {
    return assembleRange(request, reader.range(query));
  }
  const wanted = query.limit > 0 ? query.limit : Number.POSITIVE_INFINITY;
  const limit = Math.min(sliceKeys, wanted);
  const first = reader.range({ ...query, limit, bytesLimit: sliceBytes });
  const total = Math.min(wanted, first.count);
  if (first.kvs.length >= total) return assembleRange(request, first);
  const pinned = reader.pin(query.revision > 0 ? query.revision : first.revision);
  try {
    const kvs = await readOn(pinned, request, first, total, options);
    return assembleRange(request, { ...first, kvs });
  } finally {
    pinned.release();
  }
}

async function readOn(
  pinned: PinnedRevision,
  request: RangeRequest,
  first: RangeResult,
  total: number,
  { turns, memory, answerLimitBytes = rangeAnswerLimitBytes }: SlicedRangeOptions,
): Promise<KeyValue[]> {
  const query = rangeQuery(request);
  const kept: KeyValue[] = [];
  let bytes = 0;
  const keep = (part: readonly KeyValue[]): void => {
    const reduced = reducePart(request, part);
    for (const kv of reduced) kept.push(kv);
    const partBytes = sizeBytes(reduced);
    bytes += partBytes;
    if (bytes > answerLimitBytes) throw new EtcdError('answerTooLarge');
    memory.hold(partBytes + reduced.length * keyValueOverheadBytes);
  };
  keep(first.kvs);
  let last = first.kvs.at(-1)?.key;
  let read = first.kvs.length;
  while (read < total && last !== undefined) {
    await turns.next();
    const limit = Math.min(sliceKeys, total - read);
    const key = `${latin1(last)}\0`;
    const slice = pinned.range({ ...query, key, limit, bytesLimit: sliceBytes });
    keep(slice.kvs);
    read += slice.kvs.length;
    last = slice.kvs.at(-1)?.key;
  }
  return kept;
}

function sizeBytes(kvs: readonly KeyValue[]): number {
  let bytes = 0;
  for (const { key, value } of kvs) bytes += key.length + value.length;
  return bytes;
}
