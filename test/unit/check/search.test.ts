import { describe, expect, test } from 'vitest';
import { utf8 } from '../../../src/base/bytes.ts';
import type { RangeResponse, TxnResponse } from '../../../src/gen/rpc.ts';
import type { History, Operation, Outcome } from '../../check/history.ts';
import { header } from '../../check/model-requests.ts';
import { searchLinearizable } from '../../check/search.ts';
import { get, getAll, put, remove, txn, valueIs, versionIs } from './calls.ts';
import { answeredWith, answerOf, type Circumstances, Recording, replaced } from './recording.ts';

/** Without revisions, which the search must not need. */
function blind(history: History): History {
  const operations = history.operations.map((operation) =>
    operation.outcome.kind === 'answered'
      ? answeredWith(operation, { header: header(1) })
      : operation,
  );
  return { ...history, operations };
}

function rules(history: History, stepsLimit?: number): string[] {
  const options = stepsLimit === undefined ? {} : { stepsLimit };
  const found = searchLinearizable(history, options).map(({ rule }) => rule);
  const blindly = searchLinearizable(blind(history), options).map(({ rule }) => rule);
  if (stepsLimit === undefined) expect(blindly).toEqual(found);
  return found;
}

/** A read of `a` that was answered as if it had run at a revision. */
function readAt(recording: Recording, revision: number, circumstances: Circumstances): Operation {
  const result = recording.model.evaluate(get('a'), { revision, compactedRevision: -1 });
  if (result.kind === 'refused') throw new Error(result.message);
  const outcome: Outcome = { kind: 'answered', answer: result.answer };
  return recording.record(get('a'), outcome, circumstances);
}

describe('the search accepts', () => {
  test('calls of all kinds one after the other', () => {
    const recording = new Recording();
    recording.run(put('a', '1'));
    recording.run(put('a', '2', { prevKv: true }));
    recording.run(put('a', '', { ignoreValue: true, prevKv: true }));
    recording.run(get('a'));
    recording.run(get('a', { keysOnly: true }));
    recording.run(get('a', { countOnly: true }));
    recording.run(txn([valueIs('a', '2'), versionIs('a', 3)], [put('a', '4'), get('a')]));
    recording.run(txn([valueIs('a', 'x')], [put('a', '5')], [remove('a', { prevKv: true })]));
    recording.run(remove('a'));
    recording.run(put('b', '1'));
    recording.run(remove('\0', { rangeEnd: utf8('\0'), prevKv: true }));
    recording.run(get('b'));
    recording.run(txn([], [txn([versionIs('a', 0)], [put('a', '6')]), put('c', '1')]));
    recording.run(getAll());
    recording.run(get('a'));
    recording.run(get('a', { serializable: true }));
    expect(rules(recording.history())).toEqual([]);
  });

  test('reads that overlap writes, in whatever order the answers fit', () => {
    const recording = new Recording();
    recording.run(put('a', '1'), { startMs: 0, endMs: 10 });
    recording.run(put('a', '2'), { startMs: 20, endMs: 90 });
    recording.run(put('a', '3'), { startMs: 20, endMs: 90 });
    readAt(recording, 2, { startMs: 30, endMs: 40 });
    readAt(recording, 3, { startMs: 30, endMs: 80 });
    readAt(recording, 4, { startMs: 50, endMs: 60 });
    expect(rules(recording.history())).toEqual([]);
  });

  test('unknown writes that happened at once, late, or never', () => {
    const recording = new Recording();
    recording.run(put('a', '1'));
    recording.lose(put('a', 'never'), false);
    recording.lose(put('a', '2'), true);
    recording.run(get('a'));
    recording.lose(txn([valueIs('a', '2')], [put('a', '3')], [put('a', 'else')]), true);
    recording.run(get('a'));
    recording.lose(remove('\0', { rangeEnd: utf8('\0') }), true);
    recording.run(get('a'));
    expect(rules(recording.history())).toEqual([]);
  });
});

