/** Who shows that a member which was added to a cluster has a new data directory. */
import { describe, expect, test } from 'vitest';
import { Founding, type Introduction, WitnessesGoneError } from '../../../src/cluster/founding.ts';
import type { KnownWitnesses } from '../../../src/cluster/membership.ts';
import type { FoundingRecord } from '../../../src/storage/founding-file.ts';
import { early, fresh, late, nobody, says, self } from '../../support/introductions.ts';
import { add, attributes, foundedBy } from '../../support/memberships.ts';

/** None of them leaves when it is removed, but for `spare`. */
const witnesses = (
  ids: readonly bigint[],
  spare = 0,
  removed: readonly bigint[] = [],
): Partial<Introduction> => ({ witnesses: { ids, spare, removed } });
/** What members know of a joiner's witnesses as these are removed, one after the other. */
function statesWhileRemoved(
  id: bigint,
  ids: readonly bigint[],
  other: bigint,
): readonly KnownWitnesses[] {
  const { membership } = foundedBy(...ids, other);
  for (const each of ids) membership.setAttributes(each, attributes);
  membership.apply(add(id, 'http://j:1'));
  const states = [membership.witnessesOf(id)];
  for (const member of ids) {
    membership.apply({ kind: 'remove', member });
    states.push(membership.witnessesOf(id));
  }
  return states;
}

describe('a member that was added', () => {
  const joiner = (others: readonly bigint[], saved: FoundingRecord[] = []): Founding =>
    new Founding({
      self,
      founders: [],
      record: fresh,
      save: (record) => saved.push(record),
      announced: () => false,
      others: () => others,
      witnessesOf: () => nobody,
    });

  test('takes part once its life was noted by a majority of its witnesses, taking part', () => {
    const founding = joiner([2n, 3n, 4n, 5n]);
    const told = witnesses([2n, 3n, 4n], 1);
    founding.waitNoLonger();
    founding.hear(5n, says(5n, { ...late, ...told }));
    founding.hear(2n, says(2n, { ...late, ...told }));
    founding.hear(3n, says(3n, { ...early, ...told }));
    expect(founding.takesPart).toBe(false);
    founding.hear(3n, says(3n, { ...late, ...told }));
    expect(founding.takesPart).toBe(true);
  });

  test('does not take part before it has heard who its witnesses are', () => {
    const founding = joiner([2n, 3n]);
    founding.waitNoLonger();
    founding.hear(2n, says(2n, late));
    founding.hear(3n, says(3n, late));
    expect(founding.takesPart).toBe(false);
    // It has not noted the life.
    founding.hear(3n, says(3n, { takesPart: true, ...witnesses([2n]) }));
    founding.hear(2n, says(2n, late));
    expect(founding.takesPart).toBe(true);
  });

  test('does not wait for one that was removed, once anybody tells', () => {
    const founding = joiner([2n, 3n, 4n]);
    founding.hear(2n, says(2n, { ...late, ...witnesses([2n, 3n], 1) }));
    expect(founding.takesPart).toBe(false);
    founding.hear(4n, says(4n, witnesses([2n])));
    founding.hear(2n, says(2n, { ...late, ...witnesses([2n, 3n], 1) }));
    expect(founding.takesPart).toBe(true);
  });

  test('does not wait for one that it knows to be removed itself', () => {
    const founding = joiner([2n, 4n]);
    founding.hear(2n, says(2n, { ...late, ...witnesses([2n, 3n], 1) }));
    expect(founding.takesPart).toBe(true);
  });

  test.each([
    ['two of three', [2n, 5n], witnesses([2n, 3n, 4n], 1), '3, 4'],
    [
      'two of three since it started first',
      [2n, 3n, 4n],
      witnesses([2n, 3n, 4n], 0, [3n, 4n]),
      '3, 4',
    ],
    ['one of two that may not be missed', [2n], witnesses([2n, 3n]), '3'],
    ['three of four', [2n], witnesses([2n, 3n, 4n, 5n], 2), '3, 4, 5'],
  ])('is refused where %s were removed', (_, others, told, gone) => {
    const saved: FoundingRecord[] = [];
    const founding = joiner(others, saved);
    expect(() => founding.hear(2n, says(2n, { ...late, ...told }))).toThrow(
      'member 1 cannot take part: too many of the members that were there when it was added have ' +
        `been removed since (${gone}), and those that are left cannot tell`,
    );
    expect(founding.takesPart).toBe(false);
    expect(saved.some(({ takesPart }) => takesPart)).toBe(false);
  });

  test.each([1, 2, 3, 4, 5])('is proven new by sets that meet, of %i witnesses', (count) => {
    const ids = Array.from({ length: count }, (_, i) => BigInt(i + 2));
    const teller = 50n;
    const states = statesWhileRemoved(self, ids, teller);
    const subsets = Array.from({ length: 2 ** count }, (_, bits) => bits);
    const proving = new Set<number>();
    // It was started when so many had been removed; two others know of more or fewer.
    for (const [started] of states.entries()) {
      for (const [one, two] of states.flatMap((a) => states.map((b) => [a, b] as const))) {
        for (const bits of subsets) {
          const founding = joiner([...ids.slice(started), teller]);
          const noting = ids.filter((_, i) => (bits >> i) % 2 === 1);
          try {
            founding.hear(teller, says(teller, { witnesses: one }));
            founding.hear(teller, says(teller, { witnesses: two }));
            for (const each of noting) founding.hear(each, says(each, { ...late, witnesses: two }));
          } catch (error) {
            expect(error).toBeInstanceOf(WitnessesGoneError);
          }
          if (founding.takesPart) proving.add(bits);
        }
      }
    }
    expect(proving.size).toBeGreaterThan(0);
    for (const a of proving) for (const b of proving) expect(a & b).not.toBe(0);
  });
});
