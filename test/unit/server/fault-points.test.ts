/** Every named step is one that members come to, so that a crash planned there does happen. */
import { afterEach, expect, test } from 'vitest';
import { armFaultPoints, type FaultPoint, faultPoints } from '../../../src/base/fault-point.ts';
import { fromLatin1, utf8 } from '../../../src/base/bytes.ts';
import { CompactionRequest, PutRequest } from '../../../src/gen/rpc.ts';
import { VirtualCluster } from '../../support/virtual-cluster.ts';

afterEach(() => armFaultPoints(undefined));

test('a cluster comes to every step', async () => {
  const reached = new Set<FaultPoint>();
  armFaultPoints((point) => {
    reached.add(point);
    return undefined;
  });
  const cluster = new VirtualCluster({ seed: 1, snapshotCount: 20, catchUpEntries: 5 });
  await cluster.until(() => cluster.leader !== undefined);
  // A follower that is away for so long needs a snapshot, which replaces the state that it had.
  const follower = cluster.members.find((member) => member !== cluster.leader)!;
  follower.crash();
  for (let i = 0; i < 100; i++) {
    const value = PutRequest.create({ key: utf8(`k${i % 3}`), value: utf8(`${i}`) });
    let written = false;
    void cluster.leader?.running?.server.request({ case: 'put', value }).then(() => {
      written = true;
    });
    await cluster.until(() => written);
  }
  const value = CompactionRequest.create({ revision: 50 });
  void cluster.leader?.running?.server.request({ case: 'compaction', value });
  await cluster.pass(500);
  follower.start();
  await cluster.until(() => (follower.running?.store.revision ?? 0) > 100);
  await cluster.pass(1000);
  follower.crash();
  for (const key of [...follower.directory.disk('log').tree.keys()]) {
    follower.directory.disk('log').rot(fromLatin1(key), (value) => value.fill(0xff));
  }
  follower.start();
  await cluster.until(() => follower.running?.repairing === true);
  await cluster.until(() => !follower.directory.names.includes('damaged-log-1'));
  // Only files can be mended: test/unit/storage/mend.test.ts comes to these.
  const expected = Object.keys(faultPoints).filter((point) => !point.startsWith('mend-'));
  expect([...reached].sort()).toEqual(expected.sort());
});
