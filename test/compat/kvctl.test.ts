/** kvctl beside etcdctl: the same command lines against the same state, on ours and on etcd. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Client } from '../../src/client/index.ts';
import type { ClusterProcess } from '../support/cluster-process.ts';
import { inParallel } from '../support/command.ts';
import { etcdMissing, etcdVersion, startEtcd } from '../support/etcd.ts';
import { startQuorate } from '../support/quorate.ts';
import { owners, preparedLease, reads, refusals, unreachable, writes } from './kvctl/cases.ts';
import { commandDifferences } from './kvctl/differences.ts';
import { Sides, etcdctlMissing, etcdctlVersion, used } from './kvctl/sides.ts';

/** Command lines at a time: twice the cores of a small machine, for they also wait. */
const width = 4;

/** Each run of kvctl starts a Node: not all that one server has shown must the other one show. */
const servers = [
  { name: 'Quorate', start: startQuorate, isThere: true, reads },
  {
    name: `etcd${etcdMissing}`,
    start: startEtcd,
    isThere: etcdVersion !== undefined,
    reads: reads.filter((_, i) => i % 3 === 0),
  },
];

const available = servers.filter(({ isThere }) => isThere && etcdctlMissing === '');

describe.skipIf(etcdctlMissing !== '').each(available)(
  `kvctl as etcdctl, on $name`,
  ({ start, reads: some }) => {
    let clusters: ClusterProcess[] = [];
    let sides: Sides;

    beforeAll(async () => {
      clusters = await Promise.all([start(), start()]);
      const [first = '', second = ''] = clusters.map(({ addresses }) => addresses[0] ?? '');
      for (const endpoints of [first, second]) {
        await using client = new Client({ endpoints });
        await client.grant({ id: BigInt(`0x${preparedLease}`), ttl: 6_000 });
      }
      sides = new Sides([first, second]);
    });

    afterAll(async () => {
      await Promise.all(clusters.map((cluster) => cluster.stop()));
    });

    test('writes, reads and watches alike', { timeout: 240_000 }, async () => {
      for (const each of writes) await sides.compare(each);
      // One server for both, so that not even ids differ.
      const same = sides.onFirst();
      await inParallel(some, width, (each) => same.compare(each));
      for (const each of owners) await sides.compare(each);
      expect([...sides.different, ...same.different].join('\n')).toBe('');
      expect(sides.compared + same.compared).toBeGreaterThan(80);
    });
  },
);

describe.skipIf(etcdctlMissing !== '')(`kvctl as etcdctl${etcdctlMissing}`, () => {
  test('refuses alike', { timeout: 240_000 }, async () => {
    const sides = new Sides(['127.0.0.1:1', '127.0.0.1:1'], true);
    await inParallel(refusals, width, (each) => sides.compare(each));
    expect(sides.different.join('\n')).toBe('');
  });

  test('tells alike that no server is there', { timeout: 60_000 }, async () => {
    const sides = new Sides(['', '']);
    await inParallel(unreachable, width, (each) => sides.compare(each));
    expect(sides.different.join('\n')).toBe('');
  });

  test('every listed difference is one', () => {
    const needless = commandDifferences.filter(
      (difference) => difference.etcdctl.test(etcdctlVersion ?? '') && !used.has(difference),
    );
    expect(needless.map(({ reason }) => reason)).toEqual([]);
  });
});
