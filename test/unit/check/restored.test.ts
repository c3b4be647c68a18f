import { describe, expect, test } from 'vitest';
import type { Restored } from '../../check/history.ts';
import { formatHistory, parseHistory } from '../../check/history-file.ts';
import { checkHistory } from '../../check/index.ts';
import { put, remove } from './calls.ts';
import { Recording } from './recording.ts';

/** Revision 3 is saved; `a` goes and `c` comes after it. */
function recorded(): { recording: Recording; whole: Restored } {
  const recording = new Recording();
  recording.run(put('a', '1'));
  recording.run(put('b', '1', { lease: 7n }));
  const kvs = ['a', 'b'].map((key) => recording.model.valueAt(key, 3)!);
  recording.run(remove('a'));
  recording.run(put('c', '1'));
  return { recording, whole: { acknowledged: 3, revision: 3, firstRevision: 1003, kvs } };
}

function found(changes: (whole: Restored) => Partial<Restored>): readonly string[] {
  const { recording, whole } = recorded();
  const restored = [{ ...whole, ...changes(whole) }];
  const history = recording.history({ restored });
  const text = formatHistory(history);
  expect(formatHistory(parseHistory(text, 'text'))).toBe(text);
  return checkHistory(parseHistory(text, 'text')).map((each) => `${each.rule}: ${each.text}`);
}

describe('a cluster made from a snapshot', () => {
  test('has all that there was at its revision, and nothing else', () => {
    expect(found(() => ({}))).toEqual([]);
    expect(found(({ kvs }) => ({ kvs: kvs.slice(1) }))).toEqual([
      'restore-state: at revision 3: "a" is missing, not "a"="1"',
    ]);
    const { recording } = recorded();
    const later = recording.model.valueAt('c', 5)!;
    expect(found(({ kvs }) => ({ kvs: [...kvs, later] }))).toEqual([
      'restore-state: at revision 3: "c" is "c"="1", not missing',
    ]);
    expect(found(({ kvs }) => ({ kvs: [kvs[0]!, { ...kvs[1]!, lease: 0n }] }))).toEqual([
      'restore-state: at revision 3: "b".lease is 0, not 7',
    ]);
  });

  test('is no older than what was acknowledged before', () => {
    expect(found(() => ({ acknowledged: 4 }))).toEqual([
      'restore-durable: the snapshot has revision 3, and 4 was acknowledged',
    ]);
    expect(found(() => ({ revision: 9, acknowledged: 3 }))).toEqual([
      'restore-state: revision 9 never was',
    ]);
  });

  test('begins after all that the other one came to', () => {
    expect(found(() => ({ firstRevision: 5 }))).toEqual([
      'restore-revision: the new cluster begins at 5, the old one is at 5',
    ]);
  });
});
