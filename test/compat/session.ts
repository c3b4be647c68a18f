/** One server under comparison: sends requests and writes down what came back. */
import { setTimeout as delay } from 'node:timers/promises';
import { emptyBytes, fromLatin1, latin1 } from '../../src/base/bytes.ts';
import { type MethodDefinition, Writer } from '../../src/base/wire.ts';
import type {
  CompactionResponse,
  DeleteRangeRequest,
  DeleteRangeResponse,
  LeaseGrantResponse,
  LeaseTimeToLiveResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
  WatchCreateRequest,
  WatchRequest,
  WatchResponse,
} from '../../src/gen/rpc.ts';
import * as rpc from '../../src/gen/rpc.ts';
import { Auth, KV, Lease, Watch } from '../../src/gen/services.ts';
import { CallError, type CallMetadata, GrpcClient, type MessageStream } from '../support/grpc.ts';

/** An answer as data that compares and prints well. */
export type Plain = string | number | boolean | null | readonly Plain[] | { [key: string]: Plain };

export interface Step {
  readonly label: string;
  readonly outcome: Plain;
}

export interface CallNotes {
  /** Fields whose values are the server's own choice; only whether they are set is compared. */
  readonly mask?: readonly string[];
  readonly metadata?: CallMetadata;
  /** Integer fields added to the request as they are, beyond what a number can hold. */
  readonly integers?: readonly (readonly [field: number, value: bigint])[];
  readonly timeoutMs?: number;
}

const alwaysMasked = ['clusterId', 'memberId', 'raftTerm'];

/** Bytes become text, ids text of digits, masked fields `*` if set. Unset fields are left out. */
export function plainOf(value: unknown, mask: readonly string[]): Plain {
  if (value === undefined || value === null) return null;
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Uint8Array) {
    const text = latin1(value);
    return text.length > 300 ? `${text.slice(0, 100)}… ${text.length} bytes` : text;
  }
  if (Array.isArray(value)) return value.map((one) => plainOf(one, mask));
  if (typeof value === 'object') {
    const result: Record<string, Plain> = {};
    for (const [key, field] of Object.entries(value)) {
      const plain = plainOf(field, mask);
      const isUnset =
        plain === null || plain === '' || plain === 0 || plain === false || plain === '0';
      if (isUnset || (Array.isArray(plain) && plain.length === 0)) continue;
      result[key] = mask.includes(key) || alwaysMasked.includes(key) ? '*' : plain;
    }
    return result;
  }
  return value as Plain;
}

/** Members come in the order of their ids, which are random. */
function withSortedMembers(response: object): object {
  if (!('members' in response)) return response;
  const members = response.members as rpc.MemberListResponse['members'];
  return { ...response, members: members.toSorted((a, b) => (a.name < b.name ? -1 : 1)) };
}

type AnyMethod<Request extends object, Response extends object> = MethodDefinition<
  Request,
  Response
>;

export class Session {
  readonly client: GrpcClient;
  readonly steps: Step[] = [];
  /** Revision of the store when the case began. */
  base = 0;
  readonly #watches: WatchSession[] = [];

  constructor(address: string) {
    this.client = new GrpcClient(address);
  }

  /** Begins a case. */
  async begin(): Promise<void> {
    this.steps.length = 0;
    this.base = await this.revision();
  }

  /** Ends a case: closes what it left open. */
  end(): void {
    for (const watch of this.#watches.splice(0)) watch.cancel();
  }

  close(): void {
    this.end();
    this.client.close();
  }

  note(label: string, outcome: unknown, mask: readonly string[] = []): void {
    this.steps.push({
      label: `${this.steps.length + 1} ${label}`,
      outcome: plainOf(outcome, mask),
    });
  }

  /** The store's revision; not written down. */
  async revision(metadata?: CallMetadata): Promise<number> {
    const request = rpc.RangeRequest.create({ key: fromLatin1('\0'), countOnly: true });
    const options = metadata === undefined ? {} : { metadata };
    const { header } = await this.client.unary(KV.methods.range, request, options);
    return header?.revision ?? 0;
  }

  /**
   * Calls without waiting; whoever awaits the answer later meets the refusal, and nobody has to,
   * as a case may end before.
   */
  begun<Request extends object, Response extends object>(
    method: AnyMethod<Request, Response>,
    request: Request,
  ): Promise<Response> {
    const answer = this.client.unary(method, request);
    answer.catch(() => undefined);
    return answer;
  }

  /** Calls and writes down the answer or the refusal; returns the answer. */
  async call<Request extends object, Response extends object>(
    method: AnyMethod<Request, Response>,
    request: Request,
    notes: CallNotes = {},
  ): Promise<Response | undefined> {
    const { mask = [], integers = [], metadata, timeoutMs } = notes;
    try {
      const response = await this.#send(method, request, integers, {
        ...(metadata === undefined ? {} : { metadata }),
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
      });
      this.note(method.name, withSortedMembers(response), mask);
      return response;
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      this.note(method.name, { code: error.code, details: error.details });
      return undefined;
    }
  }

  async #send<Request extends object, Response extends object>(
    method: AnyMethod<Request, Response>,
    request: Request,
    integers: NonNullable<CallNotes['integers']>,
    options: { metadata?: CallMetadata; timeoutMs?: number },
  ): Promise<Response> {
    if (integers.length === 0) return this.client.unary(method, request, options);
    const writer = new Writer();
    writer.raw(method.request.encode(request));
    for (const [field, value] of integers) writer.bigint(field * 8, value);
    const bytes = await this.client.raw(method.path, writer.finish(), options.metadata);
    return method.response.decode(bytes);
  }

  range(request: RangeRequest, notes?: CallNotes): Promise<RangeResponse | undefined> {
    return this.call(KV.methods.range, request, notes);
  }

  put(request: PutRequest, notes?: CallNotes): Promise<PutResponse | undefined> {
    return this.call(KV.methods.put, request, notes);
  }

  del(request: DeleteRangeRequest, notes?: CallNotes): Promise<DeleteRangeResponse | undefined> {
    return this.call(KV.methods.deleteRange, request, notes);
  }

  txn(request: TxnRequest, notes?: CallNotes): Promise<TxnResponse | undefined> {
    return this.call(KV.methods.txn, request, notes);
  }

  compact(revision: number, physical = false): Promise<CompactionResponse | undefined> {
    return this.call(KV.methods.compact, { revision, physical });
  }

  grant(id: bigint, ttl: number, notes?: CallNotes): Promise<LeaseGrantResponse | undefined> {
    return this.call(Lease.methods.leaseGrant, { id, ttl }, notes);
  }

  revoke(id: bigint, notes?: CallNotes): Promise<object | undefined> {
    return this.call(Lease.methods.leaseRevoke, { id }, notes);
  }

  /** The remaining time is compared as set, unset or negative only. */
  async timeToLive(id: bigint, keys: boolean, metadata?: CallMetadata): Promise<void> {
    const { leaseTimeToLive } = Lease.methods;
    try {
      const response: LeaseTimeToLiveResponse = await this.client.unary(
        leaseTimeToLive,
        { id, keys },
        metadata === undefined ? {} : { metadata },
      );
      const sorted = response.keys.toSorted((a, b) => Buffer.compare(a, b));
      this.note('LeaseTimeToLive', { ...response, keys: sorted, ttl: Math.sign(response.ttl) });
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      this.note('LeaseTimeToLive', { code: error.code, details: error.details });
    }
  }

  /** Logs in and returns the metadata that proves it. */
  async login(name: string, password: string): Promise<CallMetadata> {
    const answer = await this.call(
      Auth.methods.authenticate,
      { name, password },
      { mask: ['token'] },
    );
    return { token: answer?.token ?? '' };
  }

  watch(metadata?: CallMetadata): WatchSession {
    const stream = this.client.bidirectional(
      Watch.methods.watch,
      metadata === undefined ? {} : { metadata },
    );
    const watch = new WatchSession(this, stream);
    this.#watches.push(watch);
    return watch;
  }

  sleep(ms: number): Promise<void> {
    return delay(ms);
  }
}

