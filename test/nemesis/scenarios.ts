/** What a run does to its members: one kind of fault again and again, or all of them. */
import { readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type FaultPoint, faultPoints } from '../../src/base/fault-point.ts';
import {
  type Attack,
  killAll,
  killLeader,
  killOne,
  lossyLinks,
  majorityRing,
  oneWay,
  partition,
  partitionLeader,
  pauseLeader,
  pauseOne,
  restartWave,
  slowLinks,
  together,
} from './attacks.ts';
import type { Battlefield } from './battlefield.ts';
import { SmallDisk, whyNoDisks } from './disks.ts';
import { allFaultPoints, attackAt, endAt } from './fault-point-attack.ts';
import { growAndShrink, replaceMember } from './membership-attacks.ts';
import { restoreElsewhere } from './restore-attack.ts';
import { usualRuns } from './options.ts';

export interface Scenario {
  readonly name: string;
  readonly attack: Attack;
  /** A kind of fault without which the run would prove nothing. */
  readonly needs?: string;
  /** Each member on a disk of its own that can be full. */
  readonly smallDisks?: boolean;
}

const repeated = (name: string, attack: Attack): Scenario => ({ name, attack });

/** On a busy machine, time may be over before what a run needs has happened. */
const moreAttacks = 4;
const moreAttackMs = 10_000;

const mixed: readonly Attack[] = [
  killOne,
  killLeader,
  killAll,
  pauseOne,
  pauseLeader,
  restartWave,
  partition,
  partitionLeader,
  oneWay,
  majorityRing,
  slowLinks,
  lossyLinks,
  together,
  together,
];

/** Bytes left to a member: its next write fails, or one soon after. */
const leftBytes: readonly number[] = [0, 4096, 64 * 1024];

/** The member ends, as it must; once there is room again it goes on. */
const fillDisk: Attack = async (field) => {
  const victim = field.random.below(2) === 0 ? await field.leader() : field.pick(field.members);
  const disk = new SmallDisk(join(field.cluster.directory, `disk-${victim.name}`));
  const leave = field.pick(leftBytes);
  field.strike('disk full', `${victim.name} has ${leave} bytes left`);
  disk.fill(leave);
  await field.ending(victim, 5000);
  // A start on a full disk must fail too, or serve; it may not lose anything.
  if (victim.process === undefined && field.random.below(2) === 0) {
    await field.start(victim);
    await field.ending(victim, 3000);
  }
  disk.empty();
  await field.ending(victim, 1000);
  field.note(`${victim.name} has room again`);
  await field.start(victim);
  await field.wait(500, 2000);
};

/** Longer than a member takes to start and to hear another, on a busy machine too. */
const refusalLimitMs = 20_000;
const refused = 'refused with an empty disk';

/**
 * A disk is replaced by an empty one and the member started as at first. Of three, one was cut off,
 * one is down: if the emptied member counted as the voter that it was, the two would agree on less
 * than what was acknowledged. So it must be refused. Then its old disk is found again.
 */
const emptyDisk: Attack = async (field) => {
  const leader = await field.leader();
  const [emptied, behind] = field.shuffled(field.members.filter((member) => member !== leader));
  if (emptied === undefined || behind === undefined) throw new Error('too few members');
  const links = field.network.between([[leader.name, emptied.name], [behind.name]]);
  field.note(`cut ${behind.name} off`);
  for (const link of links) link.cut();
  await field.progress(50);
  await field.kill(leader);
  await field.kill(emptied);
  const { dataDir, logPath } = emptied;
  const kept = `${dataDir}-kept`;
  field.strike('disk emptied', `move ${dataDir} away`);
  await rename(dataDir, kept);
  for (const link of links) link.mend();
  const { size } = await stat(logPath);
  await field.start(emptied);
  const ending = await field.ending(emptied, refusalLimitMs);
  const said = (await readFile(logPath)).subarray(size).toString();
  if (ending?.code !== 1 || !said.includes('has already been bootstrapped')) {
    throw new Error(`${emptied.name} was not refused with an empty disk:\n${said.slice(-2000)}`);
  }
  field.strike(refused, `${emptied.name} is refused and gets its disk back`);
  await rm(dataDir, { recursive: true });
  await rename(kept, dataDir);
  await field.start(leader);
  await field.start(emptied);
  await field.progress(50);
};

