/** What clients ask: small requests of all kinds over few keys, each write with its own value. */
import { fromUtf8, utf8 } from '../../src/base/bytes.ts';
import type { SeededRandom } from '../../src/base/random.ts';
import { compare, op } from '../../src/client/index.ts';
import {
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  type RequestOp,
  TxnRequest,
} from '../../src/gen/rpc.ts';
import type { Answer, Call } from '../check/history.ts';

const keyCount = 8;
/** How far back reads of old revisions go. */
const pastRevisions = 200;

export const keyPrefix = utf8('k');
export const keyPrefixEnd = utf8('l');

type Maker = (client: OperationMaker) => Call;

/** Shares of a hundred. */
const mix: readonly (readonly [share: number, make: Maker])[] = [
  [30, (client) => ({ kind: 'put', request: client.put() })],
  [16, (client) => client.read({ serializable: false })],
  [10, (client) => client.read({ serializable: true })],
  [8, (client) => client.readAll({ serializable: false })],
  [4, (client) => client.readAll({ serializable: true })],
  [4, (client) => client.readPast()],
  [8, (client) => client.remove()],
  [12, (client) => client.compareAndSet()],
  [4, (client) => client.putTwo()],
  [4, (client) => client.readTogether()],
];

/** Makes the requests of one client; remembers what the client has seen. */
export class OperationMaker {
  readonly #client: string;
  readonly #random: SeededRandom;
  readonly #seen = new Map<string, number>();
  #revision = 1;
  #count = 0;

  constructor(client: string, random: SeededRandom) {
    this.#client = client;
    this.#random = random;
  }

  next(): Call {
    let rest = this.#random.below(100);
    for (const [share, make] of mix) {
      if (rest < share) return make(this);
      rest -= share;
    }
    throw new Error('the shares do not add up to a hundred');
  }

  /** Learns revisions from an answer, so that some comparisons hold. */
  learn(answer: Answer): void {
    this.#revision = Math.max(this.#revision, answer.header?.revision ?? 0);
    if (!('kvs' in answer)) return;
    for (const { key, modRevision } of answer.kvs) this.#seen.set(fromUtf8(key), modRevision);
  }

  put(key = this.#key()): PutRequest {
    const value = utf8(`${this.#client}-${++this.#count}`);
    return PutRequest.create({ key: utf8(key), value, prevKv: this.#random.below(4) === 0 });
  }

  read({ serializable }: { serializable: boolean }): Call {
    return {
      kind: 'range',
      request: RangeRequest.create({ key: utf8(this.#key()), serializable }),
    };
  }

  readAll({ serializable }: { serializable: boolean }): Call {
    const limit = this.#random.below(4) === 0 ? 1 + this.#random.below(keyCount) : 0;
    const range = { key: keyPrefix, rangeEnd: keyPrefixEnd };
    return { kind: 'range', request: RangeRequest.create({ ...range, serializable, limit }) };
  }

  readPast(): Call {
    const revision = Math.max(1, this.#revision - this.#random.below(pastRevisions));
    const range = { key: keyPrefix, rangeEnd: keyPrefixEnd };
    return { kind: 'range', request: RangeRequest.create({ ...range, revision }) };
  }

  remove(): Call {
    const first = this.#random.below(keyCount);
    const prevKv = this.#random.below(2) === 0;
    const key = utf8(`k${first}`);
    const rangeEnd = this.#random.below(4) === 0 ? utf8(`k${first + 2}`) : new Uint8Array(0);
    return { kind: 'deleteRange', request: DeleteRangeRequest.create({ key, rangeEnd, prevKv }) };
  }

  compareAndSet(): Call {
    const key = this.#key();
    const seen = this.#seen.get(key) ?? 0;
    const success: RequestOp[] = [op.put(this.put(key))];
    if (this.#random.below(3) === 0) success.push(op.range({ key }));
    const otherwise = this.#random.below(4) === 0 ? op.delete({ key }) : op.range({ key });
    return this.#txn({
      compare: [compare.modRevision(key, '=', seen)],
      success,
      failure: [otherwise],
    });
  }

  putTwo(): Call {
    const first = this.#random.below(keyCount);
    const second = (first + 1 + this.#random.below(keyCount - 1)) % keyCount;
    return this.#txn({
      success: [op.put(this.put(`k${first}`)), op.put(this.put(`k${second}`))],
    });
  }

  readTogether(): Call {
    const serializable = this.#random.below(3) === 0;
    return this.#txn({
      success: [
        op.range({ key: this.#key(), serializable }),
        op.range({ key: keyPrefix, rangeEnd: keyPrefixEnd, serializable }),
      ],
    });
  }

  #txn(request: Partial<TxnRequest>): Call {
    return { kind: 'txn', request: TxnRequest.create(request) };
  }

  #key(): string {
    return `k${this.#random.below(keyCount)}`;
  }
}
