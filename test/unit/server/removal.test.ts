/** When a removed member may end: once the others will not need its vote again, or never say so. */
import { describe, expect, test } from 'vitest';
import { Removal } from '../../../src/server/removal.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

interface Subject {
  readonly removal: Removal;
  readonly clock: VirtualClock;
  readonly ends: () => number;
}

function removal(voters: readonly bigint[]): Subject {
  const clock = new VirtualClock();
  let ends = 0;
  const subject = new Removal({ clock, voters: () => voters, end: () => ends++ });
  return { removal: subject, clock, ends: () => ends };
}

describe('a removed member', () => {
  test('ends a second after it knows, if a majority has told it by then', () => {
    const { removal: subject, clock, ends } = removal([1n, 2n, 3n, 4n]);
    subject.begin();
    for (const member of [1n, 3n, 4n]) subject.toldBy(member);
    clock.advance(999);
    expect(ends()).toBe(0);
    clock.advance(1);
    expect(ends()).toBe(1);
  });

  test('goes on until a majority has told it, whoever says it again', () => {
    const { removal: subject, clock, ends } = removal([1n, 2n]);
    subject.toldBy(1n);
    clock.advance(5_000);
    subject.toldBy(1n);
    // Nobody who votes, as far as it knows.
    subject.toldBy(7n);
    expect(ends()).toBe(0);
    subject.toldBy(2n);
    expect(ends()).toBe(1);
  });

  test('ends after half a minute whatever others say', () => {
    const { removal: subject, clock, ends } = removal([1n, 2n]);
    subject.begin();
    clock.advance(29_999);
    expect(ends()).toBe(0);
    clock.advance(1);
    expect(ends()).toBe(1);
    subject.toldBy(1n);
    subject.toldBy(2n);
    clock.advance(60_000);
    expect(ends()).toBe(1);
  });

  test('needs no answer where there is no other voter', () => {
    const { removal: subject, clock, ends } = removal([]);
    subject.begin();
    clock.advance(1_000);
    expect(ends()).toBe(1);
  });

  test('that is stopped does not end once more', () => {
    const { removal: subject, clock, ends } = removal([1n]);
    subject.begin();
    subject.stop();
    subject.toldBy(1n);
    clock.advance(60_000);
    expect(ends()).toBe(0);
  });
});
