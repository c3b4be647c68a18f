/**
 * Honest histories are accepted, and of dishonest ones hardly any. A lie stays unseen only where
 * the history with it could have happened too.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkHistory, isUndecided } from '../../check/index.ts';
import { liesOf } from './lies.ts';
import { RandomHistory } from './random-history.ts';

const small = { operations: 60, keys: 4, watchers: 3, unknownPercent: 12 };

function found(seed: number, withEvents: boolean): string[] {
  const { recording } = new RandomHistory(seed, small);
  const history = recording.history(withEvents ? {} : { events: undefined });
  return checkHistory(history)
    .filter((violation) => withEvents || !isUndecided(violation))
    .map(({ rule, text }) => `${rule}: ${text}`);
}

describe('random honest histories', () => {
  test('are accepted with the truth', () => {
    fc.assert(
      fc.property(fc.nat(1_000_000_000), (seed) => {
        expect(found(seed, true)).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });

  test('are accepted without it, or undecided', () => {
    fc.assert(
      fc.property(fc.nat(1_000_000_000), (seed) => {
        expect(found(seed, false)).toEqual([]);
      }),
      { numRuns: 50 },
    );
  });
});

/** Tells one lie of a random history. Returns its name and whether replay or watch checks see. */
function lie(seed: number, choice: number, unknownPercent: number): [name: string, seen: boolean] {
  const { recording } = new RandomHistory(seed, { ...small, unknownPercent });
  const history = structuredClone(recording.history());
  const lies = liesOf(history);
  const told = lies[Math.floor(choice * lies.length)]!;
  told.tell();
  const seen = checkHistory(history).some(({ rule }) => !rule.startsWith('search-'));
  return [told.name, seen];
}

const fraction = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('random dishonest histories', () => {
  test('are all rejected if every outcome is known', () => {
    fc.assert(
      fc.property(fc.nat(1_000_000_000), fraction, (seed, choice) => {
        const [name, seen] = lie(seed, choice, 0);
        expect(seen, name).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test('are nearly all rejected if some are not', () => {
    const runs = 200;
    const seed = Date.now() % 1_000_000;
    const unseen: string[] = [];
    for (let i = 0; i < runs; i++) {
      const [name, seen] = lie(seed + i, (i * 0.618_034) % 1, 15);
      if (!seen) unseen.push(`seed ${seed + i}: ${name}`);
    }
    expect(unseen.length, unseen.join('\n')).toBeLessThan(runs / 50);
  });
});
