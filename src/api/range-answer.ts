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

/** A store, or one of its revisions. */
export type RangeSource = Pick<Pin, 'range' | 'copyRange'>;

export interface RangeAnswer {
  /** All that is to be read. */
  readonly query: RangeQuery;
  /** Of the key values so far. */
  readonly sizeBytes: number;
  /** Memory that it takes. */
  readonly heldBytes: number;
  /** Reads a slice, and keeps what the answer needs of it. */
  read(source: RangeSource, query: RangeQuery): RangeExtent;
  /** Others may be made between the first slice and the rest, about `share` of which is read. */
  pause(share: number): void;
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
/** Memory that is taken for the rest of an answer on the word of its first slice. */
const roomBytesMax = 32 * 1024 * 1024;
/** Beyond what the rest would take if it were like the first slice. */
const roomShare = 1.1;

class CopiedAnswer implements RangeAnswer {
  readonly query: RangeQuery;
  readonly #header: ResponseHeader;
  #writer = sharedWriter.reset();
  readonly #sink: KeyValueSink = (source, start, end) => {
    this.#writer.part(kvsTag, source, start, end);
  };

  constructor(request: RangeRequest, header: ResponseHeader) {
    // The count tells whether there are more.
    this.query = { ...rangeQuery(request), limit: Math.max(request.limit, 0) };
    this.#header = header;
    writeRangeResponse(this.#writer, { header, kvs: [], more: false, count: 0 });
  }

  get sizeBytes(): number {
    return this.#writer.sizeBytes;
  }

  get heldBytes(): number {
    return this.sizeBytes;
  }

  read(source: RangeSource, query: RangeQuery): RangeExtent {
    return source.copyRange(query, this.#sink);
  }

  pause(share: number): void {
    const bytes = this.#writer.finish();
    this.#writer = new Writer(Math.min((roomShare * bytes.length) / share, roomBytesMax));
    this.#writer.raw(bytes);
  }

  finish({ count }: RangeExtent): RangeResponse {
    const { limit } = this.query;
    const more = limit > 0 && count > limit;
    writeRangeResponse(this.#writer, { header: undefined, kvs: [], more, count });
    return new EncodedRangeResponse(this.#header, more, count, this.#writer.finish());
  }
}

/** Decoded only for who asks for its key values. */
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
  sizeBytes = 0;

  constructor(request: RangeRequest, header: ResponseHeader) {
    this.query = rangeQuery(request);
    this.#request = request;
    this.#header = header;
  }

  get heldBytes(): number {
    return this.sizeBytes + this.#kvs.length * keyValueOverheadBytes;
  }

  read(source: RangeSource, query: RangeQuery): RangeExtent {
    const result = source.range(query);
    for (const kv of reducePart(this.#request, result.kvs)) {
      this.#kvs.push(kv);
      this.sizeBytes += keyValueBytes(kv);
    }
    return result;
  }

  pause(): void {}

  finish(extent: RangeExtent): RangeResponse {
    const response = assembleRange(this.#request, { ...extent, kvs: this.#kvs });
    return { ...response, header: this.#header };
  }
}
