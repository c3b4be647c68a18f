/** Random requests over a small space of keys, leases and revisions, so that they meet. */
import { SeededRandom } from '../../src/base/random.ts';
import type {
  Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
  WatchCreateRequest,
} from '../../src/gen/rpc.ts';
import * as rpc from '../../src/gen/rpc.ts';
import { fromLatin1 } from '../../src/base/bytes.ts';
import {
  type ComparisonSign,
  type ComparisonTarget,
  compare,
  del,
  opDelete,
  opPut,
  opRange,
  opTxn,
  put,
  range,
  txn,
} from './messages.ts';

export type Operation =
  | { readonly kind: 'put'; readonly request: PutRequest }
  | { readonly kind: 'range'; readonly request: RangeRequest }
  | { readonly kind: 'deleteRange'; readonly request: DeleteRangeRequest }
  | { readonly kind: 'txn'; readonly request: TxnRequest }
  | { readonly kind: 'grant'; readonly id: bigint; readonly ttl: number }
  | { readonly kind: 'revoke'; readonly id: bigint }
  | { readonly kind: 'timeToLive'; readonly id: bigint; readonly keys: boolean }
  | { readonly kind: 'leases' }
  | { readonly kind: 'compact'; readonly revision: number; readonly physical: boolean }
  | { readonly kind: 'watch'; readonly request: WatchCreateRequest }
  | { readonly kind: 'cancel'; readonly watchId: number };

/** Ten keys below `b`, where sorting with ties is the same everywhere, and others around them. */
const fewKeys = ['a', 'a\0', 'a\0\0', 'a1', 'a2', 'aa', 'ab', 'a\x7f', 'a\x80', 'a\xff'];
const keys = [
  ...fewKeys,
  'b',
  'ba',
  'bb',
  'c',
  'd',
  'e',
  'k1',
  'k2',
  'k3',
  '\0',
  '\x01',
  '\xff',
  '\xff\xff',
];
const values = ['', '0', '1', '2', 'x', 'yy', 'zzz', '\0\xff', 'v'.repeat(300)];
const leases = [1n, 2n, 3n, 4n, 77n, -5n];
const leaseTtlSeconds = 5000;
const watchIdsMax = 16;

/** What the generator must know of the store to aim near its edges. */
export interface Position {
  readonly revision: number;
  readonly compacted: number;
  /** Ids of watches that are open. */
  readonly watches: readonly number[];
  readonly nextWatchId: number;
}

export class OperationSource {
  readonly #random: SeededRandom;

  readonly #hasLeases: boolean;

  constructor(seed: number, { hasLeases }: { hasLeases: boolean }) {
    this.#random = new SeededRandom(seed);
    this.#hasLeases = hasLeases;
  }

