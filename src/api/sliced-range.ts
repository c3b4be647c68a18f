/**
 * A large range, read in slices: between two of them everybody else gets a turn. All slices show
 * one revision, which compaction spares while it is pinned.
 */
import { EtcdError } from '../base/errors.ts';
import type { RangeRequest, RangeResponse, ResponseHeader } from '../gen/rpc.ts';
import type { Store } from '../mvcc/store.ts';
import type { RangeExtent } from '../mvcc/store-state.ts';
import type { AnswerMemory } from './handler.ts';
import { type RangeAnswer, rangeAnswer, type RangeSource } from './range-answer.ts';
import type { Turns } from './turns.ts';

/** Key values read in one turn: about a millisecond at most. */
const sliceKeys = 1000;
/** Bytes after which a turn ends, for the same reason. */
const sliceBytes = 1024 * 1024;
/** Largest answer. A client that wants more asks in pages or with RangeStream. */
const rangeAnswerLimitBytes = 256 * 1024 * 1024;

export type PinnableReader = Pick<Store, 'range' | 'copyRange' | 'pin'>;

export interface SlicedRangeOptions {
  /** Of the answer: with the revision that the store is at. */
  readonly header: ResponseHeader;
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
  const answer = rangeAnswer(request, options.header);
  const { query } = answer;
  if (query.end === undefined || query.countOnly) return answer.finish(answer.read(reader, query));
  const wanted = query.limit > 0 ? query.limit : Number.POSITIVE_INFINITY;
  const limit = Math.min(sliceKeys, wanted);
  const first = answer.read(reader, { ...query, limit, bytesLimit: sliceBytes });
  const total = Math.min(wanted, first.count);
  if (first.taken >= total) return answer.finish(first);
  const pinned = reader.pin(query.revision > 0 ? query.revision : first.revision);
  try {
    answer.keep(first.taken / total, options.memory);
    await readRest(pinned, answer, first, total, options);
    return answer.finish(first);
  } finally {
    pinned.release();
  }
}

async function readRest(
  pinned: RangeSource,
  answer: RangeAnswer,
  first: RangeExtent,
  total: number,
  { turns, answerLimitBytes = rangeAnswerLimitBytes }: SlicedRangeOptions,
): Promise<void> {
  let { taken, lastKey } = first;
  while (taken < total && lastKey !== undefined) {
    await turns.next();
    const limit = Math.min(sliceKeys, total - taken);
    const key = `${lastKey}\0`;
    const slice = answer.read(pinned, { ...answer.query, key, limit, bytesLimit: sliceBytes });
    if (answer.sizeBytes > answerLimitBytes) throw new EtcdError('answerTooLarge');
    taken += slice.taken;
    ({ lastKey } = slice);
  }
}
