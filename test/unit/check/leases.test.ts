import { describe, expect, test } from 'vitest';
import type { History, LeaseFact, Violation } from '../../check/history.ts';
import { formatHistory, parseHistory } from '../../check/history-file.ts';
import { checkHistory } from '../../check/index.ts';
import { get, put, remove, txn, watching } from './calls.ts';
import { Recording } from './recording.ts';

const lease = 7n;
const promised = (startMs: number, seconds: number): LeaseFact => {
  return { kind: 'promised', lease, startMs, endMs: startMs + 1, seconds };
};

/** `a` and `b` hang on the lease, `c` does not. It ends as it is told to, seen by a watcher. */
function recorded(end: (recording: Recording) => void, endsAtMs = 2000): Recording {
  const recording = new Recording();
  recording.run(put('a', '1', { lease }));
  recording.run(put('b', '1', { lease }));
  recording.run(put('c', '1'));
  recording.nowMs = endsAtMs;
  end(recording);
  recording.watch(watching('a', { rangeEnd: new Uint8Array([0]), startRevision: 2 }));
  return recording;
}

function found(recording: Recording, leases: readonly LeaseFact[]): readonly Violation[] {
  const { operations } = recording;
  return checkHistory(recording.history({ operations: [], ofServices: operations, leases }));
}

const rules = (violations: readonly Violation[]): string[] => violations.map(({ rule }) => rule);

const wholeEnd = (recording: Recording): void => {
  recording.model.execute(txn([], [remove('a'), remove('b')]));
};

describe('the end of a lease', () => {
  test('takes all its keys along, when its time is over', () => {
    const recording = recorded(wholeEnd);
    recording.run(get('a'));
    expect(found(recording, [promised(0, 1)])).toEqual([]);
  });

  test('does not come before what was promised, even once', () => {
    const violations = found(recorded(wholeEnd), [promised(0, 1), promised(1500, 1)]);
    expect(violations).toEqual([
      {
        rule: 'lease-early',
        text: 'lease 7 ended 480 ms before its promised time was over',
        operations: [],
      },
    ]);
  });

  test('may come early once it was asked for', () => {
    const givenUp: LeaseFact = { kind: 'givenUp', lease, startMs: 1800, endMs: 1900 };
    expect(found(recorded(wholeEnd), [promised(1500, 1), givenUp])).toEqual([]);
    const late: LeaseFact = { ...givenUp, startMs: 2100, endMs: 2200 };
    expect(rules(found(recorded(wholeEnd), [promised(1500, 1), late]))).toEqual(['lease-early']);
  });

  test('is not what a client may have deleted', () => {
    const recording = recorded((each) => {
      each.lose(remove('a'), true, { startMs: 100, endMs: 400 });
      each.run(remove('b'));
    }, 500);
    expect(found(recording, [promised(0, 5)])).toEqual([]);
  });

  test('does not leave a key', () => {
    const recording = recorded(({ model }) => model.execute(remove('a')));
    expect(rules(found(recording, [promised(0, 1)]))).toEqual(['kv-explained']);
  });

  test('does not come in two revisions', () => {
    const recording = recorded(({ model }) => {
      model.execute(remove('a'));
      model.execute(remove('b'));
    });
    expect(rules(found(recording, [promised(0, 1)]))).toEqual(['kv-explained']);
  });

  test('is judged whatever services may have done beside it', () => {
    const recording = recorded((each) => {
      for (let i = 0; i < 70; i++) {
        each.run(put(`l/${i}`, '', { lease: BigInt(100 + i) }));
        each.lose(remove(`l/${i}`), i % 2 === 0);
        if (i % 2 === 1) each.model.execute(remove(`l/${i}`));
      }
      each.model.execute(remove('a'));
    });
    expect(rules(found(recording, [promised(0, 1)]))).toEqual(['kv-explained']);
  });

  test('does not take other keys along', () => {
    const recording = recorded(({ model }) => {
      model.execute(txn([], [remove('a'), remove('b'), remove('c')]));
    });
    expect(rules(found(recording, [promised(0, 1)]))).toEqual(['kv-explained']);
  });

  test('leaves a key that was put again without it', () => {
    const recording = recorded((each) => {
      each.run(put('a', '2'));
      each.model.execute(remove('b'));
      each.run(get('a'));
    });
    expect(found(recording, [promised(0, 1)])).toEqual([]);
  });

  test('is told to watchers', () => {
    const recording = recorded(wholeEnd);
    recording.run(put('c', '2'));
    const { request } = recording.watches[0]!;
    const later = recording.watch(request);
    const records = later.records.filter(
      (record) => record.kind !== 'events' || record.revision !== 5,
    );
    const history = recording.history({
      operations: [],
      ofServices: recording.operations,
      leases: [promised(0, 1)],
      watches: [{ ...later, records }],
    });
    expect(rules(checkHistory(history))).toEqual(['watch-reliable', 'watch-reliable']);
  });
});

