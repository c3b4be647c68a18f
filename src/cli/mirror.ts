/** Copies keys of one cluster to another one, and follows their changes. */
import { concatBytes } from '../base/bytes.ts';
import type { Client } from '../client/index.ts';
import { type Bytes, bytesOf, prefixRange } from '../client/range-end.ts';
import { type Event, EventType, type KeyValue } from '../gen/kv.ts';
import { DeleteRangeRequest, PutRequest, type RequestOp } from '../gen/rpc.ts';

/** Keys that are read at a time; etcd's. */
const pageKeys = 1000;
/** Keys that are written at the same time: they are of one revision, so that order is no matter. */
const writesMax = 32;
/** A revision is asked for with this key if there is no prefix; it need not exist. */
const anyKey = 'foo';

/** The cluster that is written to. */
export interface Destination {
  put(key: Uint8Array, value: Uint8Array): Promise<unknown>;
  txn(request: { readonly success: readonly RequestOp[] }): Promise<unknown>;
}

export interface MirrorOptions {
  /** The keys that are mirrored begin with it; empty for all. */
  readonly prefix: Bytes;
  /** What stands in its place in the destination. */
  readonly destinationPrefix: Bytes;
  /** What was before this revision is there already; 0 if nothing is. */
  readonly startRevision: number;
  /** The most operations of a transaction; 0 for no limit but that of the destination. */
  readonly txnOpsMax: number;
}

export class Mirror {
  readonly #source: Client;
  readonly #destination: Destination;
  readonly #options: MirrorOptions;
  readonly #prefix: Uint8Array;
  readonly #destinationPrefix: Uint8Array;
  #total = 0;

  constructor(source: Client, destination: Destination, options: MirrorOptions) {
    this.#source = source;
    this.#destination = destination;
    this.#options = options;
    this.#prefix = bytesOf(options.prefix);
    this.#destinationPrefix = bytesOf(options.destinationPrefix);
  }

  /** How many puts and deletes were mirrored. */
  get total(): number {
    return this.#total;
  }

  /**
   * Goes on until one of the clusters refuses.
   *
   * @throws ClientError what it says
   */
  async run(): Promise<never> {
    const { startRevision } = this.#options;
    const followed = startRevision > 1 ? startRevision : (await this.#copyAll()) + 1;
    const range = prefixRange(this.#prefix);
    const watcher = this.#source.watch({ ...range, startRevision: followed });
    for await (const { events } of watcher) await this.#apply(events);
    throw new Error('the watch has ended');
  }

  /** Copies what is there now; returns the revision of that. */
  async #copyAll(): Promise<number> {
    const key = this.#prefix.length === 0 ? anyKey : this.#prefix;
    const { header } = await this.#source.range({ key, countOnly: true });
    const revision = header?.revision ?? 0;
    const range = prefixRange(this.#prefix);
    for (let from = range.key; ;) {
      const request = { key: from, rangeEnd: range.rangeEnd, limit: pageKeys, revision };
      const { kvs, more } = await this.#source.range(request);
      await this.#putAll(kvs);
      const last = kvs.at(-1);
      if (!more || last === undefined) return revision;
      from = concatBytes([last.key, Uint8Array.of(0)]);
    }
  }

  async #putAll(kvs: readonly KeyValue[]): Promise<void> {
    for (let at = 0; at < kvs.length; at += writesMax) {
      const some = kvs.slice(at, at + writesMax);
      await Promise.all(
        some.map(({ key, value }) => this.#destination.put(this.#renamed(key), value)),
      );
      this.#total += some.length;
    }
  }

  /** What was done at once is done at once, unless it is too much for that. */
  async #apply(events: readonly Event[]): Promise<void> {
    let operations: RequestOp[] = [];
    let revision = 0;
    const commit = async (): Promise<void> => {
      if (operations.length > 0) await this.#destination.txn({ success: operations });
      this.#total += operations.length;
      operations = [];
    };
    for (const event of events) {
      const next = event.kv?.modRevision ?? 0;
      const isFull = operations.length === this.#options.txnOpsMax;
      if (next !== revision || isFull) await commit();
      revision = next;
      operations.push(this.#operation(event));
    }
    await commit();
  }

  #operation({ type, kv }: Event): RequestOp {
    const key = this.#renamed(kv?.key ?? new Uint8Array());
    if (type === EventType.delete) {
      const value = DeleteRangeRequest.create({ key });
      return { request: { case: 'requestDeleteRange', value } };
    }
    const value = PutRequest.create({ key, value: kv?.value ?? new Uint8Array() });
    return { request: { case: 'requestPut', value } };
  }

  #renamed(key: Uint8Array): Uint8Array {
    return concatBytes([this.#destinationPrefix, key.subarray(this.#prefix.length)]);
  }
}
