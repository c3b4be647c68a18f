/** Who takes part: the decision alone, and among members whose disks are emptied at any moment. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BootstrappedError, Founding } from '../../../src/cluster/founding.ts';

import type { FoundingRecord } from '../../../src/storage/founding-file.ts';
import { early, fresh, late, life, nobody, says, self } from '../../support/introductions.ts';

interface Subject {
  readonly founding: Founding;
  readonly saved: FoundingRecord[];
}

function founder(
  count: number,
  record: FoundingRecord | 'none' = fresh,
  announced: readonly bigint[] = [],
): Subject {
  const saved: FoundingRecord[] = [];
  const founding = new Founding({
    self,
    founders: Array.from({ length: count }, (_, i) => BigInt(i + 1)),
    record: record === 'none' ? undefined : record,
    save: (each) => saved.push(each),
    announced: (member) => announced.includes(member),
    others: () => [],
    witnessesOf: () => nobody,
  });
  return { founding, saved };
}

describe('a member with a new data directory', () => {
  test('takes part once a majority with it has noted its life, not taking part yet', () => {
    const { founding, saved } = founder(5);
    founding.hear(2n, says(2n, early));
    expect(founding.takesPart).toBe(false);
    founding.hear(2n, says(2n, early));
    expect(founding.takesPart).toBe(false);
    founding.hear(3n, says(3n, early));
    expect(founding.takesPart).toBe(false);
    founding.waitNoLonger();
    expect(founding.takesPart).toBe(true);
    expect(saved.at(-1)).toMatchObject({ life, takesPart: true });
  });

  test('waits for nobody once all others have noted its life', () => {
    const { founding } = founder(3);
    founding.hear(2n, says(2n, early));
    expect(founding.takesPart).toBe(false);
    founding.hear(3n, says(3n, early));
    expect(founding.takesPart).toBe(true);
  });

  test('founds nothing however long it waits alone, or where one that takes part is heard', () => {
    const { founding } = founder(3);
    founding.waitNoLonger();
    founding.hear(2n, says(2n, late));
    founding.hear(3n, says(3n, early));
    expect(founding.takesPart).toBe(false);
  });

  test('does not take part because others exist', () => {
    const { founding } = founder(3);
    for (const member of [2n, 3n]) founding.hear(member, says(member));
    for (const member of [2n, 3n]) founding.hear(member, says(member, { takesPart: true }));
    expect(founding.takesPart).toBe(false);
    expect(founding.isKnownTo(2n)).toBe(false);
  });

  test('is late if one that takes part noted it, and waits for a majority without it', () => {
    const { founding } = founder(3);
    founding.hear(2n, says(2n, late));
    expect(founding.takesPart).toBe(false);
    founding.hear(3n, says(3n, early));
    expect(founding.takesPart).toBe(false);
    // It takes part by now, whenever it noted the life.
    founding.hear(3n, says(3n, { ...early, takesPart: true }));
    expect(founding.takesPart).toBe(true);
  });

  test('is not late if those that take part are too few, however many others there are', () => {
    const { founding } = founder(5);
    founding.hear(2n, says(2n, late));
    founding.hear(3n, says(3n, late));
    founding.hear(4n, says(4n, early));
    founding.hear(5n, says(5n, early));
    expect(founding.takesPart).toBe(false);
    founding.hear(4n, says(4n, { ...early, takesPart: true }));
    expect(founding.takesPart).toBe(true);
  });

  test.each([
    ['another life of it was noted', { noted: 99n }],
    ['another life of it was noted, early', { noted: 99n, early: true }],
    ['its announcement was agreed on', { announced: true }],
    ['its announcement was agreed on and its life noted', { ...early, announced: true }],
  ])('is refused if %s', (_, change) => {
    const { founding, saved } = founder(3);
    expect(() => founding.hear(2n, says(2n, change))).toThrow(BootstrappedError);
    expect(() => founding.hear(2n, says(2n, change))).toThrow(
      'member 1 has already been bootstrapped: member 2 knows it with another data directory',
    );
    expect(founding.takesPart).toBe(false);
    expect(saved.some((each) => each.takesPart)).toBe(false);
  });

  test('is known for good once it takes part, whatever others say', () => {
    const { founding } = founder(3, { ...fresh, takesPart: true });
    founding.hear(2n, says(2n, { noted: 99n, announced: true }));
    expect(founding.takesPart).toBe(true);
  });

  test('does not take part if that cannot be made durable', () => {
    const founding = new Founding({
      self,
      founders: [1n, 2n, 3n],
      record: fresh,
      save: (record) => {
        if (record.takesPart) throw new Error('EIO');
      },
      announced: () => false,
      others: () => [2n, 3n],
      witnessesOf: () => nobody,
    });
    founding.waitNoLonger();
    expect(() => founding.hear(2n, says(2n, early))).toThrow('EIO');
    expect(founding.takesPart).toBe(false);
  });
});

describe('what a member notes of others', () => {
  test('is the first life, durably, and whether it took part itself', () => {
    const { founding, saved } = founder(5);
    founding.hear(2n, says(2n));
    const noted = { acquaintances: [{ member: 2n, life: 200n, early: true }] };
    expect(saved).toEqual([{ ...fresh, ...noted }]);
    expect(founding.introductionTo(2n, true)).toEqual({
      life,
      takesPart: false,
      asks: true,
      noted: 200n,
      early: true,
      announced: false,
      witnesses: nobody,
    });
    founding.hear(2n, says(2n, { life: 201n }));
    expect(founding.introductionTo(2n, false).noted).toBe(200n);
    expect(saved).toHaveLength(1);
    const later = founder(5, { ...fresh, ...noted, takesPart: true });
    later.founding.hear(3n, says(3n));
    expect(later.founding.introductionTo(2n, false)).toMatchObject({ noted: 200n, early: true });
    expect(later.founding.introductionTo(3n, false)).toMatchObject({ noted: 300n, early: false });
  });

  test('is nothing of one that was announced and takes no part', () => {
    const { founding, saved } = founder(3, { ...fresh, takesPart: true }, [2n]);
    founding.hear(2n, says(2n));
    expect(saved).toEqual([]);
    expect(founding.introductionTo(2n, false)).toMatchObject({ noted: 0n, announced: true });
    founding.hear(2n, says(2n, { takesPart: true }));
    expect(founding.introductionTo(2n, false).noted).toBe(200n);
  });

  test('is nothing of a directory without a life', () => {
    const { founding, saved } = founder(3);
    founding.hear(2n, says(2n, { life: 0n, takesPart: true }));
    expect(saved).toEqual([]);
  });
});

test('a directory of an earlier version takes part and has nothing to be known by', () => {
  const { founding } = founder(3, 'none');
  expect(founding.takesPart).toBe(true);
  expect(founding.isKnownTo(2n)).toBe(true);
  founding.hear(2n, says(2n));
  expect(founding.introductionTo(2n, false)).toMatchObject({ life: 0n, noted: 200n, early: false });
});

/** Members that introduce themselves in any order, crash, and lose their disks. */
class World {
  readonly count: number;
  readonly disks: (FoundingRecord | undefined)[];
  readonly #members: (Founding | undefined)[];
  /** Took part at some time, with the directory that it has now or with another. */
  readonly active: boolean[];
  /** Took part, lost its disk, and takes part again. */
  amnesiacs = 0;
  #lives = 0;

