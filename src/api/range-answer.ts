/**
 * The answer of a range, made slice by slice. Most are the stored key values one after the other:
 * these are copied straight into the encoded answer. The others are sorted, filtered or reduced.
 */
import {
  assembleRange,
  isAsStored,
  keyValueBytes,
  rangeQuery,
  reducePart,
} from '../apply/range.ts';
import { answerMemory, minReusableBytes } from '../base/reusable-memory.ts';
import { preencoded, sharedWriter, Writer } from '../base/wire.ts';
import type { KeyValue } from '../gen/kv.ts';
import {
  type RangeRequest,
  RangeResponse,
  type ResponseHeader,
  writeRangeResponse,
} from '../gen/rpc.ts';
import type { Pin } from '../mvcc/store.ts';
import type { KeyValueSink, RangeExtent, RangeQuery } from '../mvcc/store-state.ts';
import type { AnswerMemory } from './handler.ts';

/** A store, or one of its revisions. */
export type RangeSource = Pick<Pin, 'range' | 'copyRange'>;

export interface RangeAnswer {
  /** All that is to be read. */
  readonly query: RangeQuery;
  /** Of the key values so far. */
  readonly sizeBytes: number;
  /**
   * Reads a slice, and keeps what the answer needs of it.
   * @throws EtcdError `compacted` or `futureRevision`
   * @throws StatusError resourceExhausted if there is no memory for it
   */
  read(source: RangeSource, query: RangeQuery): RangeExtent;
  /**
   * Before the turn ends in which the first slice was read, if there are more: from now on the
   * answer has memory of its own, which it holds.
   * @param share of the whole range that was read
   * @throws StatusError resourceExhausted if there is no memory for it
   */
  keep(share: number, memory: Pick<AnswerMemory, 'hold'>): void;
  /** @param extent of the first slice, which tells of the whole range */
  finish(extent: RangeExtent): RangeResponse;
}

/** @param header the answer's, without which none can begin */
export function rangeAnswer(request: RangeRequest, header: ResponseHeader): RangeAnswer {
  return isAsStored(request)
    ? new CopiedAnswer(request, header)
    : new AssembledAnswer(request, header);
}

/** The field `kvs` of RangeResponse: number 2, with a length. */
const kvsTag = 18;
/** Memory that is taken for a whole answer on the word of its first slice. */
const roomBytesMax = 32 * 1024 * 1024;
/** Beyond what the whole takes if it is like the first slice. */
const roomShare = 1.1;

/** Where ranges begin of more than one key; what they hold is copied from there. */
const firstSlices = new Writer();
/** What has grown beyond it is not used again. */
const maxKeptBytes = 4 * 1024 * 1024;

/**
 * Begins in a writer that is shared, so it must be kept or finished in the turn in which it begins;
 * before that no other range may begin, and nothing may be encoded.
 */
class CopiedAnswer implements RangeAnswer {
  readonly query: RangeQuery;
  readonly #header: ResponseHeader;
  #writer: Writer;
  #memory: Pick<AnswerMemory, 'hold'> | undefined;
  #heldBytes = 0;
  readonly #sink: KeyValueSink = (source, start, end) => {
    this.#writer.part(kvsTag, source, start, end);
  };

  constructor(request: RangeRequest, header: ResponseHeader) {
    // The count tells whether there are more.
    this.query = { ...rangeQuery(request), limit: Math.max(request.limit, 0) };
    this.#header = header;
    this.#writer = (this.query.end === undefined ? sharedWriter : firstSlices).reset();
    writeRangeResponse(this.#writer, { header, kvs: [], more: false, count: 0 });
  }

  get sizeBytes(): number {
    return this.#writer.sizeBytes;
  }

  read(source: RangeSource, query: RangeQuery): RangeExtent {
    const extent = source.copyRange(query, this.#sink);
    if (this.#memory !== undefined) this.#hold(this.#writer.capacityBytes);
    return extent;
  }

  keep(share: number, memory: Pick<AnswerMemory, 'hold'>): void {
    const { sizeBytes } = this;
    const room = Math.min((roomShare * sizeBytes) / share, roomBytesMax);
    this.#memory = memory;
    this.#hold(Math.max(sizeBytes, Math.ceil(room)));
    this.#writer = copied(this.#writer, this.#heldBytes);
  }

  #hold(bytes: number): void {
    if (bytes <= this.#heldBytes) return;
    this.#memory?.hold(bytes - this.#heldBytes);
    this.#heldBytes = bytes;
  }

  finish({ count }: RangeExtent): RangeResponse {
    const { limit, countOnly } = this.query;
    const more = !countOnly && limit > 0 && count > limit;
    writeRangeResponse(this.#writer, { header: undefined, kvs: [], more, count });
    return new EncodedRangeResponse(this.#header, more, count, this.#encoded());
  }

  #encoded(): Uint8Array {
    const writer = this.#writer;
    if (writer === sharedWriter) return writer.finish();
    if (writer !== firstSlices) return writer.written;
    const { sizeBytes } = writer;
    return sizeBytes < minReusableBytes ? writer.copy() : copied(writer, sizeBytes).written;
  }
}

/** Moves what is written to a writer with room for so many bytes. */
function copied(from: Writer, roomBytes: number): Writer {
  const to = new Writer(answerMemory.take(roomBytes));
  to.raw(from.written);
  if (from.capacityBytes > maxKeptBytes) from.finish();
  else from.reset();
  return to;
}

/**
 * Decoded only for who asks for its key values. It is what its bytes say: a copy with another
 * header would be sent with the old one.
 */
class EncodedRangeResponse implements RangeResponse {
  readonly header: ResponseHeader;
  readonly more: boolean;
  readonly count: number;
  readonly [preencoded]: Uint8Array;
  #kvs: readonly KeyValue[] | undefined;

  constructor(header: ResponseHeader, more: boolean, count: number, bytes: Uint8Array) {
    this.header = header;
    this.more = more;
    this.count = count;
    this[preencoded] = bytes;
  }

  get kvs(): readonly KeyValue[] {
    this.#kvs ??= RangeResponse.decode(this[preencoded]).kvs;
    return this.#kvs;
  }
}

/** What a key value in memory takes beside its bytes, about. */
const keyValueOverheadBytes = 128;

class AssembledAnswer implements RangeAnswer {
  readonly query: RangeQuery;
  readonly #request: RangeRequest;
  readonly #header: ResponseHeader;
  readonly #kvs: KeyValue[] = [];
  #memory: Pick<AnswerMemory, 'hold'> | undefined;
  sizeBytes = 0;

  constructor(request: RangeRequest, header: ResponseHeader) {
    this.query = rangeQuery(request);
    this.#request = request;
    this.#header = header;
  }

  read(source: RangeSource, query: RangeQuery): RangeExtent {
    const result = source.range(query);
    const heldBytes = this.#heldBytes;
    for (const kv of reducePart(this.#request, result.kvs)) {
      this.#kvs.push(kv);
      this.sizeBytes += keyValueBytes(kv);
    }
    this.#memory?.hold(this.#heldBytes - heldBytes);
    return result;
  }

  keep(_share: number, memory: Pick<AnswerMemory, 'hold'>): void {
    this.#memory = memory;
    memory.hold(this.#heldBytes);
  }

  get #heldBytes(): number {
    return this.sizeBytes + this.#kvs.length * keyValueOverheadBytes;
  }

  finish(extent: RangeExtent): RangeResponse {
    const response = assembleRange(this.#request, { ...extent, kvs: this.#kvs });
    return { ...response, header: this.#header };
  }
}
