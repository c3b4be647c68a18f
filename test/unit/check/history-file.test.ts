import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { formatHistory, loadHistory, parseHistory, saveHistory } from '../../check/history-file.ts';
import { checkHistory } from '../../check/index.ts';
import { get, put, remove, txn, valueIs, watching } from './calls.ts';
import { Recording } from './recording.ts';

function recorded(): Recording {
  const recording = new Recording();
  recording.run(put('a', '\0\xff', { lease: 9_007_199_254_740_993n }));
  recording.run(txn([valueIs('a', 'x')], [put('b', '1')], [get('a'), remove('a')]));
  recording.record(put('a', '1'), { kind: 'refused', code: 2, message: 'no' });
  recording.lose(put('a', '2'), true, { endMs: Number.POSITIVE_INFINITY });
  recording.watch(watching('a', { prevKv: true }));
  recording.states.push({ member: 'm1', index: 4, revision: 3, hash: 'ab' });
  return recording;
}

describe('a history', () => {
  test('is the same after it was saved and loaded', () => {
    const directory = mkdtempSync(join(tmpdir(), 'quorate-history-'));
    try {
      const history = recorded().history();
      const path = join(directory, 'history.jsonl');
      saveHistory(path, history);
      const loaded = loadHistory(path);
      expect(formatHistory(loaded)).toBe(formatHistory(history));
      expect(loaded.operations[0]).toEqual({
        ...history.operations[0],
        call: put('a', '\0\xff', { lease: 9_007_199_254_740_993n }),
      });
      expect(loaded.operations[3]?.endMs).toBe(Number.POSITIVE_INFINITY);
      expect(checkHistory(loaded)).toEqual(checkHistory(history));
      expect(checkHistory(loaded)).toEqual([]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test('tells no events from not knowing any', () => {
    const empty = new Recording();
    const events = (known: [] | undefined): unknown =>
      parseHistory(formatHistory(empty.history({ events: known })), 'x').events;
    expect(events([])).toEqual([]);
    expect(events(undefined)).toBeUndefined();
  });

  test('that is none is refused with its place', () => {
    const text = formatHistory(recorded().history());
    expect(() => parseHistory('', 'x')).toThrow('x:1: not JSON');
    expect(() => parseHistory('{}', 'x')).toThrow('x: not a history');
    expect(() => parseHistory(text.replace('"version":1', '"version":2'), 'x')).toThrow(
      'x: history of version 2',
    );
    expect(() => parseHistory(`${text}{"more":1}`, 'x')).toThrow(/^x:11: an unknown kind/);
    expect(() => parseHistory(text.slice(0, -5), 'x')).toThrow(/^x:10: not JSON$/);
    expect(() => parseHistory(`${text}7`, 'x')).toThrow('x:11: not a record');
  });
});
