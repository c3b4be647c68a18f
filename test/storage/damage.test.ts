/**
 * Damage to the files of members on disk: whatever it is, the cluster converges with all that was
 * acknowledged, or the members concerned refuse or wait and say why. Never is an answer wrong.
 *
 * `DAMAGE_CASES=all` runs every case there is; `DAMAGE_REPORT` names a file for the outcomes, as
 * JSON.
 */
import { cpSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DiskCluster, holds } from '../support/disk-cluster.ts';
import { temporaryDirectory } from '../support/engines.ts';
import {
  allCases,
  damage,
  fileOf,
  someCases,
  titleOf,
  victimsOf,
  type DamageCase,
} from './damage-cases.ts';

const convergeMs = 20_000;
/** Ten election timeouts. */
const leaderlessMs = 2500;

const cases = process.env['DAMAGE_CASES'] === 'all' ? allCases() : someCases();
const memberCount = 5;
const compactions = { snapshotCount: 60, catchUpEntries: 10 };

let temporary: ReturnType<typeof temporaryDirectory>;
let pristine: string;
/** Everything that was acknowledged. */
const acknowledged = new Map<string, string>();
const outcomes: { readonly case: string; readonly outcome: string; readonly text: string }[] = [];

/** Values that differ, without zeros, so that nothing looks like a block never written. */
function pairs(round: number, count: number): ReadonlyMap<string, string> {
  const made = new Map<string, string>();
  for (let i = 0; i < count; i++) {
    made.set(`key ${(round * 37 + i) % 400}`, `${round}/${i} `.padEnd(500, 'v'));
  }
  return made;
}

async function acknowledge(cluster: DiskCluster, round: number, count: number): Promise<void> {
  const batch = pairs(round, count);
  expect(await cluster.put(batch, convergeMs)).toBe(true);
  for (const [key, value] of batch) acknowledged.set(key, value);
}

/** All members that run serve the same state, in which nothing is missing. */
async function converged(cluster: DiskCluster): Promise<boolean> {
  const running = cluster.members.filter((member) => member.running !== undefined);
  return holds(() => {
    const [first, ...others] = running.map(({ state }) => state);
    return first !== undefined && others.every((each) => each === first);
  }, convergeMs);
}

/**
 * Two lives, because LevelDB makes tables of its logs when it opens; in the second, two members
 * are away for so long that they get snapshots.
 */
beforeAll(async () => {
  temporary = temporaryDirectory();
  pristine = join(temporary.path, 'pristine');
  mkdirSync(pristine);
  let cluster = new DiskCluster(pristine, { members: memberCount, ...compactions });
  await cluster.start();
  for (let round = 0; round < 5; round++) await acknowledge(cluster, round, 60);
  expect(await converged(cluster)).toBe(true);
  await cluster.stop();

  cluster = new DiskCluster(pristine, { members: memberCount, ...compactions });
  await cluster.start();
  const away = victimsOf(cluster.members, 'minority');
  for (const member of away) await member.stop();
  for (let round = 5; round < 20; round++) await acknowledge(cluster, round, 20);
  for (const member of away) await member.start();
  expect(await converged(cluster)).toBe(true);
  await cluster.stop();

  cluster = new DiskCluster(pristine, { members: memberCount, ...compactions });
  await cluster.start();
  await acknowledge(cluster, 20, 100);
  expect(await converged(cluster)).toBe(true);
  // That all this is committed becomes durable with another write, here one that changes nothing:
  // a member that lost a flush can then make up for it without a leader.
  await acknowledge(cluster, 20, 1);
  expect(await converged(cluster)).toBe(true);
  await cluster.stop();
}, 120_000);

afterAll(() => {
  temporary.remove();
  const path = process.env['DAMAGE_REPORT'];
  if (path !== undefined) writeFileSync(path, `${JSON.stringify(outcomes, undefined, 2)}\n`);
  if (path === undefined || process.env['DAMAGE_VERBOSE'] !== undefined) {
    for (const each of outcomes) console.log(`${each.outcome.padEnd(10)} ${each.case}`);
  }
  const count = (outcome: string): number =>
    outcomes.filter((each) => each.outcome === outcome).length;
  const kinds = [...new Set(outcomes.map(({ outcome }) => outcome))].sort();
  console.log(kinds.map((kind) => `${count(kind)} ${kind}`).join(', '));
});

