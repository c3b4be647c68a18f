import { describe, expect, test } from 'vitest';
import { utf8 } from '../../../src/base/bytes.ts';
import type { Event } from '../../../src/gen/kv.ts';
import type { PutResponse, RangeResponse, TxnResponse } from '../../../src/gen/rpc.ts';
import type { History, Outcome } from '../../check/history.ts';
import { checkLinearizable } from '../../check/linearizable.ts';
import { header, refusals } from '../../check/model-requests.ts';
import { compact, get, getAll, put, remove, txn, valueIs, versionIs, watching } from './calls.ts';
import { answeredWith, answerOf, Recording, replaced } from './recording.ts';

function rules(history: History): string[] {
  return [...new Set(checkLinearizable(history).map(({ rule }) => rule))].sort();
}

/** An honest history with a bit of everything. */
function honest(): Recording {
  const recording = new Recording();
  recording.run(put('a', '1'));
  recording.run(put('b', '2', { prevKv: true }));
  recording.run(put('a', '3', { prevKv: true }));
  recording.run(getAll());
  recording.run(txn([valueIs('a', '3')], [put('c', '4'), remove('b')], [get('a')]));
  recording.run(txn([versionIs('a', 9)], [put('c', '5')], [get('a')]));
  recording.run(remove('nothing'));
  recording.run(get('a', { revision: 2 }));
  recording.run(remove('a', { prevKv: true }));
  recording.run(get('a'));
  return recording;
}

function refusedWith(reason: keyof typeof refusals): Outcome {
  const { code, message } = refusals[reason];
  return { kind: 'refused', code, message };
}

describe('honest histories', () => {
  test('are accepted, with the truth and without', () => {
    const recording = honest();
    expect(rules(recording.history())).toEqual([]);
    expect(rules(recording.history({ events: undefined }))).toEqual([]);
    expect(rules(new Recording().history())).toEqual([]);
  });

  test('may overlap in any way', () => {
    const recording = new Recording();
    recording.run(put('a', '1'), { startMs: 0, endMs: 100 });
    recording.run(put('a', '2'), { startMs: 0, endMs: 100 });
    // Began after the second and before its end, and still saw the first only.
    const first = recording.model.evaluate(get('a'), { revision: 2, compactedRevision: -1 });
    if (first.kind === 'refused') throw new Error(first.message);
    const outcome: Outcome = { kind: 'answered', answer: first.answer };
    recording.record(get('a'), outcome, { startMs: 50, endMs: 60 });
    expect(rules(recording.history())).toEqual([]);
  });

  test('may hold serializable reads of the past', () => {
    const recording = new Recording();
    recording.run(put('a', '1'));
    const old = recording.model.evaluate(get('a'));
    if (old.kind === 'refused') throw new Error(old.message);
    recording.run(put('a', '2'));
    const outcome: Outcome = { kind: 'answered', answer: old.answer };
    recording.record(get('a', { serializable: true }), outcome);
    expect(rules(recording.history())).toEqual([]);
    recording.record(get('a'), outcome);
    expect(rules(recording.history())).toEqual(['kv-real-time']);
  });

  test('may hold writes of unknown outcome that happened, late or never', () => {
    const recording = new Recording();
    recording.lose(put('a', 'never'), false);
    recording.lose(put('a', '1'), true);
    recording.run(get('a'));
    recording.record(put('a', '2'), { kind: 'unknown', reason: 'cut off' });
    recording.run(put('b', '3'));
    recording.model.execute(put('a', '2'));
    recording.run(get('a'));
    expect(rules(recording.history())).toEqual([]);
    expect(rules(recording.history({ events: undefined }))).toEqual([]);
  });

  test('may be refused for reasons', () => {
    const recording = new Recording();
    recording.run(put('a', '1'));
    recording.run(put('a', '2'));
    recording.run(put('a', '3'));
    recording.run(compact(3));
    recording.run(compact(3));
    recording.run(compact(9));
    recording.run(get('a', { revision: 2 }));
    recording.run(get('a', { revision: 9 }));
    recording.run(put('b', '', { ignoreValue: true }));
    recording.run(txn([], [get('a', { revision: 2 })]));
    expect(recording.operations.slice(4).map(({ outcome }) => outcome.kind)).toEqual(
      Array.from({ length: 6 }, () => 'refused'),
    );
    expect(rules(recording.history())).toEqual([]);
    expect(rules(recording.history({ events: undefined }))).toEqual([]);
  });
});