  next(position: Position): Operation {
    const dice = this.#random.below(1000);
    if (dice < 330) return { kind: 'put', request: this.#put() };
    if (dice < 620) return { kind: 'range', request: this.#range(position) };
    if (dice < 840) return { kind: 'txn', request: this.#txn(position, 0) };
    if (dice < 900) return { kind: 'deleteRange', request: this.#deleteRange() };
    if (dice < 970 && !this.#hasLeases) return { kind: 'put', request: this.#put() };
    if (dice < 930) return { kind: 'grant', id: this.#pick(leases), ttl: leaseTtlSeconds };
    if (dice < 945) return { kind: 'revoke', id: this.#pick(leases) };
    if (dice < 965) return { kind: 'timeToLive', id: this.#pick(leases), keys: this.#chance(0.7) };
    if (dice < 970) return { kind: 'leases' };
    if (dice < 976) return this.#compact(position);
    if (dice < 990 || position.watches.length === 0) return this.#watch(position);
    return { kind: 'cancel', watchId: this.#pick(position.watches) };
  }

  #chance(probability: number): boolean {
    return this.#random.next() < probability;
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#random.below(list.length)] as T;
  }

  /** A single key, a range between two keys, all from a key on, or everything. */
  #bounds(): { key: string; rangeEnd: string } {
    const key = this.#pick(keys);
    const dice = this.#random.below(10);
    if (dice < 4) return { key, rangeEnd: '' };
    if (dice < 8) return { key, rangeEnd: this.#pick(keys) };
    if (dice < 9) return { key, rangeEnd: '\0' };
    return { key: '\0', rangeEnd: '\0' };
  }

  #revision({ revision, compacted }: Position): number {
    const dice = this.#random.below(20);
    if (dice < 12) return 0;
    if (dice === 12) return revision + 1;
    if (dice === 13) return compacted - 1;
    if (dice === 14) return compacted;
    return compacted + this.#random.below(revision - compacted + 1);
  }

  #put(): PutRequest {
    const ignoreValue = this.#chance(0.05);
    const ignoreLease = this.#chance(0.05);
    return put({
      key: this.#chance(0.01) ? '' : this.#pick(keys),
      value: ignoreValue && this.#chance(0.8) ? '' : this.#pick(values),
      lease: this.#chance(ignoreLease ? 0.1 : 0.15) ? this.#pick(leases) : 0n,
      prevKv: this.#chance(0.4),
      ignoreValue,
      ignoreLease,
    });
  }

  #deleteRange(): DeleteRangeRequest {
    const bounds = this.#chance(0.7) ? { key: this.#pick(keys), rangeEnd: '' } : this.#bounds();
    return del({ ...bounds, prevKv: this.#chance(0.5) });
  }

  #range(position: Position): RangeRequest {
    const bound = (): number => (this.#chance(0.1) ? this.#revision(position) : 0);
    const options = {
      revision: this.#revision(position),
      serializable: this.#chance(0.3),
      keysOnly: this.#chance(0.15),
      countOnly: this.#chance(0.1),
      minModRevision: bound(),
      maxModRevision: bound(),
      minCreateRevision: bound(),
      maxCreateRevision: bound(),
    };
    if (this.#chance(0.3)) {
      return range({
        ...options,
        key: 'a',
        rangeEnd: 'b',
        limit: this.#random.below(12),
        sortOrder: this.#random.below(3) as 0,
        sortTarget: this.#random.below(5) as 0,
      });
    }
    const sortOrder = (this.#chance(0.2) ? this.#random.below(3) : 0) as 0;
    return range({ ...options, ...this.#bounds(), limit: this.#random.below(4) * 3, sortOrder });
  }

  #compare(position: Position): Compare {
    const targets = ['version', 'createRevision', 'modRevision', 'value', 'lease'] as const;
    const target: ComparisonTarget = this.#pick(targets);
    const sign: ComparisonSign = this.#pick(['=', '>', '<', '!=']);
    const { key, rangeEnd } = this.#chance(0.2)
      ? this.#bounds()
      : { key: this.#pick(keys), rangeEnd: '' };
    const end = rangeEnd === '' ? undefined : rangeEnd;
    switch (target) {
      case 'version':
        return compare(key, target, sign, this.#random.below(4), end);
      case 'value':
        return compare(key, target, sign, this.#pick(values), end);
      case 'lease':
        return compare(key, target, sign, this.#chance(0.5) ? 0n : this.#pick(leases), end);
      default: {
        const near = position.revision - this.#random.below(60);
        return compare(key, target, sign, this.#chance(0.3) ? 0 : near, end);
      }
    }
  }

  #txn(position: Position, depth: number): TxnRequest {
    const list = <T>(max: number, make: () => T): T[] =>
      Array.from({ length: this.#random.below(max + 1) }, make);
    return txn({
      compare: list(2, () => this.#compare(position)),
      success: list(3, () => this.#operation(position, depth)),
      failure: list(3, () => this.#operation(position, depth)),
    });
  }

  #operation(position: Position, depth: number): RequestOp {
    const dice = this.#random.below(20);
    // etcd ends with a panic if an earlier operation of the transaction deleted the key.
    const whole = { ignoreValue: false, ignoreLease: false };
    if (dice < 8) return opPut({ ...textOf(this.#put()), ...whole });
    if (dice < 13) return opRange(textOf(this.#range(position)));
    if (dice < 16) return opDelete(textOf(this.#deleteRange()));
    if (dice < 19 && depth < 3) return opTxn(this.#txn(position, depth + 1));
    return opRange({ key: this.#pick(keys) });
  }

  #compact({ revision, compacted }: Position): Operation {
    const dice = this.#random.below(10);
    const physical = this.#chance(0.3);
    if (dice === 0) return { kind: 'compact', revision: revision + 1, physical };
    if (dice === 1) return { kind: 'compact', revision: compacted, physical };
    const behind = this.#random.below(revision - compacted + 1);
    return { kind: 'compact', revision: compacted + behind, physical };
  }

  #watch(position: Position): Operation {
    if (position.watches.length >= watchIdsMax) {
      return { kind: 'cancel', watchId: this.#pick(position.watches) };
    }
    let { key, rangeEnd } = this.#bounds();
    // An empty range would be refused, which the scripted cases cover.
    while (rangeEnd !== '' && rangeEnd !== '\0' && key >= rangeEnd) {
      ({ key, rangeEnd } = this.#bounds());
    }
    const dice = this.#random.below(10);
    const { revision, compacted } = position;
    // A deletion at the compacted revision itself is gone in some versions of etcd.
    const startRevision =
      dice < 4
        ? 0
        : dice < 5
          ? revision + this.#random.below(20)
          : dice < 6 && compacted > 3
            ? compacted - 1 - this.#random.below(3)
            : compacted + 1 + this.#random.below(revision - compacted + 1);
    return {
      kind: 'watch',
      request: rpc.WatchCreateRequest.create({
        key: fromLatin1(key),
        rangeEnd: fromLatin1(rangeEnd),
        startRevision,
        prevKv: this.#chance(0.5),
        filters: this.#chance(0.2) ? [this.#random.below(2) as 0] : [],
        watchId: position.nextWatchId,
      }),
    };
  }
}

/** The request with its bytes as text, as the short forms take it. */
function textOf(request: object): Record<string, never> {
  const entries = Object.entries(request).map(
    ([name, value]: [string, unknown]): [string, unknown] => [
      name,
      value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value,
    ],
  );
  return Object.fromEntries(entries) as Record<string, never>;
}