function atPoint(point: FaultPoint): Scenario {
  return {
    name: `crash:${point}`,
    attack: (field) => attackAt(field, point, 'kill'),
    needs: endAt(point, 'kill'),
  };
}

const failing = allFaultPoints.filter((point) => faultPoints[point] === 'fail');

const writeErrors: Attack = (field) => attackAt(field, field.pick(failing), 'fail');
const stalls: Attack = (field) => attackAt(field, field.pick(allFaultPoints), 'delay');

/** In the order in which runs take turns. */
export const scenarios: readonly Scenario[] = [
  repeated('kill-one', killOne),
  repeated('partition', partition),
  repeated('kill-leader', killLeader),
  repeated('one-way', oneWay),
  repeated('kill-all', killAll),
  repeated('ring', majorityRing),
  repeated('pause-leader', pauseLeader),
  repeated('slow', slowLinks),
  repeated('restart-wave', restartWave),
  repeated('partition-leader', partitionLeader),
  repeated('pause-one', pauseOne),
  repeated('loss', lossyLinks),
  repeated('write-error', writeErrors),
  repeated('stall', stalls),
  repeated('together', together),
  repeated('mix', (field) => field.pick(mixed)(field)),
  { name: 'disk-full', attack: fillDisk, smallDisks: true },
  { name: 'empty-disk', attack: emptyDisk, needs: refused },
  { name: 'grow-and-shrink', attack: growAndShrink, needs: 'member removed' },
  { name: 'restore', attack: restoreElsewhere, needs: 'restored' },
  { name: 'replace-member', attack: replaceMember, needs: 'member removed' },
];

const crashes = allFaultPoints.map(atPoint);

export const scenarioNames: readonly string[] = [...scenarios, ...crashes].map(({ name }) => name);

/** @throws Error if there is none of that name */
export function scenarioNamed(name: string): Scenario {
  const found = [...scenarios, ...crashes].find((each) => each.name === name);
  if (found === undefined) {
    throw new Error(`no scenario is called ${name}; there are ${scenarioNames.join(', ')}`);
  }
  return found;
}

/** Every third run is a crash at a step; both lists are gone through in turn. */
export function scenarioOfTurn(turn: number): Scenario {
  const third = Math.floor(turn / 3);
  const crash = crashes[third % crashes.length];
  const other = scenarios[(turn - third) % scenarios.length];
  const scenario = turn % 3 === 2 ? crash : other;
  if (scenario === undefined) throw new Error('no scenarios');
  return scenario;
}

const dayMs = 86_400_000;

/**
 * Seeds of days are far apart, and yet the usual runs of a day take up the turns where those of the
 * day before ended, so that nine days go through everything.
 */
export function firstSeedOfDay(wallMs: number): number {
  const turnsUntilAllBeginsAnew = 3 * scenarios.length * crashes.length;
  return Math.floor(wallMs / dayMs) * (turnsUntilAllBeginsAnew + usualRuns);
}

/** Why a scenario cannot be run here; undefined if it can. */
export function whySkipped(scenario: Scenario, directory: string): string | undefined {
  return scenario.smallDisks === true ? whyNoDisks(directory) : undefined;
}

export async function attackUntilOver(field: Battlefield, scenario: Scenario): Promise<void> {
  await field.wait(500, 1500);
  while (!field.isOver) await scenario.attack(field);
  const { needs } = scenario;
  for (let i = 0; i < moreAttacks && needs !== undefined && !field.faults.has(needs); i++) {
    field.begin(moreAttackMs);
    await scenario.attack(field);
  }
}