describe('answers', () => {
  /** The honest history with one answer changed. */
  function lying(id: number, change: (recording: Recording) => object): string[] {
    const recording = honest();
    const operation = recording.operations[id]!;
    const changed = answeredWith(operation, change(recording));
    return rules(recording.history({ operations: replaced(recording.operations, id, changed) }));
  }
  const kvsOf = (recording: Recording, id: number): RangeResponse['kvs'] =>
    (answerOf(recording.operations[id]!) as RangeResponse).kvs;

  test('with a phantom value, a wrong version or revision of creation', () => {
    for (const change of [{ value: utf8('phantom') }, { version: 7 }, { createRevision: 3 }]) {
      const rule = lying(3, (recording) => {
        const [first, ...rest] = kvsOf(recording, 3);
        return { kvs: [{ ...first!, ...change }, ...rest] };
      });
      expect(rule).toEqual(['kv-answer']);
    }
  });

  test('with a key value too few, a wrong count, or more that is not there', () => {
    expect(lying(3, (recording) => ({ kvs: kvsOf(recording, 3).slice(1) }))).toEqual(['kv-answer']);
    expect(lying(3, () => ({ count: 3 }))).toEqual(['kv-answer']);
    expect(lying(3, () => ({ more: true }))).toEqual(['kv-answer']);
  });

  test('with a wrong previous key value', () => {
    expect(lying(2, () => ({ prevKv: undefined }))).toEqual(['kv-answer']);
    expect(
      lying(8, (recording) => {
        const answer = answerOf(recording.operations[2]!) as PutResponse;
        return { prevKvs: [answer.prevKv] };
      }),
    ).toEqual(['kv-answer']);
  });

  test('with the wrong branch of a txn', () => {
    expect(lying(5, () => ({ succeeded: true }))).toEqual(['kv-answer']);
    expect(
      lying(4, (recording) => {
        const { responses } = answerOf(recording.operations[4]!) as TxnResponse;
        return { responses: responses.toReversed() };
      }),
    ).toEqual(['kv-answer']);
  });

  test('without a header', () => {
    expect(lying(3, () => ({ header: undefined }))).toEqual(['kv-answer']);
  });

  test('that are stale although the header is not; the text says how old they are', () => {
    const recording = new Recording();
    recording.run(put('a', '1'));
    const { kvs } = answerOf(recording.run(get('a'))) as RangeResponse;
    recording.run(put('a', '2'));
    const stale = answeredWith(recording.run(get('a')), { kvs });
    const operations = replaced(recording.operations, stale.id, stale);
    const [violation] = checkLinearizable(recording.history({ operations }));
    expect(violation?.rule).toBe('kv-answer');
    expect(violation?.text).toContain('it is the answer of revision 2');
    expect(violation?.operations).toEqual([stale.id]);
  });

  test('of a compaction that must have been refused', () => {
    const recording = new Recording();
    recording.run(put('a', '1'));
    recording.run(put('a', '2'));
    const first = recording.run(compact(2));
    recording.record(compact(2), first.outcome);
    expect(rules(recording.history())).toEqual(['kv-answer']);
  });

  test('of a compacted revision', () => {
    const recording = new Recording();
    recording.run(put('a', '1'));
    recording.run(put('a', '2'));
    const read = recording.run(get('a', { revision: 2 }));
    recording.run(compact(3));
    recording.record(read.call, read.outcome);
    expect(rules(recording.history())).toEqual(['kv-answer']);
  });
});