describe('an answered revocation', () => {
  const revoked = (revision: number): LeaseFact => {
    return { kind: 'revoked', lease, startMs: 1990, endMs: 2000, revision };
  };
  const givenUp: LeaseFact = { kind: 'givenUp', lease, startMs: 1990, endMs: 2000 };

  test('has deleted the keys by its revision', () => {
    const recording = recorded(wholeEnd);
    expect(found(recording, [givenUp, revoked(5)])).toEqual([]);
    const violations = found(recording, [givenUp, revoked(4)]);
    expect(rules(violations)).toEqual(['lease-keys']);
    expect(violations[0]?.text).toBe(
      'lease 7 is said to be revoked at revision 4, and "a" hangs on it at 4',
    );
  });

  test('lets no key come after it', () => {
    const recording = recorded((each) => {
      wholeEnd(each);
      each.run(put('d', '1', { lease }));
    });
    expect(rules(found(recording, [givenUp, revoked(5)]))).toEqual(['lease-keys']);
  });

  test('is not forgotten where nothing happens after it', () => {
    const recording = recorded(() => {});
    expect(rules(found(recording, [givenUp, revoked(9)]))).toEqual(['lease-keys']);
  });

  test('ends the lease for all who ask later', () => {
    const ask = (startMs: number): LeaseFact => {
      return { kind: 'found', lease, startMs, endMs: startMs + 5 };
    };
    expect(found(recorded(wholeEnd), [givenUp, revoked(5), ask(1999)])).toEqual([]);
    const violations = found(recorded(wholeEnd), [givenUp, revoked(5), ask(2001)]);
    expect(rules(violations)).toEqual(['lease-undead']);
    expect(violations[0]?.text).toBe('lease 7 was found after it was said to have ended');
  });
});

test('who is told that a lease is gone has seen its end', () => {
  const gone: LeaseFact = { kind: 'gone', lease, startMs: 900, endMs: 910 };
  const recording = recorded(() => {});
  expect(rules(found(recording, [promised(0, 1), gone]))).toEqual(['lease-early']);
});

describe('a lock', () => {
  const first = put('l/1', '', { lease: 1n });
  const second = put('l/2', '', { lease: 2n });

  function held(revision: number, key = 'l/2'): Partial<History> {
    return { locks: { name: 'l', held: [{ key, revision }] } };
  }

  test('is held by the oldest key alone', () => {
    const recording = new Recording();
    recording.run(first);
    recording.run(second);
    recording.run(remove('l/1'));
    expect(checkHistory(recording.history(held(2, 'l/1')))).toEqual([]);
    expect(checkHistory(recording.history(held(4)))).toEqual([]);
    expect(checkHistory(recording.history(held(3)))).toEqual([
      {
        rule: 'lock-owner',
        text: 'l/2 has the lock at revision 3, where l/1 is oldest',
        operations: [],
      },
    ]);
    expect(rules(checkHistory(recording.history(held(4, 'l/1'))))).toEqual(['lock-owner']);
  });
});

test('facts of leases and locks are in a saved history', () => {
  const recording = recorded(wholeEnd);
  const history: History = recording.history({
    operations: [],
    ofServices: recording.operations,
    leases: [promised(0, 1), { kind: 'gone', lease, startMs: 900, endMs: 910 }],
    locks: { name: 'l', held: [{ key: 'l/1', revision: 2 }] },
  });
  const text = formatHistory(history);
  const loaded = parseHistory(text, 'text');
  expect(formatHistory(loaded)).toBe(text);
  expect(checkHistory(loaded)).toEqual(checkHistory(history));
  expect(rules(checkHistory(loaded))).toEqual(['lease-early', 'lock-owner']);
});
