/** The KV service (etcd: api/v3rpc/key.go). */
import { executeReadOnlyTxn, type Outcome, type StateStore } from '../apply/applier.ts';
import { checkDeleteRange, checkPut, checkRange, checkTxn } from '../apply/check.ts';
import type { Clock } from '../base/clock.ts';
import type { Command } from '../apply/request.ts';
import { isReadOnly, isSerializable } from '../apply/txn.ts';
import type {
  CompactionRequest,
  CompactionResponse,
  DeleteRangeRequest,
  DeleteRangeResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  RangeStreamResponse,
  ResponseHeader,
  TxnRequest,
  TxnResponse,
} from '../gen/rpc.ts';
import type { CallContext } from './handler.ts';
import { header, type HeaderSource } from './header.ts';
import { checkRangeStream, rangeStream } from './range-stream.ts';
import { type PinnableReader, slicedRange } from './sliced-range.ts';
import { Turns } from './turns.ts';

export interface KvBackend {
  readonly clock: Clock;
  readonly headerSource: HeaderSource;
  readonly store: StateStore & PinnableReader;
  readonly txnOperationsLimit: number;
  readonly requestLimitBytes: number;
  request(command: Command): Promise<Outcome>;
  linearizableRead(): Promise<void>;
  /** Resolves once compaction has removed what it can below `revision`, durably. */
  whenCompacted(revision: number): Promise<void>;
}

export class KvService {
  readonly #backend: KvBackend;
  readonly #turns: Turns;

  constructor(backend: KvBackend) {
    this.#backend = backend;
    this.#turns = new Turns(backend.clock);
  }

  async range(request: RangeRequest, { memory }: CallContext): Promise<RangeResponse> {
    checkRange(request);
    if (!request.serializable) await this.#backend.linearizableRead();
    const options = { header: this.#fill(undefined), turns: this.#turns, memory };
    return await slicedRange(this.#backend.store, request, options);
  }

  async *rangeStream(request: RangeRequest): AsyncGenerator<RangeStreamResponse> {
    checkRangeStream(request);
    if (!request.serializable) await this.#backend.linearizableRead();
    yield* rangeStream(request, {
      reader: this.#backend.store,
      turns: this.#turns,
      chunkSizeBytes: this.#backend.requestLimitBytes,
      fill: (partial) => this.#fill(partial),
    });
  }

  async put(request: PutRequest): Promise<PutResponse> {
    checkPut(request);
    return await this.#write<PutResponse>({ case: 'put', value: request });
  }

  async deleteRange(request: DeleteRangeRequest): Promise<DeleteRangeResponse> {
    checkDeleteRange(request);
    return await this.#write<DeleteRangeResponse>({
      case: 'deleteRange',
      value: request,
    });
  }

  async txn(request: TxnRequest): Promise<TxnResponse> {
    checkTxn(request, this.#backend.txnOperationsLimit);
    if (!isReadOnly(request)) {
      return await this.#write<TxnResponse>({ case: 'txn', value: request });
    }
    if (!isSerializable(request)) await this.#backend.linearizableRead();
    const response = executeReadOnlyTxn(this.#backend.store, request);
    return { ...response, header: this.#fill(response.header) };
  }

  async compact(request: CompactionRequest): Promise<CompactionResponse> {
    const response = await this.#write<CompactionResponse>({
      case: 'compaction',
      value: request,
    });
    if (request.physical) await this.#backend.whenCompacted(request.revision);
    return response;
  }

  async #write<Response extends { readonly header: ResponseHeader | undefined }>(
    command: Command,
  ): Promise<Response> {
    const { response } = await this.#backend.request(command);
    return { ...(response as Response), header: this.#fill(response?.header) };
  }

  #fill(partial: ResponseHeader | undefined): ResponseHeader {
    return header(this.#backend.headerSource, partial?.revision);
  }
}