describe('revisions', () => {
  test('are given once', () => {
    const recording = honest();
    const [first, second] = recording.operations;
    const reused = answeredWith(second!, { header: answerOf(first!).header });
    const operations = replaced(recording.operations, 1, reused);
    expect(rules(recording.history({ operations }))).toContain('kv-revision');
  });

  test('begin with two', () => {
    const recording = honest();
    const early = answeredWith(recording.operations[0]!, { header: header(1) });
    const operations = replaced(recording.operations, 0, early);
    expect(rules(recording.history({ operations }))).toContain('kv-revision');
  });

  test('of reads do not lie in the future', () => {
    const recording = honest();
    const future = answeredWith(recording.operations[9]!, { header: header(99) });
    const operations = replaced(recording.operations, 9, future);
    expect(rules(recording.history({ operations }))).toContain('kv-future');
  });

  test('of later requests are not older', () => {
    const recording = honest();
    const stale = answeredWith(recording.operations[9]!, {
      ...answerOf(recording.operations[3]!),
      header: header(4),
    });
    const operations = replaced(recording.operations, 9, stale);
    expect(rules(recording.history({ operations }))).toContain('kv-real-time');
  });

  test('of a write are newer than what was seen before, be it by a watcher', () => {
    const recording = new Recording();
    recording.run(put('a', '1'));
    recording.run(put('b', '2'));
    // The second is said to have begun long after somebody saw a later revision.
    recording.run(put('c', '3'));
    const late = { ...recording.operations[1]!, startMs: 100, endMs: 105 };
    const operations = replaced(recording.operations, 1, late);
    expect(rules(recording.history({ operations }))).toEqual(['kv-real-time']);
  });

  test('seen by a watcher are seen by all who ask later', () => {
    const recording = new Recording();
    recording.run(put('a', '1'));
    const read = recording.run(get('a'));
    recording.run(put('a', '2'), { startMs: 20, endMs: 500 });
    recording.record(get('a'), read.outcome, { startMs: 60, endMs: 70 });
    expect(rules(recording.history())).toEqual([]);
    const records = [{ kind: 'progress', revision: 3, atMs: 50 } as const];
    const request = watching('a');
    recording.watches.push({ client: 'w', member: 'm', request, records, resumes: undefined });
    expect(rules(recording.history())).toEqual(['kv-real-time']);
  });
});

describe('the truth', () => {
  test('holds every acknowledged write', () => {
    const recording = honest();
    const { events } = recording;
    expect(rules(recording.history({ events: events.slice(0, -1) }))).toContain('kv-durable');
    const other: Event = { ...events[1]!, kv: { ...events[1]!.kv!, value: utf8('other') } };
    expect(rules(recording.history({ events: replaced(events, 1, other) }))).toContain(
      'kv-durable',
    );
  });

  test('has the right numbers', () => {
    const recording = honest();
    const { events } = recording;
    for (const change of [{ version: 5 }, { createRevision: 2 }, { lease: 7n }]) {
      const other: Event = { ...events[1]!, kv: { ...events[1]!.kv!, ...change } };
      expect(rules(recording.history({ events: replaced(events, 1, other) }))).toEqual([
        'kv-event',
      ]);
    }
  });

  test('is in order and has no hole', () => {
    const recording = honest();
    const { events } = recording;
    const swapped = [events[1]!, events[0]!, ...events.slice(2)];
    expect(rules(recording.history({ events: swapped }))).toContain('kv-truth');
    const lost = new Recording();
    lost.run(put('a', '1'));
    lost.lose(put('a', '2'), true);
    lost.run(put('a', '3'));
    const holed = replaced(lost.events, 1, lost.events[2]!).slice(0, 2);
    expect(rules(lost.history({ events: holed }))).toContain('kv-hole');
  });

  test('shows nothing that nobody asked for', () => {
    const recording = honest();
    recording.model.execute(put('a', 'phantom'));
    expect(rules(recording.history())).toEqual(['kv-explained']);
  });

  test('shows nothing of a refused write', () => {
    const recording = honest();
    const outcome: Outcome = { kind: 'refused', code: 2, message: 'too many requests' };
    recording.record(put('a', 'refused'), outcome);
    expect(rules(recording.history())).toEqual([]);
    recording.model.execute(put('a', 'refused'));
    expect(rules(recording.history())).toEqual(['kv-refused']);
  });

  test('shows a write once, acknowledged or not', () => {
    const acknowledged = honest();
    acknowledged.model.execute(put('a', '3'));
    expect(rules(acknowledged.history())).toEqual(['kv-once']);
    const unknown = honest();
    unknown.lose(put('a', 'lost'), true);
    unknown.model.execute(put('a', 'lost'));
    expect(rules(unknown.history())).toEqual(['kv-once']);
  });

  test('shows no write before it began', () => {
    const recording = new Recording();
    recording.model.execute(put('a', '1'));
    recording.run(get('a'));
    recording.lose(put('a', '1'), false);
    expect(rules(recording.history())).toEqual(['kv-before-start']);
  });

  test('tells equal writes of unknown outcome apart by time', () => {
    const recording = new Recording();
    recording.lose(remove('a'), false);
    recording.run(put('a', '1'));
    recording.model.execute(remove('a'));
    recording.run(get('a'));
    recording.run(put('a', '2'));
    recording.lose(remove('a'), true);
    recording.run(get('a'));
    expect(rules(recording.history())).toEqual([]);
  });
});

