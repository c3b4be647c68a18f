/**
 * A large range, read in slices: between two of them everybody else gets a turn. All slices show
 * one revision, which compaction spares while it is pinned.
 */
import { latin1 } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { StatusCode, StatusError } from '../base/errors.ts';
import { assembleRange, rangeQuery } from '../apply/range.ts';
import type { RangeQuery, RangeReader, RangeResult } from '../apply/reader.ts';
import type { KeyValue } from '../gen/kv.ts';
import type { RangeRequest, RangeResponse } from '../gen/rpc.ts';

/** Key values read in one turn: about a millisecond. */
const sliceKeys = 1000;
/** Largest answer. A client that wants more asks in pages or with RangeStream. */
export const rangeAnswerLimitBytes = 256 * 1024 * 1024;

/** A revision that stays readable until it is released. */
export interface PinnedRevision {
  range(query: Omit<RangeQuery, 'revision'>): RangeResult;
  release(): void;
}

export interface PinnableReader extends RangeReader {
  /** @throws EtcdError `compacted` or `futureRevision` */
  pin(revision: number): PinnedRevision;
}

/**
 * @throws EtcdError `compacted` or `futureRevision`
 * @throws StatusError resourceExhausted for an answer above {@link rangeAnswerLimitBytes}
 */
export async function slicedRange(
  reader: PinnableReader,
  clock: Clock,
  request: RangeRequest,
): Promise<RangeResponse> {
  const query = rangeQuery(request);
  const wanted = query.limit > 0 ? query.limit : Number.POSITIVE_INFINITY;
  if (query.end === undefined || query.countOnly || wanted <= sliceKeys) {
    return assembleRange(request, reader.range(query));
  }
  const first = reader.range({ ...query, limit: sliceKeys });
  if (first.kvs.length < sliceKeys || first.count <= sliceKeys) {
    return assembleRange(request, first);
  }
  const revision = query.revision > 0 ? query.revision : first.revision;
  const pinned = reader.pin(revision);
  try {
    const kvs = await readOn(pinned, clock, query, first, wanted);
    return assembleRange(request, { ...first, kvs });
  } finally {
    pinned.release();
  }
}

async function readOn(
  pinned: PinnedRevision,
  clock: Clock,
  query: RangeQuery,
  first: RangeResult,
  wanted: number,
): Promise<KeyValue[]> {
  const kvs = [...first.kvs];
  let bytes = sizeBytes(first.kvs);
  const total = Math.min(wanted, first.count);
  while (kvs.length < total) {
    const last = kvs.at(-1);
    if (last === undefined) break;
    await new Promise<void>((resolve) => {
      clock.defer(resolve);
    });
    const limit = Math.min(sliceKeys, total - kvs.length);
    const slice = pinned.range({ ...query, key: `${latin1(last.key)}\0`, limit });
    for (const kv of slice.kvs) kvs.push(kv);
    bytes += sizeBytes(slice.kvs);
    if (bytes > rangeAnswerLimitBytes) throw tooLarge();
    if (slice.kvs.length < limit) break;
  }
  return kvs;
}

function sizeBytes(kvs: readonly KeyValue[]): number {
  let bytes = 0;
  for (const { key, value } of kvs) bytes += key.length + value.length;
  return bytes;
}

function tooLarge(): StatusError {
  return new StatusError(
    StatusCode.resourceExhausted,
    `grpc: trying to send message larger than max (${rangeAnswerLimitBytes} bytes)`,
  );
}
