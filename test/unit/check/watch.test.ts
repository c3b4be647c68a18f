import { describe, expect, test } from 'vitest';
import { utf8 } from '../../../src/base/bytes.ts';
import type { Event } from '../../../src/gen/kv.ts';
import { FilterType, type WatchCreateRequest } from '../../../src/gen/rpc.ts';
import type { WatchLog, WatchRecord } from '../../check/history.ts';
import { replay } from '../../check/linearizable.ts';
import { checkWatches } from '../../check/watch.ts';
import { compact, put, remove, txn, watching } from './calls.ts';
import { Recording } from './recording.ts';

const everything = { rangeEnd: utf8('z') };

function rules(recording: Recording, logs: readonly WatchLog[] = recording.watches): string[] {
  const history = recording.history({ watches: logs });
  const replayed = replay(history);
  expect(replayed.violations).toEqual([]);
  return [...new Set(checkWatches(history, replayed).map(({ rule }) => rule))].sort();
}

/** Revisions 2 to 7; the fourth has two events. */
function changes(): Recording {
  const recording = new Recording();
  recording.run(put('a', '1'));
  recording.run(put('b', '2'));
  recording.run(txn([], [put('a', '3'), put('c', '4')]));
  recording.run(remove('b'));
  recording.run(put('b', '5'));
  recording.run(put('c', '6'));
  return recording;
}

function honest(more: Partial<WatchCreateRequest> = {}): { recording: Recording; log: WatchLog } {
  const recording = changes();
  return { recording, log: recording.watch(watching('a', { ...everything, ...more })) };
}

/** What the checks say of a log after its records were changed. */
function after(
  change: (records: WatchRecord[]) => WatchRecord[],
  more: Partial<WatchCreateRequest> = {},
): string[] {
  const { recording, log } = honest(more);
  return rules(recording, [{ ...log, records: change([...log.records]) }]);
}

function events(revision: number, list: readonly Event[], fragment = false): WatchRecord {
  return { kind: 'events', revision, events: list, fragment, atMs: 1000 };
}

function progress(revision: number): WatchRecord {
  return { kind: 'progress', revision, atMs: 1000 };
}

function eventsOf(record: WatchRecord | undefined): readonly Event[] {
  return record?.kind === 'events' ? record.events : [];
}

/** The records with the events of the place-th changed. */
function withEvents(
  records: WatchRecord[],
  place: number,
  change: (list: readonly Event[]) => readonly Event[],
): WatchRecord[] {
  return records.map((record, i) =>
    i === place && record.kind === 'events' ? { ...record, events: change(record.events) } : record,
  );
}

const withKv =
  (fields: object) =>
  ([first, ...rest]: readonly Event[]): Event[] => [
    { ...first!, kv: { ...first!.kv!, ...fields } },
    ...rest,
  ];