test('a wrong choice is found however many others were made since', () => {
  const recording = new Recording();
  const begun = 8;
  recording.run(put('a', '1'));
  for (let i = 0; i < begun; i++) recording.run(put(`x${i}`, '1'));
  // The first delete of each key is explained by both, and only one of them happened.
  recording.lose(remove('a'), false);
  recording.lose(remove('a', { rangeEnd: utf8('b') }), true);
  for (let i = 0; i < begun; i++) {
    recording.lose(remove(`x${i}`), false);
    recording.lose(remove(`x${i}`, { rangeEnd: utf8(`x${i}~`) }), true);
  }
  recording.run(put('a', '2'));
  recording.run(put('ab', '2'));
  recording.model.execute(remove('a'));
  recording.run(get('a'));
  expect(rules(recording.history())).toEqual([]);
});

describe('without the truth', () => {
  test('a revision that nothing explains is a hole', () => {
    const recording = honest();
    recording.model.execute(put('z', 'phantom'));
    recording.run(put('y', '1'));
    expect(rules(recording.history({ events: undefined }))).toEqual(['kv-hole']);
  });

  test('a value that nobody wrote is reported', () => {
    const recording = honest();
    recording.model.execute(put('z', 'phantom'));
    recording.run(get('z'));
    expect(rules(recording.history({ events: undefined }))).toEqual(['kv-explained']);
  });

  test('later answers tell which of several unknown writes happened', () => {
    const recording = new Recording();
    recording.run(put('a', '1'));
    for (let i = 0; i < 4; i++) recording.lose(put('a', `never ${i}`), false);
    recording.lose(remove('a'), true);
    recording.run(put('b', '2'));
    recording.run(getAll());
    expect(rules(recording.history({ events: undefined }))).toEqual([]);
  });

  test('too many ways are undecided, not accepted', () => {
    const recording = new Recording();
    for (let i = 0; i < 8; i++) recording.lose(put(`never ${i}`, 'x'), false);
    for (let i = 0; i < 8; i++) recording.lose(put(`often ${i}`, 'x'), true);
    const wrong = answeredWith(recording.run(get('a')), { count: 5 });
    const operations = replaced(recording.operations, wrong.id, wrong);
    expect(rules(recording.history({ operations, events: undefined }))).toEqual(['kv-undecided']);
  });
});

describe('refusals', () => {
  test('need their reason', () => {
    for (const [call, reason] of [
      [get('a', { revision: 2 }), 'compacted'],
      [get('a', { revision: 2 }), 'futureRevision'],
      [put('a', '', { ignoreValue: true }), 'keyNotFound'],
      [compact(2), 'compacted'],
      [compact(2), 'futureRevision'],
    ] as const) {
      const recording = new Recording();
      recording.run(put('a', '1'));
      recording.run(put('b', '2'));
      recording.record(call, refusedWith(reason));
      expect(rules(recording.history())).toEqual(['kv-refusal']);
    }
  });

  test('may have a reason that another request in flight gives', () => {
    const recording = new Recording();
    recording.run(put('a', '1'));
    recording.run(put('b', '2'), { startMs: 10, endMs: 100 });
    recording.record(get('a', { revision: 3 }), refusedWith('futureRevision'), { startMs: 20 });
    recording.lose(compact(3), false, { startMs: 30, endMs: 40 });
    recording.record(get('a', { revision: 2 }), refusedWith('compacted'), { startMs: 50 });
    expect(rules(recording.history())).toEqual([]);
  });

  test('for other reasons say nothing of the state', () => {
    const recording = honest();
    recording.record(get('a'), { kind: 'refused', code: 8, message: 'no room' });
    expect(rules(recording.history())).toEqual([]);
  });
});
