/** Single faults of processes and network, each over when it returns. */
import type { MemberProcess } from '../support/cluster-process.ts';
import type { Battlefield } from './battlefield.ts';
import type { Link } from './flow.ts';

export type Attack = (field: Battlefield) => Promise<void>;

const names = (links: readonly Link[]): string =>
  links.map(({ from, to }) => `${from}>${to}`).join(' ');

async function killAndRestart(field: Battlefield, victim: MemberProcess): Promise<void> {
  await field.kill(victim);
  await field.wait(50, 3000);
  await field.start(victim);
  await field.peace();
}

export const killOne: Attack = (field) => killAndRestart(field, field.pick(field.members));

export const killLeader: Attack = async (field) => killAndRestart(field, await field.leader());

export const killAll: Attack = async (field) => {
  await Promise.all(field.members.map((member) => field.kill(member, 'kill all')));
  await field.wait(50, 1000);
  for (const member of field.shuffled(field.members)) {
    await field.start(member);
    await field.wait(0, 400);
  }
  await field.peace();
};

async function pauseAndResume(field: Battlefield, victim: MemberProcess): Promise<void> {
  field.pause(victim);
  await field.wait(200, 5000);
  field.resume(victim);
  await field.peace();
}

export const pauseOne: Attack = (field) => pauseAndResume(field, field.pick(field.members));

export const pauseLeader: Attack = async (field) => pauseAndResume(field, await field.leader());

/** As an update does it, except that it does not wait long for the one before. */
export const restartWave: Attack = async (field) => {
  for (const member of field.shuffled(field.members)) {
    await field.stop(member);
    await field.start(member);
    await field.peace();
  }
};

/** Bytes under way arrive late when the cut is mended, or the connections break, as both happen. */
async function cutFor(
  field: Battlefield,
  kind: string,
  links: readonly Link[],
  [leastMs, mostMs]: readonly [number, number],
): Promise<void> {
  field.strike(kind, `cut ${names(links)}`);
  for (const link of links) link.cut();
  await field.wait(leastMs, mostMs);
  const broken = field.random.below(2) === 0;
  field.note(`mend ${names(links)}${broken ? ', connections broken' : ''}`);
  if (broken) for (const { from, to } of links) field.network.reset(from, to);
  for (const link of links) link.mend();
  await field.peace();
}

export const partition: Attack = async (field) => {
  const members = field.shuffled(field.network.members);
  const size = 1 + field.random.below(members.length - 1);
  const groups = [members.slice(0, size), members.slice(size)];
  await cutFor(field, 'partition', field.network.between(groups), [500, 6000]);
};

export const partitionLeader: Attack = async (field) => {
  const leader = await field.leader();
  const others = field.network.members.filter((name) => name !== leader.name);
  const links = field.network.between([[leader.name], others]);
  await cutFor(field, 'partition of the leader', links, [1000, 6000]);
};

/** A member is heard and hears nobody, or the other way round; or one of its links alone is cut. */
export const oneWay: Attack = async (field) => {
  const victim =
    field.random.below(2) === 0 ? (await field.leader()).name : field.pick(field.network.members);
  const links = field.pick([
    field.network.links.filter(({ from }) => from === victim),
    field.network.links.filter(({ to }) => to === victim),
    [field.pick(field.network.links.filter(({ from }) => from === victim))],
  ]);
  await cutFor(field, 'one-way partition', links, [500, 8000]);
};

/** Everybody sees a majority, and no two the same. */
export const majorityRing: Attack = async (field) => {
  const members = field.shuffled(field.network.members);
  const count = members.length;
  const reach = Math.floor(count / 4);
  const links = field.network.links.filter(({ from, to }) => {
    const distance = Math.abs(members.indexOf(from) - members.indexOf(to));
    // Of three, a chain: a ring of three would be whole.
    return count === 3 ? distance === 2 : Math.min(distance, count - distance) > reach;
  });
  await cutFor(field, 'majority ring', links, [1000, 7000]);
};

export const slowLinks: Attack = async (field) => {
  const links = field.shuffled(field.network.links).slice(0, 1 + field.random.below(6));
  const leastMs = field.random.below(200);
  const spreadMs = 1 + field.random.below(300);
  field.strike('delay', `${leastMs} to ${leastMs + spreadMs} ms on ${names(links)}`);
  for (const link of links) link.slow(() => leastMs + field.random.below(spreadMs));
  await field.wait(1000, 6000);
  field.note(`no delay on ${names(links)}`);
  for (const link of links) link.slow(() => 0);
  await field.wait(0, 1000);
};

/** Loss as TCP shows it: nothing comes for a while, then all of it, or the connection ends. */
export const lossyLinks: Attack = async (field) => {
  const links = field.shuffled(field.network.links).slice(0, 1 + field.random.below(6));
  field.strike('loss', `loss on ${names(links)}`);
  for (let i = 0; i < 20 && !field.isOver; i++) {
    const link = field.pick(links);
    if (field.random.below(5) === 0) {
      field.network.reset(link.from, link.to);
    } else {
      link.cut();
      await field.wait(10, 800);
      link.mend();
    }
    await field.wait(10, 200);
  }
  field.note(`no loss on ${names(links)}`);
};

/** Two faults that overlap: a member is down or stopped while the network misbehaves. */
export const together: Attack = async (field) => {
  const processes = [killOne, killLeader, pauseOne, pauseLeader];
  const networks = [partition, oneWay, majorityRing, slowLinks, lossyLinks];
  await Promise.all([field.pick(processes)(field), field.pick(networks)(field)]);
};

/** Each of them ends by itself, and leaves a quorum once it has. */
const disturbances: readonly Attack[] = [
  killOne,
  pauseOne,
  partition,
  oneWay,
  slowLinks,
  lossyLinks,
];

/** Does something while something else goes wrong. */
export async function disturbed<Result>(
  field: Battlefield,
  work: () => Promise<Result>,
): Promise<Result> {
  const [result] = await Promise.all([work(), field.pick(disturbances)(field)]);
  return result;
}
