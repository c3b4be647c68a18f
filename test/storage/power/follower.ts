/** Records a follower that lags, installs a snapshot and goes on. */
import type { Random } from '../../../src/base/random.ts';
import { leaderOf, metric } from '../../support/writers.ts';
import { Recording } from './recording.ts';
import type { Revision } from './workload.ts';

const valueBytes = { least: 10, most: 3000 };
const clients = 4;

/**
 * The promises are those of the last part, when the third member is paused: then nothing is
 * answered before both others have it, the recorded one among them.
 */
export async function recordFollower(flags: readonly string[], random: Random): Promise<Recording> {
  const recording = await Recording.begin(3, [...flags, '--election-timeout=2000']);
  try {
    await life(recording, random);
  } catch (error) {
    await recording.close();
    throw error;
  }
  return recording;
}

async function life(recording: Recording, random: Random): Promise<void> {
  const { cluster, member, workload } = recording;
  const [first] = cluster.members;
  if (first === undefined) throw new Error('no members');
  await recording.run(first, { writes: 50, clients, valueBytes }, random);
  await recording.end('kill');
  // More than the others keep in their logs.
  for (const each of cluster.members) if (each !== member) await each.ready();
  await recording.run(first, { writes: 150, clients, valueBytes }, random);
  await member.start();
  await member.ready();
  if ((await metric(member, 'quorate_snapshots_installed_total')) === 0) {
    throw new Error('the follower needed no snapshot');
  }
  const leader = await leaderOf(cluster.members);
  const paused = cluster.members.find((each) => each !== member && each !== leader);
  const asked = cluster.members.find((each) => each !== member && each !== paused);
  if (asked === undefined) throw new Error('nobody to ask');
  const before = workload.revisions.at(-1)?.revision ?? 1;
  paused?.pause();
  try {
    await recording.run(asked, { writes: 80, clients, valueBytes }, random);
    await recording.end('kill');
  } finally {
    paused?.resume();
  }
  recording.promised = workload.revisions.map((revision) => {
    const relied = revision.revision > before;
    return { ...revision, moment: relied ? momentOf(recording, revision) : Infinity };
  });
}

/** The first moment of the trace that is surely after the answer had come. */
function momentOf({ disk }: Recording, { answeredMs }: Revision): number {
  // The clock of answers counts whole milliseconds.
  const line = disk.timesMs.findIndex((timeMs) => timeMs > answeredMs + 1);
  return line < 0 ? Infinity : 2 * line;
}
