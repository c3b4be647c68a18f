/** Writes to a member that is recorded, and what was promised for each of them. */
import { utf8 } from '../../../src/base/bytes.ts';
import type { Random } from '../../../src/base/random.ts';
import {
  CompactionRequest,
  CompactionResponse,
  DeleteRangeRequest,
  DeleteRangeResponse,
  PutRequest,
  PutResponse,
  RequestOp,
  TxnRequest,
  TxnResponse,
} from '../../../src/gen/rpc.ts';
import { KV } from '../../../src/gen/services.ts';
import { GrpcClient } from '../../support/grpc.ts';

/** A key's new value; undefined if it was deleted. */
export interface Change {
  readonly key: string;
  readonly value: string | undefined;
}

/** What one revision changed. */
export interface Revision {
  readonly revision: number;
  readonly changes: readonly Change[];
  /** The answer as it went over the wire. */
  readonly answer: Buffer;
  /** When the client had it, on the wall clock. */
  readonly answeredMs: number;
}

export interface WorkloadOptions {
  readonly random: Random;
  /** Writes altogether. */
  readonly writes: number;
  /** Clients, each of which waits for its answer before it goes on. */
  readonly clients: number;
  readonly valueBytes: { readonly least: number; readonly most: number };
}

const keys = 60;
const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-';

/** The history of one cluster, as its only clients know it. */
export class Workload {
  readonly revisions: Revision[] = [];
  /** Newest revision that was asked to be compacted. */
  compacted = 0;
  #number = 0;

  /** Writes until `writes` are acknowledged; any error is one of the test. */
  async run(address: string, options: WorkloadOptions): Promise<void> {
    let left = options.writes;
    const client = async (compacts: boolean): Promise<void> => {
      const connection = new GrpcClient(address);
      try {
        while (left > 0) {
          left -= 1;
          // One client only, or an older compaction could overtake a newer one.
          if (compacts && options.random.below(8) === 0) {
            await this.#compact(connection, options.random);
          } else {
            await this.#write(connection, options);
          }
        }
      } finally {
        connection.close();
      }
    };
    await Promise.all(Array.from({ length: options.clients }, (_, i) => client(i === 0)));
    this.revisions.sort((a, b) => a.revision - b.revision);
  }

  async #write(client: GrpcClient, options: WorkloadOptions): Promise<void> {
    const { random } = options;
    const kind = random.below(100);
    if (kind < 65) {
      const change = this.#change(options);
      const answer = await client.raw(KV.methods.put.path, PutRequest.encode(putOf(change)));
      this.#note(PutResponse.decode(answer).header?.revision, [change], answer);
    } else if (kind < 80) {
      const count = 2 + random.below(3);
      const changes = Array.from({ length: count }, () => this.#change(options, count));
      const distinct = [...new Map(changes.map((change) => [change.key, change])).values()];
      const success = distinct.map((change) =>
        RequestOp.create({ request: { case: 'requestPut', value: putOf(change) } }),
      );
      const request = TxnRequest.encode(TxnRequest.create({ success }));
      const answer = await client.raw(KV.methods.txn.path, request);
      this.#note(TxnResponse.decode(answer).header?.revision, distinct, answer);
    } else {
      const key = keyOf(random);
      const request = DeleteRangeRequest.encode(DeleteRangeRequest.create({ key: utf8(key) }));
      const answer = await client.raw(KV.methods.deleteRange.path, request);
      const { deleted, header } = DeleteRangeResponse.decode(answer);
      if (deleted > 0) this.#note(header?.revision, [{ key, value: undefined }], answer);
    }
  }

  async #compact(client: GrpcClient, random: Random): Promise<void> {
    const newest = this.revisions.at(-1)?.revision ?? 0;
    const revision = newest - random.below(50);
    if (revision <= this.compacted) return;
    this.compacted = revision;
    const request = CompactionRequest.encode(CompactionRequest.create({ revision }));
    CompactionResponse.decode(await client.raw(KV.methods.compact.path, request));
  }

  #note(revision: number | undefined, changes: readonly Change[], answer: Uint8Array): void {
    this.revisions.push({
      revision: revision ?? 0,
      changes,
      answer: Buffer.from(answer),
      answeredMs: Date.now(),
    });
  }

  /** @param of together they have the length of one value */
  #change({ random, valueBytes }: WorkloadOptions, of = 1): Change {
    const { least, most } = valueBytes;
    const length = Math.ceil((least + random.below(most - least + 1)) / of);
    this.#number += 1;
    return { key: keyOf(random), value: valueOf(`${this.#number}:`, length, random) };
  }
}

function keyOf(random: Random): string {
  return `key ${random.below(keys)}`;
}

/** Text that differs all over, so that no piece of it can stand for another. */
function valueOf(beginning: string, length: number, random: Random): string {
  // Now and then zeros, which a sector that was never written cannot be told from.
  if (random.below(20) === 0) return `${beginning}${'\0'.repeat(length)}`;
  const block = Array.from({ length: 61 }, () => letters[random.below(64)]).join('');
  let value = beginning;
  for (let i = 0; value.length < length; i++) value += `${i}${block}`;
  return value;
}

function putOf({ key, value }: Change): PutRequest {
  return PutRequest.create({ key: utf8(key), value: utf8(value ?? '') });
}

/** A key as it must be at a revision. */
export interface ExpectedKey {
  readonly value: string;
  readonly modRevision: number;
}

/** What the store holds at a revision, given all that came before it. */
export function stateAt(
  revisions: readonly Revision[],
  revision: number,
): ReadonlyMap<string, ExpectedKey> {
  const state = new Map<string, ExpectedKey>();
  for (const { revision: modRevision, changes } of revisions) {
    if (modRevision > revision) break;
    for (const { key, value } of changes) {
      if (value === undefined) state.delete(key);
      else state.set(key, { value, modRevision });
    }
  }
  return state;
}
