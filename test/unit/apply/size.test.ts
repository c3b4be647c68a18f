import { describe, expect, test } from 'vitest';
import { Applier, executeReadOnlyTxn } from '../../../src/apply/applier.ts';
import { type Command, encodeCommand } from '../../../src/apply/request.ts';
import { atomicAnswerLimitBytes } from '../../../src/apply/txn.ts';
import type { RangeQuery, RangeResult } from '../../../src/apply/reader.ts';
import {
  Compare,
  CompareResult,
  CompareTarget,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  type RequestOp,
  TxnRequest,
} from '../../../src/gen/rpc.ts';
import type { Store } from '../../../src/mvcc/store.ts';
import { ManualClock, MapBackend, openStore } from '../mvcc/fakes.ts';
import { stateOf } from './fakes.ts';

const valueBytes = 1024 * 1024;
const tooMany = Math.ceil(atomicAnswerLimitBytes / valueBytes);
const bounds = { key: Buffer.from('k'), rangeEnd: Buffer.from('l') };
const everything: RequestOp = {
  request: { case: 'requestRange', value: RangeRequest.create(bounds) },
};
const put: RequestOp = {
  request: { case: 'requestPut', value: PutRequest.create({ key: Buffer.from('other') }) },
};

function filled(keys: number, size: number): Store {
  const store = openStore({ backend: new MapBackend(), clock: new ManualClock() });
  const txn = store.begin();
  for (let i = 0; i < keys; i++) txn.put(`k${i}`, new Uint8Array(size), 0n);
  txn.end();
  return store;
}

function apply(store: Store, command: Command): string | undefined {
  const applier = new Applier(stateOf(store));
  return applier.apply(encodeCommand(1n, command))?.outcome.error?.reason;
}

describe('what one turn may read', () => {
  test('is limited for a txn, which then changes nothing', () => {
    const store = filled(tooMany, valueBytes);
    const { revision } = store;
    const txn = TxnRequest.create({ success: [put, everything] });
    expect(apply(store, { case: 'txn', value: txn })).toBe('answerTooLarge');
    const nested: RequestOp = { request: { case: 'requestTxn', value: txn } };
    const outer = TxnRequest.create({ success: [nested] });
    expect(apply(store, { case: 'txn', value: outer })).toBe('answerTooLarge');
    expect(store.revision).toBe(revision);
    const reading = TxnRequest.create({ success: [everything] });
    expect(() => executeReadOnlyTxn(store, reading)).toThrow('answer is too large');
  });

  test('is limited for all ranges of a txn together', () => {
    const store = filled(tooMany / 4, valueBytes);
    const three = TxnRequest.create({ success: [everything, everything, everything] });
    expect(executeReadOnlyTxn(store, three).responses).toHaveLength(3);
    const five = TxnRequest.create({ success: Array<RequestOp>(5).fill(everything) });
    expect(() => executeReadOnlyTxn(store, five)).toThrow('answer is too large');
  });

  test('is limited for a delete that asks for what it deletes', () => {
    const store = filled(tooMany, valueBytes);
    const asking = DeleteRangeRequest.create({ ...bounds, prevKv: true });
    expect(apply(store, { case: 'deleteRange', value: asking })).toBe('answerTooLarge');
    expect(store.keyCount).toBe(tooMany);
    const silent = DeleteRangeRequest.create(bounds);
    expect(apply(store, { case: 'deleteRange', value: silent })).toBeUndefined();
    expect(store.keyCount).toBe(0);
  });

  test('is limited for a compare of a range, which goes on in parts', () => {
    const store = filled(2500, 4000);
    let mostAtOnce = 0;
    const reader = {
      revision: store.revision,
      compactedRevision: store.compactedRevision,
      begin: () => store.begin(),
      compact: (revision: number) => store.compact(revision),
      range: (query: RangeQuery): RangeResult => {
        const result = store.range(query);
        mostAtOnce = Math.max(mostAtOnce, result.kvs.length);
        return result;
      },
    };
    const succeeds = (version: number): boolean => {
      const compare = Compare.create({
        ...bounds,
        result: CompareResult.equal,
        target: CompareTarget.version,
        targetUnion: { case: 'version', value: version },
      });
      return executeReadOnlyTxn(reader, TxnRequest.create({ compare: [compare] })).succeeded;
    };
    expect(succeeds(1)).toBe(true);
    expect(succeeds(2)).toBe(false);
    // The very last key makes the difference.
    const txn = store.begin();
    txn.put('k999', new Uint8Array(0), 0n);
    txn.end();
    expect(succeeds(1)).toBe(false);
    expect(mostAtOnce).toBeLessThanOrEqual(1000);
  });
});
