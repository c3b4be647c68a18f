import assert from 'node:assert/strict';
import { test } from 'vitest';
import { RaftChaos } from '../../support/raft-chaos.ts';

/** Set to one seed to repeat a run that failed. */
const firstSeed = Number(process.env['RAFT_SEED'] ?? 1);
const seeds = process.env['RAFT_SEED'] === undefined ? Number(process.env['RAFT_SEEDS'] ?? 240) : 1;
const steps = 4_000;

test('safety under every fault, and agreement afterwards', { timeout: 300_000 }, () => {
  const sum = { committed: 0, reads: 0, crashes: 0, confChanges: 0, maxTerm: 0 };
  const rare = { snapshots: 0, standstills: 0 };
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
    try {
      const outcome = new RaftChaos(seed).run(steps);
      for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += outcome[key];
      rare.snapshots += outcome.snapshots;
      rare.standstills += outcome.standstills;
    } catch (error) {
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    }
  }
  if (process.env['RAFT_VERBOSE'] !== undefined) console.log(sum, rare);
  if (seeds < 100) return;
  // A run in which nothing happens proves nothing.
  for (const [what, count] of Object.entries(sum)) {
    assert.ok(count > seeds, `only ${count} of ${what} in ${seeds} runs`);
  }
  assert.ok(rare.snapshots > seeds / 10, `only ${rare.snapshots} snapshots`);
  assert.ok(rare.standstills < seeds / 100, `${rare.standstills} standstills`);
});
