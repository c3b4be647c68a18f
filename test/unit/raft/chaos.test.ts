import assert from 'node:assert/strict';
import { test } from 'vitest';
import { RaftChaos } from '../../support/raft-chaos.ts';

/** Set to one seed to repeat a run that failed. */
const firstSeed = Number(process.env['RAFT_SEED'] ?? 1);
const seeds = process.env['RAFT_SEED'] === undefined ? Number(process.env['RAFT_SEEDS'] ?? 240) : 1;
const steps = 4_000;
/** The first seed that shows the harm is far below. */
const seedsWithoutAbstention = 200;

test('safety under every fault, and agreement afterwards', { timeout: 300_000 }, () => {
  const sum = { committed: 0, reads: 0, crashes: 0, confChanges: 0, maxTerm: 0 };
  const rare = { snapshots: 0, standstills: 0, losses: 0, recoveries: 0, starvations: 0 };
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
    try {
      const outcome = new RaftChaos(seed).run(steps);
      for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += outcome[key];
      for (const key of Object.keys(rare) as (keyof typeof rare)[]) rare[key] += outcome[key];
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
  assert.ok(rare.losses > seeds / 5, `only ${rare.losses} lost logs`);
  assert.ok(rare.recoveries > rare.losses / 2, `only ${rare.recoveries} recoveries`);
  assert.ok(rare.starvations < seeds / 50, `${rare.starvations} runs without a majority`);
});

test('a member that lost its log and votes all the same is caught', { timeout: 300_000 }, () => {
  const caught: string[] = [];
  for (let seed = 1; seed <= seedsWithoutAbstention && caught.length === 0; seed++) {
    try {
      new RaftChaos(seed, false).run(steps);
    } catch (error) {
      caught.push(`seed ${seed}: ${String(error)}`);
    }
  }
  if (process.env['RAFT_VERBOSE'] !== undefined) console.log(caught);
  assert.match(caught.join(), /lacks committed|conflicts with a committed|two entries|past the/);
});
