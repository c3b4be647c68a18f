/** Members that die, fail or stall at a named step (src/base/fault-point.ts) and come back. */
import { type FaultPoint, faultPoints } from '../../src/base/fault-point.ts';
import type { MemberProcess } from '../support/cluster-process.ts';
import type { Battlefield } from './battlefield.ts';
import { isRepaired, loseLog, tearManifest } from './damaged-disks.ts';
import { observe } from './observer.ts';
import { snapshotCount } from './options.ts';

export const allFaultPoints = Object.keys(faultPoints) as FaultPoint[];

/** How often a step is passed before its fault, at most: many steps come often, some once. */
const timesMost: Readonly<Partial<Record<FaultPoint, number>>> = {
  'persist-before-write': 60,
  'persist-after-write': 60,
  'apply-before-batch': 60,
  'apply-after-batch': 60,
  'flush-before-write': 15,
  'flush-after-write': 15,
  'log-compaction-before-write': 2,
  'log-compaction-after-write': 2,
  'store-compaction-before-step': 4,
  'store-compaction-after-step': 4,
};
/** A step that has not come within this time comes in a later round. */
const patienceMs = 10_000;
const stallMostMs = 4000;
/** Half a second each: a busy machine takes its time to write what is to be missed. */
const fallBehindRounds = 30;
/** Half a second each: a member is repaired as soon as the others have a leader. */
const repairRounds = 30;

export type Action = 'kill' | 'fail' | 'delay';

/** What it counts as when a member comes to its end there. */
export function endAt(point: FaultPoint, action: Action): string {
  return `${action === 'kill' ? 'killed' : 'failed'} at ${point}`;
}

/** Starts a member so that it will meet its fault. */
async function arm(
  field: Battlefield,
  member: MemberProcess,
  point: FaultPoint,
  action: Action,
): Promise<void> {
  await field.kill(member);
  const how = action === 'delay' ? `delay:${100 + field.random.below(stallMostMs)}` : action;
  const time = 1 + field.random.below(timesMost[point] ?? 1);
  const environment = { QUORATE_FAULT_POINTS: `${point}=${how}@${time}` };
  await field.startArmed(member, endAt(point, action), environment);
}

/** One member is made to fail there; then all are, so that the leader does it too. */
export async function attackAt(
  field: Battlefield,
  point: FaultPoint,
  action: Action,
): Promise<void> {
  if (/^(repair|term-reserve|mend)-/.test(point)) {
    await failInRepair(field, point, action);
  } else if (point.startsWith('snapshot-send-')) {
    await failAsSender(field, point, action);
  } else if (point.startsWith('snapshot-')) {
    await failAsReceiver(field, point, action);
  } else if (point.startsWith('start-') || field.random.below(2) === 0) {
    await restartArmed(field, field.pick(field.members), point, action);
  } else {
    await failAsLeader(field, point, action);
  }
  await field.peace();
}

/** Its disk is damaged as well, unless another member still waits for what it lost. */
async function failInRepair(field: Battlefield, point: FaultPoint, action: Action): Promise<void> {
  const whole = (): boolean => field.members.every(({ dataDir }) => isRepaired(dataDir));
  for (let i = 0; i < repairRounds && !whole(); i++) await field.wait(400, 500);
  const victim = field.pick(field.members);
  await field.kill(victim);
  if (whole()) {
    field.strike('disk damaged', `damage the log of ${victim.name}`);
    (point.startsWith('mend-') ? tearManifest : loseLog)(victim.dataDir);
  }
  await restartArmed(field, victim, point, action);
}

async function restartArmed(
  field: Battlefield,
  victim: MemberProcess,
  point: FaultPoint,
  action: Action,
): Promise<void> {
  await arm(field, victim, point, action);
  await expectFault(field, victim, point, action, 'restarted member');
}

/** All are armed, one after the other; whoever leads then will come to the step. */
async function failAsLeader(field: Battlefield, point: FaultPoint, action: Action): Promise<void> {
  for (const member of field.members) {
    await arm(field, member, point, action);
    await field.wait(500, 1000);
  }
  const leader = await field.leader();
  await Promise.all(
    field.members.map((member) => {
      const role = member === leader ? 'leader' : 'follower';
      return expectFault(field, member, point, action, role);
    }),
  );
}

/** One stays away until the others have compacted what it lacks. */
async function fallBehind(field: Battlefield): Promise<MemberProcess> {
  const victim = field.pick(field.members);
  await field.kill(victim);
  const others = field.members.filter((member) => member !== victim);
  const newest = async (): Promise<number> => {
    const observed = await Promise.all(others.map((member) => observe(member)));
    return Math.max(0, ...observed.map((each) => each?.index ?? 0));
  };
  const enough = (await newest()) + 2 * snapshotCount;
  for (let i = 0; i < fallBehindRounds && (await newest()) < enough; i++) {
    await field.wait(400, 500);
  }
  return victim;
}

async function failAsReceiver(
  field: Battlefield,
  point: FaultPoint,
  action: Action,
): Promise<void> {
  const victim = await fallBehind(field);
  await arm(field, victim, point, action);
  await expectFault(field, victim, point, action, 'receiver');
}

/** Everybody else is armed, as nobody knows who will lead. */
async function failAsSender(field: Battlefield, point: FaultPoint, action: Action): Promise<void> {
  const victim = await fallBehind(field);
  const others = field.members.filter((member) => member !== victim);
  for (const member of others) {
    await arm(field, member, point, action);
    await field.wait(1000, 1500);
  }
  await field.start(victim);
  await Promise.race(others.map((member) => expectFault(field, member, point, action, 'sender')));
  for (const member of field.members) await field.start(member);
}

/** Waits for a member to come to its end at the step, and starts it again. */
async function expectFault(
  field: Battlefield,
  member: MemberProcess,
  point: FaultPoint,
  action: Action,
  role: string,
): Promise<void> {
  // A snapshot that cannot be written is asked for again: only that ends, and not the member.
  if (action === 'delay' || (action === 'fail' && point.startsWith('snapshot-'))) {
    field.strike(`${action} at ${point}`, `${member.name}: ${action} at ${point} (${role})`);
    await field.wait(1000, stallMostMs);
    return;
  }
  const ending = await field.ending(member, patienceMs);
  if (ending === undefined) return;
  field.note(`${member.name} was the ${role}`);
  await field.wait(0, 1000);
  await field.start(member);
}