describe('the search rejects', () => {
  test('a stale read', () => {
    const recording = new Recording();
    recording.run(put('a', '1'));
    recording.run(put('a', '2'));
    const { id } = readAt(recording, 2, {});
    const [violation] = searchLinearizable(recording.history());
    expect(violation?.rule).toBe('search-linearizable');
    expect(violation?.text).toContain(`operation ${id} `);
    expect(violation?.operations).toEqual([id]);
    expect(rules(recording.history())).toEqual(['search-linearizable']);
  });

  test('a read that goes back behind another', () => {
    const recording = new Recording();
    recording.run(put('a', '1'), { startMs: 0, endMs: 10 });
    recording.run(put('a', '2'), { startMs: 20, endMs: 90 });
    readAt(recording, 3, { startMs: 30, endMs: 40 });
    readAt(recording, 2, { startMs: 50, endMs: 60 });
    expect(rules(recording.history())).toEqual(['search-linearizable']);
  });

  test('a value from the future', () => {
    const recording = new Recording();
    recording.run(put('a', '1'), { startMs: 100, endMs: 110 });
    readAt(recording, 2, { startMs: 0, endMs: 10 });
    expect(rules(recording.history())).toEqual(['search-linearizable']);
  });

  test('a lost write, a phantom value, a wrong version', () => {
    const recording = new Recording();
    recording.run(put('a', '1'));
    recording.run(put('a', '2'));
    const read = recording.run(get('a'));
    const { kvs } = answerOf(read) as RangeResponse;
    for (const lie of [
      { kvs: [], count: 0 },
      { kvs: [{ ...kvs[0]!, value: utf8('phantom') }] },
      { kvs: [{ ...kvs[0]!, version: 1 }] },
    ]) {
      const operations = replaced(recording.operations, read.id, answeredWith(read, lie));
      expect(rules(recording.history({ operations }))).toEqual(['search-linearizable']);
    }
  });

  test('a refused write that is read, and an unknown one that happens twice', () => {
    const recording = new Recording();
    recording.record(put('a', '1'), { kind: 'refused', code: 2, message: 'no' });
    recording.model.execute(put('a', '1'));
    recording.run(get('a'));
    expect(rules(recording.history())).toEqual(['search-linearizable']);
    const twice = new Recording();
    twice.lose(put('a', '1'), true);
    twice.run(get('a'));
    twice.model.execute(put('a', '1'));
    twice.run(get('a'));
    expect(rules(twice.history())).toEqual(['search-linearizable']);
  });

  test('an unknown write that is read before it began', () => {
    const recording = new Recording();
    recording.model.execute(put('a', '1'));
    recording.run(get('a'));
    recording.lose(put('a', '1'), false);
    expect(rules(recording.history())).toEqual(['search-linearizable']);
  });

  test('the wrong branch of a txn of one key', () => {
    const recording = new Recording();
    recording.run(put('a', '1'));
    const lost = recording.run(txn([valueIs('a', '9')], [get('a')], [get('a')]));
    const won = recording.run(txn([valueIs('a', '1')], [get('a')], [get('a')]));
    for (const [operation, succeeded] of [
      [lost, true],
      [won, false],
    ] as const) {
      const { responses } = answerOf(operation) as TxnResponse;
      const lie = answeredWith(operation, { succeeded, responses });
      const operations = replaced(recording.operations, operation.id, lie);
      expect(rules(recording.history({ operations }))).toEqual(['search-linearizable']);
    }
  });

  test('a delete of nothing that says it deleted, and the other way round', () => {
    const recording = new Recording();
    const nothing = recording.run(remove('a'));
    recording.run(put('a', '1'));
    const something = recording.run(remove('a'));
    for (const [operation, deleted] of [
      [nothing, 1],
      [something, 0],
    ] as const) {
      const lie = answeredWith(operation, { deleted });
      const operations = replaced(recording.operations, operation.id, lie);
      expect(rules(recording.history({ operations }))).toEqual(['search-linearizable']);
    }
  });
});

describe('the search is bounded', () => {
  test('and says so', () => {
    const recording = new Recording();
    for (let i = 0; i < 12; i++) {
      recording.lose(put('a', `${i}`), false, { startMs: 0, endMs: 5 });
    }
    recording.run(put('b', '1'));
    recording.model.execute(put('a', 'phantom'));
    readAt(recording, 3, { startMs: 10, endMs: 20 });
    expect(rules(recording.history(), 1000)).toEqual(['search-undecided']);
  });

  test('an honest history takes about a step for each operation', () => {
    const recording = new Recording();
    for (let i = 0; i < 200; i++) {
      recording.lose(put('a', `never ${i}`), false, { startMs: 0, endMs: 5 });
      recording.run(put('a', `${i}`), { startMs: 0, endMs: 10_000 });
      recording.run(get('a'), { startMs: 0, endMs: 10_000 });
    }
    expect(rules(recording.history(), 0)).toEqual([]);
  });
});
