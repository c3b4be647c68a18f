import { describe, expect, test } from 'vitest';
import type { Event } from '../../../src/gen/kv.ts';
import { checkHistory, isUndecided } from '../../check/index.ts';
import { put, watching } from './calls.ts';
import { Recording } from './recording.ts';

describe('all checks together', () => {
  test('find what each of them finds, the same each time', () => {
    const recording = new Recording();
    recording.run(put('a', '1'));
    recording.run(put('a', '2', { prevKv: true }));
    const log = recording.watch(watching('a'));
    const stale = { ...recording.operations[1]!, startMs: -10, endMs: -5 };
    const history = recording.history({
      operations: [recording.operations[0]!, stale],
      watches: [{ ...log, records: [log.records[0]!, log.records[2]!] }],
      states: [
        { member: 'm1', index: 1, revision: 1, hash: 'a' },
        { member: 'm2', index: 1, revision: 1, hash: 'b' },
      ],
    });
    const found = checkHistory(history);
    expect(found.map(({ rule }) => rule)).toEqual([
      'kv-real-time',
      'search-linearizable',
      'watch-reliable',
      'convergence-hash',
    ]);
    expect(found[0]?.text).toBe(
      'operation 0 (c1 at m1, 0–5 ms: put "a"="1", answered at revision 2) made revision 2, ' +
        'but revision 3 had been seen before it began, by operation 1 (c1 at m1, -10–-5 ms: ' +
        'put "a"="2", answered at revision 3)',
    );
    expect(found[2]?.text).toBe(
      'watch 0 (w1 at m1, "a"): missed put "a"="1" (created 2, modified 2, version 1)',
    );
    expect(checkHistory(history)).toEqual(found);
    expect(found.some(isUndecided)).toBe(false);
  });

  test('keep the first of many violations and say how many there were', () => {
    const recording = new Recording();
    for (let i = 0; i < 30; i++) recording.run(put('a', `${i}`));
    const events: Event[] = recording.events.map((event) => ({
      ...event,
      kv: { ...event.kv!, version: 99 },
    }));
    const found = checkHistory(recording.history({ events }));
    expect(found).toHaveLength(20);
    expect(found[19]?.text).toContain('(and 10 more of this rule)');
  });

  test('say apart what they could not decide', () => {
    expect(isUndecided({ rule: 'search-undecided', text: '', operations: [] })).toBe(true);
    expect(isUndecided({ rule: 'kv-undecided', text: '', operations: [] })).toBe(true);
  });
});
