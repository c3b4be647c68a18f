/** The same scripts against etcd and against us: answers, codes, texts and events are equal. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { etcdMissing, etcdVersion } from '../support/etcd.ts';
import { authGroup } from './cases/auth.ts';
import { concurrencyGroups } from './cases/concurrency.ts';
import { leaseGroup } from './cases/lease.ts';
import { memberGroups } from './cases/members.ts';
import { rangeGroup } from './cases/range.ts';
import { txnGroups } from './cases/txn.ts';
import { watchGroup } from './cases/watch.ts';
import { writeGroups } from './cases/write.ts';
import { differences, used } from './differences.ts';
import { type Group, Pair } from './pair.ts';
import { pending } from './pending.ts';

const groups: readonly Group[] = [
  rangeGroup,
  ...writeGroups,
  ...txnGroups,
  leaseGroup,
  watchGroup,
  authGroup,
  ...memberGroups,
  ...concurrencyGroups,
];
const caseCount = groups.reduce((sum, { cases }) => sum + cases.length, 0);

describe.skipIf(etcdVersion === undefined)(
  `against etcd ${etcdVersion ?? ''}${etcdMissing}`,
  () => {
    describe.each(groups)('$name', ({ name, flags, prepare, cases }) => {
      let pair: Pair;
      beforeAll(async () => {
        pair = await Pair.start(flags);
        if (prepare !== undefined) await pair.both(prepare);
      });
      afterAll(() => pair.stop());

      for (const one of cases) {
        const unfit = one.unfit?.test(etcdVersion ?? '') === true;
        const suffix = unfit ? ` (skipped: etcd ${etcdVersion ?? ''} does not survive it)` : '';
        test.skipIf(unfit)(one.name + suffix, async ({ skip }) => {
          const missing = await pair.run(name, one);
          if (missing !== undefined) skip(`Quorate does not serve ${missing} yet`);
        });
      }
    });

    test('there are at least 300 cases', () => {
      expect(caseCount).toBeGreaterThanOrEqual(300);
    });

    test('every entry of the list of differences is needed', () => {
      const relevant = differences.filter(
        ({ etcd, needs }) =>
          etcd.test(etcdVersion ?? '') && (needs === undefined || !pending.includes(needs)),
      );
      expect(relevant.filter((one) => !used.has(one)).map(({ line }) => String(line))).toEqual([]);
    });
  },
);