  constructor(count: number) {
    this.count = count;
    this.disks = Array.from({ length: count }, () => undefined);
    this.#members = Array.from({ length: count }, () => undefined);
    this.active = Array.from({ length: count }, () => false);
  }

  get majority(): number {
    return Math.floor(this.count / 2) + 1;
  }

  start(at: number): Founding {
    const fresh = { life: BigInt(++this.#lives), takesPart: false, acquaintances: [] };
    const record = (this.disks[at] ??= fresh);
    const member = new Founding({
      self: BigInt(at),
      founders: Array.from({ length: this.count }, (_, i) => BigInt(i)),
      record,
      save: (each) => {
        if (each.takesPart && this.disks[at]?.takesPart === false) {
          if (this.active[at] === true) this.amnesiacs++;
          this.active[at] = true;
        }
        this.disks[at] = each;
      },
      announced: () => false,
      others: () => [],
      witnessesOf: () => nobody,
    });
    this.#members[at] = member;
    return member;
  }

  takesPart(at: number): boolean {
    return this.disks[at]?.takesPart === true;
  }

  /** Introduces `from` to `to`, both started if need be. */
  tell(from: number, to: number): void {
    if (from === to) return;
    const sender = this.#members[from] ?? this.start(from);
    const receiver = this.#members[to] ?? this.start(to);
    try {
      receiver.hear(BigInt(from), sender.introductionTo(BigInt(to), false));
    } catch (error) {
      if (!(error instanceof BootstrappedError)) throw error;
    }
  }

  /** It waited for those who might object. */
  wait(at: number): void {
    this.#members[at]?.waitNoLonger();
  }

  restart(at: number): void {
    if (this.disks[at] !== undefined) this.start(at);
  }

  empty(at: number): void {
    this.disks[at] = undefined;
    this.#members[at] = undefined;
  }
}

interface Step {
  readonly kind: 'tell' | 'restart' | 'wait';
  readonly from: number;
  readonly to: number;
}

const counts = fc.constantFrom(2, 3, 4, 5, 7);
const steps = fc.array(
  fc.record<Step>({
    kind: fc.constantFrom('tell', 'tell', 'tell', 'tell', 'restart', 'wait'),
    from: fc.nat(6),
    to: fc.nat(6),
  }),
  { maxLength: 60 },
);

/** @param among so many of the members, from the first on */
function go(world: World, list: readonly Step[], among = world.count): void {
  for (const { kind, from, to } of list) {
    if (kind === 'restart') world.restart(from % among);
    else if (kind === 'wait') world.wait(from % among);
    else world.tell(from % among, to % among);
  }
}

/** Everybody among the first tells everybody, in this order of chance, until all were told. */
function meet(world: World, among: number, chance: readonly number[]): void {
  const members = Array.from({ length: among }, (_, i) => i);
  const pairs = members.flatMap((from) => members.map((to) => [from, to] as const));
  for (let round = 0; round < 3; round++) {
    for (const place of chance) {
      const [from = 0, to = 0] = pairs[place % pairs.length] ?? [];
      world.tell(from, to);
    }
    for (const [from, to] of pairs) world.tell(from, to);
    for (const member of members) world.wait(member);
  }
}

const chances = fc.array(fc.nat(48), { minLength: 20, maxLength: 60 });

describe('among members', () => {
  test('one emptied takes no part again where the others work without it', () => {
    let emptied = 0;
    fc.assert(
      fc.property(
        counts,
        steps,
        chances,
        steps,
        fc.nat(6),
        (count, before, some, after, choice) => {
          const world = new World(count);
          go(world, before);
          const rest = Math.min(count, world.majority + 1);
          meet(world, rest, some);
          const victim = choice % rest;
          const working = world.disks.filter((_, i) => i !== victim && world.takesPart(i)).length;
          if (!world.takesPart(victim) || working < world.majority) return;
          emptied++;
          world.empty(victim);
          go(world, after);
          meet(world, count, some);
          expect(world.takesPart(victim)).toBe(false);
          expect(world.amnesiacs).toBe(0);
        },
      ),
      { numRuns: 2_000 },
    );
    expect(emptied).toBeGreaterThan(200);
  });

  test('any majority founds, in whatever order they meet', () => {
    fc.assert(
      fc.property(counts, steps, chances, (count, before, chance) => {
        const world = new World(count);
        go(world, before, world.majority);
        meet(world, world.majority, chance);
        for (let i = 0; i < world.majority; i++) expect(world.takesPart(i)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  test('one that is late takes part once it hears a majority that does', () => {
    fc.assert(
      fc.property(counts, chances, steps, (count, chance, before) => {
        const world = new World(count);
        meet(world, world.majority, chance);
        go(world, before);
        for (let late = world.majority; late < count; late++) {
          for (let other = 0; other < world.majority; other++) {
            world.tell(late, other);
            world.tell(other, late);
          }
          expect(world.takesPart(late)).toBe(true);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