describe('honest watches', () => {
  test('are accepted, whatever they asked for', () => {
    const recording = changes();
    recording.watch(watching('a', everything));
    recording.watch(watching('a', { ...everything, prevKv: true, startRevision: 3 }));
    recording.watch(watching('b', { filters: [FilterType.noput] }));
    recording.watch(watching('b', { filters: [FilterType.nodelete] }));
    recording.watch(watching('b', { rangeEnd: utf8('\0') }));
    recording.watch(watching('', everything));
    recording.watch(watching('nothing'));
    recording.watch(watching('a', everything), undefined, 5);
    expect(rules(recording)).toEqual([]);
  });

  test('may end at any time, show several revisions at once, and be told of progress', () => {
    expect(after((records) => records.slice(0, 3))).toEqual([]);
    expect(
      after(([created, ...rest]) => [created!, events(7, rest.flatMap(eventsOf)), progress(7)]),
    ).toEqual([]);
    expect(after((records) => records.toSpliced(3, 0, progress(3)))).toEqual([]);
    const atMs = 2000;
    expect(
      after((records) => [...records, { kind: 'ended', reason: 'the stream broke', atMs }]),
    ).toEqual([]);
  });

  test('may get a revision in fragments if they allow it', () => {
    const split = (records: WatchRecord[]): WatchRecord[] => {
      const [one, two] = eventsOf(records[3]);
      return records.toSpliced(3, 1, events(4, [one!], true), events(4, [two!]));
    };
    expect(after(split, { fragment: true })).toEqual([]);
    expect(after((records) => split(records).slice(0, 4), { fragment: true })).toEqual([]);
    expect(after(split)).toEqual(['watch-atomic']);
  });

  test('go on where the one before ended', () => {
    const { recording, log } = honest();
    const first = { ...log, records: log.records.slice(0, 3) };
    const rest = recording.watch(watching('a', { ...everything, startRevision: 4 }), 0);
    expect(rules(recording, [first, rest])).toEqual([]);
  });

  test('may miss the previous key value once it is compacted', () => {
    const { recording, log } = honest({ prevKv: true });
    const records = withEvents(log.records.slice(), 3, (list) =>
      list.map((event) => ({ ...event, prevKv: undefined })),
    );
    expect(rules(recording, [{ ...log, records }])).toEqual(['watch-prev-kv']);
    recording.lose(compact(4), false, { startMs: 0 });
    expect(rules(recording, [{ ...log, records }])).toEqual([]);
  });

  test('may be cancelled when what they are owed is compacted', () => {
    const recording = changes();
    recording.run(compact(5));
    const cancelled = (startRevision: number, compactRevision: number): WatchLog => ({
      ...{ client: 'w1', member: 'm1', resumes: undefined },
      request: watching('a', { ...everything, startRevision }),
      records: [
        { kind: 'created', revision: 7, atMs: 1000 },
        { kind: 'compacted', compactRevision, atMs: 1000 },
      ],
    });
    expect(rules(recording, [cancelled(4, 5)])).toEqual([]);
    expect(rules(recording, [cancelled(5, 5)])).toEqual(['watch-reliable']);
    expect(rules(recording, [cancelled(3, 4)])).toEqual(['watch-reliable']);
    const resumed: WatchLog = { ...cancelled(5, 6), resumes: 0 };
    const [created] = resumed.records;
    expect(rules(recording, [cancelled(4, 5), { ...resumed, records: [created!] }])).toEqual([]);
  });

  test('from the compacted revision may miss what the same revision replaced', () => {
    const recording = new Recording();
    recording.run(put('b', '1'));
    recording.run(txn([], [remove('a', { rangeEnd: utf8('\0') }), put('b', '2')]));
    recording.run(put('b', '3'));
    const log = recording.watch(watching('b', { startRevision: 3 }));
    const records = withEvents(log.records.slice(), 1, (list) => list.slice(1));
    expect(rules(recording, [log])).toEqual([]);
    expect(rules(recording, [{ ...log, records }])).toEqual(['watch-atomic']);
    recording.lose(compact(3), false, { startMs: 0 });
    expect(rules(recording, [{ ...log, records }])).toEqual([]);
  });
});

