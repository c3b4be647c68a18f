import { expect, test } from 'vitest';
import { MessageReader } from '../../../src/transport/message-reader.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';
import { framed } from './messages.ts';

const frameLimitBytes = 100;

function reading() {
  const clock = new VirtualClock();
  const events: string[] = [];
  const source = { pause: () => events.push('pause'), resume: () => events.push('resume') };
  const reader = new MessageReader(
    source,
    { frameLimitBytes, clock },
    {
      frame: (bytes) => {
        events.push(Buffer.from(bytes).toString());
        onFrame();
      },
      malformed: (reason) => events.push(reason),
      caughtUp: () => events.push('caught up'),
    },
  );
  let onFrame = (): void => undefined;
  const receive = (...frames: readonly Buffer[]): void => {
    const bytes = Buffer.concat([Buffer.from('before'), ...frames, Buffer.from('behind')]);
    reader.receive(bytes, 6, bytes.length - 6);
    // They are not the reader's any more.
    bytes.fill(0xee);
  };
  return { clock, events, reader, receive, onFrame: (what: () => void) => (onFrame = what) };
}

test('frames that wait count as waiting until they are handed over', () => {
  const { clock, events, reader, receive } = reading();
  reader.pause();
  receive(framed('a'), framed('b'));
  expect(reader.isHolding).toBe(true);
  reader.resume();
  // An end that comes now must not overtake them.
  expect([reader.isHolding, events]).toEqual([true, ['pause']]);
  clock.runDue();
  expect([reader.isHolding, events]).toEqual([false, ['pause', 'a', 'b', 'resume', 'caught up']]);
});

test('what comes before that comes after them', () => {
  const { clock, events, reader, receive } = reading();
  reader.pause();
  receive(framed('a'));
  reader.resume();
  receive(framed('b'));
  clock.runDue();
  expect(events).toEqual(['pause', 'a', 'b', 'resume', 'caught up']);
});

test('the source goes on only when nothing waits any more', () => {
  const { clock, events, reader, receive, onFrame } = reading();
  onFrame(() => reader.pause());
  receive(framed('a'), framed('b'), framed('c'));
  for (const expected of [
    ['a', 'pause'],
    ['b', 'pause', 'caught up'],
    ['c', 'pause', 'caught up'],
  ]) {
    expect(events.splice(0)).toEqual(expected);
    reader.resume();
    clock.runDue();
  }
  expect(events).toEqual(['resume']);
});

test('a part of a frame does not count as waiting, and is kept', () => {
  const { events, reader, receive } = reading();
  const bytes = framed('whole');
  for (let at = 0; at < bytes.length; at++) {
    expect([reader.isHolding, events]).toEqual([false, []]);
    receive(bytes.subarray(at, at + 1));
  }
  expect(events).toEqual(['whole']);
});

test('nothing is handed over after a frame that is none', () => {
  const { events, receive } = reading();
  receive(framed('good'), framed('x'.repeat(101)), framed('late'));
  receive(framed('later'));
  expect(events).toEqual(['good', 'a frame of 101 bytes']);
});
