import { expect, test } from 'vitest';
import { isForLearners } from '../../../src/api/learner.ts';
import { RangeRequest } from '../../../src/gen/rpc.ts';
import { Cluster, Health, KV, Maintenance, Watch } from '../../../src/gen/services.ts';

test('a learner serves its status, snapshots and serializable reads, and nothing else', () => {
  const served = [Maintenance.methods.status.path, Maintenance.methods.snapshot.path];
  for (const path of served) expect(isForLearners(path, undefined)).toBe(true);
  const range = KV.methods.range.path;
  expect(isForLearners(range, RangeRequest.create({ serializable: true }))).toBe(true);
  expect(isForLearners(range, RangeRequest.create())).toBe(false);
  const refused = [KV.methods.put, KV.methods.rangeStream, Cluster.methods.memberList];
  for (const { path } of [...refused, Watch.methods.watch, Health.methods.check]) {
    expect(isForLearners(path, { serializable: true })).toBe(false);
  }
});