type CreateFields = {
  [K in keyof WatchCreateRequest]?: WatchCreateRequest[K] extends Uint8Array
    ? string
    : WatchCreateRequest[K];
};

/** One watch stream of a case. */
export class WatchSession {
  readonly #session: Session;
  readonly #stream: MessageStream<WatchRequest, WatchResponse>;

  constructor(session: Session, stream: MessageStream<WatchRequest, WatchResponse>) {
    this.#session = session;
    this.#stream = stream;
  }

  create(fields: CreateFields): void {
    const value = rpc.WatchCreateRequest.create({
      ...fields,
      key: fields.key === undefined ? emptyBytes : fromLatin1(fields.key),
      rangeEnd: fields.rangeEnd === undefined ? emptyBytes : fromLatin1(fields.rangeEnd),
    });
    this.#stream.send({ requestUnion: { case: 'createRequest', value } });
  }

  /** Creates a watch and writes down the confirmation. */
  async created(fields: CreateFields): Promise<WatchResponse | undefined> {
    this.create(fields);
    return this.take();
  }

  cancelWatch(watchId: number): void {
    this.#stream.send({ requestUnion: { case: 'cancelRequest', value: { watchId } } });
  }

  requestProgress(): void {
    this.#stream.send({ requestUnion: { case: 'progressRequest', value: {} } });
  }

  sendNothing(): void {
    this.#stream.send({ requestUnion: undefined });
  }

  end(): void {
    this.#stream.end();
  }

  cancel(): void {
    this.#stream.cancel();
  }

  /** Writes down the next response, the end or the failure of the stream. */
  async take(mask: readonly string[] = []): Promise<WatchResponse | undefined> {
    try {
      const response = await this.#stream.next(8000);
      this.#session.note('WatchResponse', response ?? 'end', mask);
      return response;
    } catch (error) {
      const outcome =
        error instanceof CallError ? { code: error.code, details: error.details } : String(error);
      this.#session.note('WatchResponse', outcome);
      return undefined;
    }
  }

  async takeMany(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.take();
  }

  /** Writes down responses by their watch ids: watches of one stream are in no order. */
  async takeUnordered(count: number): Promise<void> {
    const responses: WatchResponse[] = [];
    for (let i = 0; i < count; i++) {
      const response = await this.#stream.next(8000).catch(() => undefined);
      if (response !== undefined) responses.push(response);
    }
    const order = (a: WatchResponse, b: WatchResponse): number =>
      a.watchId - b.watchId || (a.header?.revision ?? 0) - (b.header?.revision ?? 0);
    this.#session.note('WatchResponses', responses.toSorted(order));
  }

  /** Gathers events until there are `count`, however they were divided among responses. */
  async events(count: number): Promise<void> {
    const events: WatchResponse['events'][number][] = [];
    try {
      while (events.length < count) {
        const response = await this.#stream.next(8000);
        if (response === undefined || response.canceled) {
          this.#session.note('end of events', response ?? 'end');
          break;
        }
        events.push(...response.events);
      }
    } catch (error) {
      this.#session.note('events', String(error));
    }
    this.#session.note('events', events);
  }

  /** Writes down that nothing came for a while, or what came. */
  async silence(ms = 300): Promise<void> {
    const message = await this.#stream.tryNext(ms).catch((error: unknown) => String(error));
    this.#session.note('silence', message ?? 'end');
  }
}