describe('watches', () => {
  test('filter: another key, a filtered type, older than the start', () => {
    const { recording } = honest();
    const narrow = recording.watch(watching('b'));
    const other = recording.eventsFor(watching('a'), 4);
    const records = [...narrow.records, events(7, other)];
    expect(rules(recording, [{ ...narrow, records }])).toContain('watch-filter');
    const puts = { ...narrow, request: watching('b', { filters: [FilterType.nodelete] }) };
    expect(rules(recording, [puts])).toEqual(['watch-filter']);
    const late = { ...narrow, request: watching('b', { startRevision: 4 }) };
    expect(rules(recording, [late])).toEqual(['watch-filter']);
  });

  test('ordered: by revision, within a revision, and by kind', () => {
    expect(after(([c, one, two, ...rest]) => [c!, two!, one!, ...rest])).toEqual(['watch-ordered']);
    expect(after((records) => withEvents(records, 3, (list) => list.toReversed()))).toContain(
      'watch-ordered',
    );
    expect(after(([c, one, ...rest]) => [one!, c!, ...rest])).toEqual(['watch-ordered']);
    expect(after(([c, ...rest]) => [c!, c!, ...rest])).toEqual(['watch-ordered']);
    const ended: WatchRecord = { kind: 'ended', reason: 'cut', atMs: 5 };
    expect(after((records) => records.toSpliced(3, 0, ended))).toEqual(['watch-ordered']);
  });

  test('unique', () => {
    expect(after((records) => records.toSpliced(2, 0, records[1]!))).toEqual(['watch-unique']);
    expect(after((records) => withEvents(records, 3, (list) => [...list, ...list]))).toEqual([
      'watch-unique',
    ]);
  });

  test('atomic: a revision split, or not whole, or with something between its fragments', () => {
    const split = (records: WatchRecord[], ...between: WatchRecord[]): WatchRecord[] => {
      const [one, two] = eventsOf(records[3]);
      const isFragment = between.length > 0;
      return records.toSpliced(3, 1, events(4, [one!], isFragment), ...between, events(4, [two!]));
    };
    expect(after((records) => split(records))).toEqual(['watch-atomic']);
    expect(after((records) => split(records, progress(3)), { fragment: true })).toEqual([
      'watch-atomic',
    ]);
    for (const kept of [0, 1]) {
      const rule = after((records) => withEvents(records, 3, (list) => [list[kept]!]));
      expect(rule).toEqual(['watch-atomic']);
    }
    expect(after((records) => withEvents(records, 3, (list) => list.slice(1)).slice(0, 4))).toEqual(
      ['watch-atomic'],
    );
  });

  test('resumable: a gap, a repetition, or a wrong start', () => {
    const { recording, log } = honest();
    const first = { ...log, records: log.records.slice(0, 3) };
    const rest = recording.watch(watching('a', { ...everything, startRevision: 4 }), 0);
    const gap = { ...rest, records: rest.records.toSpliced(1, 1) };
    expect(rules(recording, [first, gap])).toEqual(['watch-resumable']);
    const again = { ...rest, records: rest.records.toSpliced(1, 0, log.records[2]!) };
    expect(rules(recording, [first, again])).toEqual(['watch-resumable']);
    const later = recording.watch(watching('a', { ...everything, startRevision: 5 }), 0);
    expect(rules(recording, [first, later])).toEqual(['watch-resumable']);
  });

  test('reliable: an event missed', () => {
    for (const missed of [1, 2, 4]) {
      expect(after((records) => records.toSpliced(missed, 1))).toEqual(['watch-reliable']);
    }
  });

  test('bookmarkable: progress ahead of events, with and without them after it', () => {
    expect(after((records) => records.toSpliced(3, 0, progress(4)))).toEqual([
      'watch-bookmarkable',
    ]);
    expect(after((records) => [...records.slice(0, 4), progress(6)])).toEqual([
      'watch-bookmarkable',
    ]);
  });

  test('is-create: both ways', () => {
    expect(
      after((records) => withEvents(records, 1, withKv({ createRevision: 1, version: 2 }))),
    ).toEqual(['watch-is-create']);
    expect(
      after((records) => withEvents(records, 3, withKv({ createRevision: 4, version: 1 }))),
    ).toEqual(['watch-is-create']);
  });

  test('prev-kv: wrong, missing, or not asked for', () => {
    const [, one, two] = honest({ prevKv: true }).log.records;
    expect(eventsOf(one)[0]?.prevKv).toBeUndefined();
    expect(eventsOf(two)[0]?.prevKv).toBeUndefined();
    const before = eventsOf(honest({ prevKv: true }).log.records[3])[0]!.prevKv!;
    for (const prevKv of [undefined, { ...before, version: 9 }, { ...before, value: utf8('x') }]) {
      const change = ([first, ...rest]: readonly Event[]): Event[] => [
        { ...first!, prevKv },
        ...rest,
      ];
      expect(after((records) => withEvents(records, 3, change), { prevKv: true })).toEqual([
        'watch-prev-kv',
      ]);
    }
    const unasked = (list: readonly Event[]): Event[] =>
      list.map((event) => ({ ...event, prevKv: before }));
    expect(after((records) => withEvents(records, 3, unasked))).toEqual(['watch-prev-kv']);
    const created = withEvents(honest({ prevKv: true }).log.records.slice(), 1, unasked);
    expect(after(() => created, { prevKv: true })).toEqual(['watch-prev-kv']);
  });

  test('event: fields that never were', () => {
    for (const fields of [{ value: utf8('x') }, { version: 5 }, { lease: 3n }]) {
      expect(after((records) => withEvents(records, 1, withKv(fields)))).toEqual(['watch-event']);
    }
    expect(after((records) => withEvents(records, 1, withKv({ key: utf8('q') })))).toContain(
      'watch-event',
    );
    const bare = ([first, ...rest]: readonly Event[]): Event[] => [
      { ...first!, kv: undefined },
      ...rest,
    ];
    expect(after((records) => withEvents(records, 1, bare))).toContain('watch-event');
  });

  test('revision: of an answer below its events', () => {
    expect(
      after((records) => records.map((each, i) => (i === 4 ? { ...each, revision: 4 } : each))),
    ).toEqual(['watch-revision']);
    expect(after((records) => [...records, progress(99)])).toEqual(['watch-revision']);
  });
});
