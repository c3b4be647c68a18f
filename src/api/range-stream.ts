/** RangeStream: a range in chunks, so that neither side holds it whole (etcd 3.7). */
import { StatusCode, StatusError } from '../base/errors.ts';
import { concatBytes } from '../base/bytes.ts';
import { checkRange } from '../apply/check.ts';
import {
  assembleRange,
  executeRange,
  hasRevisionFilters,
  isDefaultOrder,
  keyValueBytes,
  rangeQuery,
} from '../apply/range.ts';
import type { RangeReader } from '../apply/reader.ts';
import {
  type RangeRequest,
  RangeResponse,
  type RangeStreamResponse,
  type ResponseHeader,
} from '../gen/rpc.ts';
import type { Turns } from './turns.ts';

/** Keys in the first chunk; later ones follow the size of what came. */
const firstChunkKeys = 10;
const after = new Uint8Array([0]);

export function checkRangeStream(request: RangeRequest): void {
  checkRange(request);
  if (!isDefaultOrder(request)) {
    const reason = 'RangeStream does not support custom sort orders';
    throw new StatusError(StatusCode.unimplemented, reason);
  }
  if (hasRevisionFilters(request)) {
    const reason = 'RangeStream does not support revision filters';
    throw new StatusError(StatusCode.unimplemented, reason);
  }
}

export interface RangeStreamOptions {
  readonly reader: RangeReader;
  readonly turns: Turns;
  /** Chunks aim at this encoded size. */
  readonly chunkSizeBytes: number;
  readonly fill: (header: ResponseHeader | undefined) => ResponseHeader;
}

/**
 * All chunks show one revision: the one asked for or, without one, the newest at the start. The
 * last one carries header, count and whether the limit cut the range.
 * @throws EtcdError `compacted` also in the middle, if a compaction passed the revision meanwhile
 */
export async function* rangeStream(
  request: RangeRequest,
  options: RangeStreamOptions,
): AsyncGenerator<RangeStreamResponse> {
  const { reader, fill } = options;
  if (request.countOnly) {
    const { header, count } = executeRange(reader, request);
    yield chunk({ header: fill(header), count });
    return;
  }
  const total = request.limit > 0 ? request.limit : Number.MAX_SAFE_INTEGER;
  let { key, revision } = request;
  let limit = Math.min(firstChunkKeys, total);
  let sent = 0;
  let header: ResponseHeader | undefined;
  for (;;) {
    await options.turns.next();
    const part = { ...request, key, revision, limit };
    // A limit that suits small values would make a huge chunk of large ones that follow.
    const bytesLimit = options.chunkSizeBytes;
    const result = reader.range({ ...rangeQuery(part), bytesLimit });
    const response = assembleRange(part, result);
    header ??= response.header;
    if (revision <= 0) revision = header?.revision ?? 0;
    sent += response.kvs.length;
    if (!result.truncated && (!response.more || sent >= total)) {
      // The count of the rest of the range includes this chunk's keys.
      const count = sent - response.kvs.length + response.count;
      yield chunk({
        header: fill(header),
        kvs: response.kvs,
        more: response.more,
        count,
      });
      return;
    }
    yield chunk({ kvs: response.kvs });
    const last = response.kvs.at(-1);
    if (last === undefined) return;
    key = concatBytes([last.key, after]);
    const sizeBytes = response.kvs.reduce((sum, kv) => sum + keyValueBytes(kv), 0);
    limit = Math.min(nextLimit(limit, sizeBytes, options.chunkSizeBytes), total - sent);
  }
}

function nextLimit(limit: number, sizeBytes: number, targetBytes: number): number {
  if (sizeBytes < targetBytes / 2) return limit * 2;
  if (sizeBytes > targetBytes * 2) return Math.max(1, Math.floor(limit / 2));
  return limit;
}

function chunk(fields: Partial<RangeResponse>): RangeStreamResponse {
  return { rangeResponse: RangeResponse.create(fields) };
}
