import { beforeEach, expect, test } from 'vitest';
import type { Message } from '../../../src/raft/index.ts';
import { CommitNotices } from '../../../src/server/commit-notices.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

let clock: VirtualClock;
let late: Message[];
let notices: CommitNotices;

beforeEach(() => {
  clock = new VirtualClock();
  late = [];
  notices = new CommitNotices(clock, (messages) => late.push(...messages));
});

const base = { from: 1n, term: 3 };

function committed(to: bigint, index: number): Message {
  return { ...base, type: 'committed', to, index, logTerm: 3 };
}

function append(to: bigint, commit: number, term = 3): Message {
  return { ...base, type: 'append', to, term, index: 9, logTerm: 3, entries: [], commit };
}

function heartbeat(to: bigint, commit: number): Message {
  return { ...base, type: 'heartbeat', to, commit, context: 1n };
}

/** As one line a message. */
function told(messages: readonly Message[]): string[] {
  return messages.map((message) => {
    const what = 'commit' in message ? message.commit : 'index' in message ? message.index : '';
    return `${message.type} ${what} to ${message.to}`;
  });
}

function send(messages: readonly Message[], hurries = false): string[] {
  return told(notices.outgoing(messages, hurries));
}

test('a notice waits a millisecond, and no longer', () => {
  expect(send([committed(2n, 5), committed(3n, 5)])).toEqual([]);
  clock.advance(0.9);
  expect(late).toEqual([]);
  clock.advance(0.1);
  expect(told(late)).toEqual(['committed 5 to 2', 'committed 5 to 3']);
  clock.advance(10);
  expect(late).toHaveLength(2);
  // The next one waits as long.
  expect(send([committed(2n, 6)])).toEqual([]);
  clock.advance(1);
  expect(told(late).slice(2)).toEqual(['committed 6 to 2']);
});

test('a newer notice takes the place of an older one, but does not prolong its wait', () => {
  send([committed(2n, 5)]);
  clock.advance(0.6);
  send([committed(2n, 6)]);
  clock.advance(0.4);
  expect(told(late)).toEqual(['committed 6 to 2']);
});

test.each([
  ['entries', append(2n, 5)],
  ['a heartbeat', heartbeat(2n, 5)],
])('%s that tell as much are sent in its place', (_what, message) => {
  send([committed(2n, 5), committed(3n, 5)]);
  expect(send([message])).toHaveLength(1);
  clock.advance(1);
  expect(told(late)).toEqual(['committed 5 to 3']);
});

test.each([
  ['tell less', heartbeat(2n, 4)],
  ['are of another term', append(2n, 5, 4)],
  ['go to another member', append(3n, 5)],
])('messages that %s are not sent in its place', (_what, message) => {
  send([committed(2n, 5)]);
  send([message]);
  clock.advance(1);
  expect(told(late)).toEqual(['committed 5 to 2']);
});

test('a follower whose client waits for its write is told at once, and for a while after', () => {
  notices.proposedBy(2n);
  expect(send([committed(2n, 5), committed(3n, 5)])).toEqual(['committed 5 to 2']);
  clock.advance(999);
  expect(send([committed(2n, 6)])).toEqual(['committed 6 to 2']);
  clock.advance(1);
  expect(send([committed(2n, 7)])).toEqual([]);
});

test.each([
  ['reads', { ...base, type: 'readIndexResponse', to: 2n, index: 5, context: 1n } as const],
  ['is to lead', { ...base, type: 'timeoutNow', to: 2n } as const],
])('a follower that %s is told at once', (_what, message) => {
  const name = `${message.type} ${'index' in message ? message.index : ''} to 2`;
  send([committed(2n, 5), committed(3n, 5)]);
  // Before what it is needed for.
  expect(send([message])).toEqual(['committed 5 to 2', name]);
  clock.advance(1);
  expect(told(late)).toEqual(['committed 5 to 3']);
  // In whatever order the core has them.
  expect(send([message, committed(2n, 6)])).toEqual([name, 'committed 6 to 2']);
});

test('none waits when one must not', () => {
  send([committed(2n, 5)]);
  expect(send([committed(2n, 6), committed(3n, 6)], true)).toEqual([
    'committed 6 to 2',
    'committed 6 to 3',
  ]);
  send([committed(2n, 7), committed(3n, 7)]);
  expect(send([], true)).toEqual(['committed 7 to 2', 'committed 7 to 3']);
  clock.advance(1);
  expect(late).toEqual([]);
});

test('entries that take long are not waited for', () => {
  send([committed(2n, 5)]);
  const data = new Uint8Array(40_000);
  const entries = [10, 11].map((index) => ({ index, term: 3, kind: 0 as const, data }));
  expect(send([{ ...append(2n, 5), entries } as Message])).toHaveLength(1);
  clock.advance(1);
  expect(told(late)).toEqual(['committed 5 to 2']);
});

test('a notice of less, to a candidate, does not wait, and takes the place of none', () => {
  send([committed(2n, 5)]);
  expect(send([committed(2n, 3)])).toEqual(['committed 3 to 2']);
  clock.advance(1);
  expect(told(late)).toEqual(['committed 5 to 2']);
});

test('after a stop nothing is sent', () => {
  send([committed(2n, 5)]);
  notices.stop();
  expect(clock.pending).toBe(0);
  send([committed(2n, 6)]);
  expect(clock.pending).toBe(0);
});
