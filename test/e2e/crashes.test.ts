/**
 * Members are killed at any moment, also while they start or install a snapshot, and come back in
 * any order, with a log so short that most of them need a snapshot; writers go on all the time.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SeededRandom } from '../../src/base/random.ts';
import type { ClusterProcess, MemberProcess } from '../support/cluster-process.ts';
import { startQuorate } from '../support/quorate.ts';
import {
  memberHashes,
  metric,
  missingWrites,
  reusedRevisions,
  startWriters,
  type Writers,
} from '../support/writers.ts';

/** More for a longer look: QUORATE_CRASH_SECONDS=120 npm test -- test/e2e/crashes. */
const seconds = Number(process.env['QUORATE_CRASH_SECONDS'] ?? 12);
const seed = Number(process.env['QUORATE_CRASH_SEED'] ?? Date.now() % 1_000_000);
const writers = Number(process.env['QUORATE_CRASH_WRITERS'] ?? 60);
/** Values so large that LevelDB goes from one log to the next while members die. */
const valueBytes = Number(process.env['QUORATE_CRASH_VALUE_BYTES'] ?? 2000);
/** Too many may be down for a quorum. A busy machine takes seconds to bring a member back. */
const progressTimeoutMs = 15_000;
const timeoutMs = 120_000 + seconds * 3000;

describe('three members with a short log', () => {
  let cluster: ClusterProcess;

  beforeEach(async () => {
    const flags = ['--snapshot-count=100', '--snapshot-catchup-entries=20'];
    cluster = await startQuorate({ members: 3, flags });
  });

  afterEach(async () => {
    await cluster.stop();
  });

  test('killed at random moments, they lose nothing', { timeout: timeoutMs }, async () => {
    console.log(`seed ${seed}`);
    const random = new SeededRandom(seed);
    const load = startWriters(cluster.members, writers, valueBytes);
    const untilMs = performance.now() + seconds * 1000;
    let kills = 0;
    let installed = 0;
    while (performance.now() < untilMs) {
      // Mostly after some progress, so that there is something to lose, and sometimes at once.
      if (random.below(4) > 0) await progress(load, random.below(1000));
      await delay(random.below(300));
      kills += await killSome(cluster.members, random);
      const down = shuffled(
        cluster.members.filter((member) => member.process === undefined),
        random,
      );
      for (const member of down) {
        // Sometimes a member stays away, so that the log no longer has what it lacks.
        if (random.below(4) === 0) continue;
        await delay(random.below(400));
        await member.start();
      }
      installed += await installedSnapshots(cluster.members);
    }
    for (const member of cluster.members) if (member.process === undefined) await member.start();
    for (const member of cluster.members) await member.ready();
    await load.stop();
    installed += await installedSnapshots(cluster.members);
    const { acknowledged, unknown } = load;
    console.log(
      `${kills} kills, ${acknowledged.length} writes acknowledged, ${unknown.length} unknown, ` +
        `at least ${installed} snapshots seen`,
    );
    expect(acknowledged.length).toBeGreaterThan(0);
    expect(reusedRevisions(acknowledged)).toEqual([]);
    const hashes = await memberHashes(cluster.members);
    expect(new Set(hashes.map(({ kv }) => kv)).size).toBe(1);
    expect(new Set(hashes.map(({ state }) => state)).size).toBe(1);
    for (const { address } of cluster.members) {
      expect(await missingWrites(address, acknowledged)).toEqual([]);
    }
  });
});

/** Kills one running member, or all of them at once; returns how many. */
async function killSome(members: readonly MemberProcess[], random: SeededRandom): Promise<number> {
  const running = members.filter((member) => member.process !== undefined);
  const all = random.below(6) === 0;
  const victims = all ? running : shuffled(running, random).slice(0, 1);
  await Promise.all(victims.map((member) => member.kill()));
  return victims.length;
}

/** Waits until so many more writes are acknowledged, or until that takes too long. */
async function progress({ acknowledged }: Writers, count: number): Promise<void> {
  const wanted = acknowledged.length + count;
  const untilMs = performance.now() + progressTimeoutMs;
  while (acknowledged.length < wanted && performance.now() < untilMs) await delay(20);
}

async function installedSnapshots(members: readonly MemberProcess[]): Promise<number> {
  const counts = await Promise.all(
    members
      .filter((member) => member.process !== undefined)
      .map((member) => metric(member, 'quorate_snapshots_installed_total').catch(() => 0)),
  );
  return counts.reduce<number>((sum, count) => sum + (count ?? 0), 0);
}

function shuffled<Item>(items: readonly Item[], random: SeededRandom): Item[] {
  const rest = [...items];
  const result: Item[] = [];
  while (rest.length > 0) result.push(...rest.splice(random.below(rest.length), 1));
  return result;
}