describe('the data directories', () => {
  test('have all that can be damaged', () => {
    for (const each of allCases()) {
      for (const name of readdirSync(pristine)) {
        const path = fileOf(join(pristine, name), each.target);
        expect([titleOf(each), path === undefined ? 0 : statSync(path).size]).not.toContain(0);
      }
    }
    const received = readdirSync(join(pristine, 'm5')).find((name) => name.startsWith('state-'));
    expect(received).not.toBe('state-0-0');
  });
});

// Most of each case is waiting: for the disk, for elections.
describe.concurrent('damage', () => {
  test.each(cases.map((each) => [titleOf(each), each] as const))('%s', async (title, each) => {
    const location = join(temporary.path, title.replace(/[^a-z0-9]+/gi, '-'));
    cpSync(pristine, location, { recursive: true });
    const cluster = new DiskCluster(location, { members: memberCount, ...compactions });
    for (const victim of victimsOf(cluster.members, each.scope)) {
      damage(each, victim.path, join(pristine, victim.id === 1n ? 'm2' : 'm1'));
    }
    await cluster.start();
    try {
      const { outcome, text } = await outcomeOf(cluster, each);
      outcomes.push({ case: title, outcome, text });
    } finally {
      await cluster.stop();
      rmSync(location, { recursive: true, force: true });
    }
  });
});

const clearWords =
  /is damaged: |has data, but identity.json is missing|belongs to member [12], not/;

interface Outcome {
  readonly outcome: 'untouched' | 'repaired' | 'refused' | 'waiting';
  readonly text: string;
}

async function outcomeOf(cluster: DiskCluster, each: DamageCase): Promise<Outcome> {
  const victims = victimsOf(cluster.members, each.scope);
  const refusals = cluster.members.flatMap(({ refusal }) => refusal ?? []);
  for (const refusal of refusals) expect(refusal).toMatch(clearWords);
  const refused = cluster.members.filter(({ refusal }) => refusal !== undefined);
  // Nobody suffers who was not hit.
  expect(refused.filter((member) => !victims.includes(member))).toEqual([]);

  const hit = cluster.members.filter(({ running }) => running?.repairing === true);
  expect(hit.filter((member) => !victims.includes(member))).toEqual([]);
  if (refused.length + hit.length > (memberCount - 1) / 2) return blocked(cluster, refusals);

  const more = pairs(100, 10);
  expect(await cluster.put(more, convergeMs)).toBe(true);
  expect(await converged(cluster)).toBe(true);
  const expected = new Map([...acknowledged, ...more]);
  for (const member of cluster.members) {
    if (member.running === undefined) continue;
    expect(member.failure).toBeUndefined();
    expect(member.contents()).toEqual(expected);
  }
  if (refusals.length > 0) return { outcome: 'refused', text: refusals[0] ?? '' };
  const text = victims.flatMap(({ warnings }) => warnings)[0] ?? '';
  return { outcome: hit.length > 0 ? 'repaired' : 'untouched', text };
}

/** Too few are left: they elect nobody, and say what they wait for. */
async function blocked(cluster: DiskCluster, refusals: readonly string[]): Promise<Outcome> {
  expect(await holds(() => cluster.leader !== undefined, leaderlessMs)).toBe(false);
  const waiting = cluster.members.filter(({ running }) => running?.repairing === true);
  for (const { warnings } of waiting) expect(warnings.join()).toContain('waits for a leader');
  // Whoever is not being repaired still has everything, even if it cannot serve it.
  for (const member of cluster.members) {
    if (member.running === undefined || member.running.repairing) continue;
    expect(member.contents()).toEqual(acknowledged);
  }
  if (waiting.length === 0) return { outcome: 'refused', text: refusals[0] ?? '' };
  return { outcome: 'waiting', text: waiting[0]?.warnings.join('; ') ?? '' };
}
