import { describe, expect, test } from 'vitest';
import { benchOptions, chosen } from '../../bench/options.ts';
import { workloadsOf } from '../../bench/workloads.ts';

const all = workloadsOf({ quick: false, seconds: 7 });
const namesOf = (patterns?: readonly string[]): string[] =>
  chosen(all, patterns).map(({ name }) => name);

describe('options', () => {
  test('have defaults, shorter ones for a smoke test', () => {
    expect(benchOptions([], '/repository')).toMatchObject({
      members: [1, 3],
      rounds: 3,
      seconds: 5,
      out: '/repository/docs',
      only: undefined,
    });
    expect(benchOptions(['--quick'], '/')).toMatchObject({ rounds: 1, seconds: 0.2 });
    expect(benchOptions(['--quick', '--seconds=3'], '/')).toMatchObject({ seconds: 3 });
  });

  test.each([
    [['--quick'], 'build/benchmarks'],
    [['--workloads=put-1'], 'build/benchmarks'],
    [['--only=ours'], 'build/benchmarks'],
    [['--profile=p'], 'build/benchmarks'],
    [['--only=ours', '--out=x'], 'x'],
    [['--rounds=5'], 'docs'],
  ])('%s goes to %s: only all of it is the page of the project', (args, out) => {
    expect(benchOptions(args, '/r').out).toBe(`/r/${out}`);
  });

  test.each([
    [['--members=1,x'], '--members takes positive whole numbers, not x'],
    [['--rounds=0'], '--rounds takes positive whole numbers, not 0'],
    [['--seconds=-1'], '--seconds takes a number'],
    [['--only=redis'], '--only takes ours, etcd, constant, not redis'],
    [['--fast'], '--fast'],
  ])('%s is refused', (args, words) => {
    expect(() => benchOptions(args, '/')).toThrow(words);
  });
});

describe('workloads', () => {
  test('are chosen by name or by how the name begins, in the order of the table', () => {
    expect(namesOf(['get-1', 'put-1'])).toEqual(['put-1', 'get-1']);
    expect(namesOf(['put-follower*'])).toEqual([
      'put-follower-1',
      'put-follower-10',
      'put-follower-100',
      'put-follower-1000',
    ]);
    expect(namesOf()).toHaveLength(all.length);
    expect(() => namesOf(['put-1', 'get-7'])).toThrow(
      'there is no workload get-7; there are put-1',
    );
  });

  test('have names of their own, and whole streams on each connection', () => {
    expect(new Set(namesOf()).size).toBe(all.length);
    for (const { name, generator } of all) {
      if (generator.kind !== 'repeat') continue;
      expect(generator.inFlight % generator.connections, name).toBe(0);
    }
  });

  test('in a smoke test they are the same, but small', () => {
    const small = workloadsOf({ quick: true, seconds: 0.4 });
    expect(small.map(({ name }) => name)).toEqual(namesOf());
    expect(Math.max(...small.map(({ prepared }) => prepared))).toBeLessThan(10_000);
  });
});
