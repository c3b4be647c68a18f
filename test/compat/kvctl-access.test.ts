/** Users and roles through kvctl beside etcdctl; Quorate and etcd are run alike. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ClusterProcess } from '../support/cluster-process.ts';
import { inParallel } from '../support/command.ts';
import { etcdMissing, etcdVersion, startEtcd } from '../support/etcd.ts';
import { startQuorate } from '../support/quorate.ts';
import { access, accessRefusals } from './kvctl/access-cases.ts';
import { accessDifferences } from './kvctl/differences.ts';
import { Sides, etcdctlMissing, etcdctlVersion, used } from './kvctl/sides.ts';

/** Command lines at a time: twice the cores of a small machine, for they also wait. */
const width = 4;

const servers = [
  // It refuses them all alike, as long as it has no users and roles.
  { name: 'Quorate', start: startQuorate, isThere: true, cases: access.slice(-12) },
  {
    name: `etcd${etcdMissing}`,
    start: startEtcd,
    isThere: etcdVersion !== undefined,
    cases: access,
  },
];

const available = servers.filter(({ isThere }) => isThere && etcdctlMissing === '');

describe.skipIf(etcdctlMissing !== '').each(available)('on $name', ({ start, cases }) => {
  let clusters: ClusterProcess[] = [];

  beforeAll(async () => {
    clusters = await Promise.all([start(), start()]);
  });

  afterAll(async () => {
    await Promise.all(clusters.map((cluster) => cluster.stop()));
  });

  test('users and roles are handled alike', { timeout: 240_000 }, async () => {
    const [first = '', second = ''] = clusters.map(({ addresses }) => addresses[0] ?? '');
    const sides = new Sides([first, second]);
    for (const each of cases) await sides.compare(each);
    expect(sides.different.join('\n')).toBe('');
    expect(sides.compared).toBe(cases.length);
  });
});

describe.skipIf(etcdctlMissing !== '')(`without a server${etcdctlMissing}`, () => {
  test('refuses alike', { timeout: 60_000 }, async () => {
    const sides = new Sides(['127.0.0.1:1', '127.0.0.1:1'], true);
    await inParallel(accessRefusals, width, (each) => sides.compare(each));
    expect(sides.different.join('\n')).toBe('');
  });

  test('every listed difference is one', () => {
    const needless = accessDifferences.filter(
      (difference) => difference.etcdctl.test(etcdctlVersion ?? '') && !used.has(difference),
    );
    expect(needless.map(({ reason }) => reason)).toEqual([]);
  });
});
