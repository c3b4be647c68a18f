/** A member's life as recorded, and what was promised to its clients at each moment of it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Random } from '../../../src/base/random.ts';
import { readIdentity } from '../../../src/storage/data-directory.ts';
import { type ClusterProcess, startCluster } from '../../support/cluster-process.ts';
import { quorate } from '../../support/quorate.ts';
import { RecordedDisk } from './recorded-disk.ts';
import { takeTrace, traced } from './recorder.ts';
import type { Founding } from './restarted-member.ts';
import { type Revision, Workload, type WorkloadOptions } from './workload.ts';

/** Answers of clients that run side by side leave in another order than that of revisions. */
const sentOutOfOrder = 5000;

/** A revision that clients knew of from a moment on. */
export interface Promised extends Revision {
  /** Its answer was on its way: later cuts must not take it back. */
  readonly moment: number;
}

export interface Recording {
  readonly name: string;
  readonly disk: RecordedDisk;
  readonly founding: Founding;
  /** Name of the data directory on the disk. */
  readonly dataName: string;
  /** By revision, without a gap from 2 on but for revisions that nothing was answered for. */
  readonly promised: readonly Promised[];
  /** Nothing newer was asked to be compacted. */
  readonly compacted: number;
}

export interface Run extends Omit<WorkloadOptions, 'random'> {
  /** How the process ends. */
  readonly ends: 'killed' | 'stopped';
}

export interface RecordingPlan {
  readonly name: string;
  readonly flags: readonly string[];
  /** Lives of the process, one after the other in the same directory. */
  readonly runs: readonly Run[];
}

/** Records a cluster of one member. */
export async function record(plan: RecordingPlan, random: Random): Promise<Recording> {
  const traces = await mkdtemp(join(tmpdir(), 'quorate-trace-'));
  const tracePath = join(traces, 'trace');
  const workload = new Workload();
  let cluster: ClusterProcess | undefined;
  try {
    cluster = await startCluster(traced(quorate, tracePath), { flags: plan.flags });
    const [member] = cluster.members;
    if (member === undefined) throw new Error('no member');
    const disk = new RecordedDisk(cluster.directory);
    for (const [i, run] of plan.runs.entries()) {
      if (i > 0) await member.start();
      await member.ready();
      await workload.run(member.address, { ...run, random });
      await (run.ends === 'killed' ? member.kill() : member.stop());
      disk.replay(await takeTrace(tracePath));
    }
    const identity = readIdentity(member.dataDir);
    if (identity === undefined) throw new Error('the member has no identity');
    const founder = { id: identity.memberId, name: member.name, peerUrls: [member.peerUrl] };
    return {
      name: plan.name,
      disk,
      founding: { identity, founders: [{ ...founder, clientUrls: [], isLearner: false }] },
      dataName: basename(member.dataDir),
      promised: momentsOf(workload.revisions, disk),
      compacted: workload.compacted,
    };
  } finally {
    await cluster?.stop();
    await rm(traces, { recursive: true, force: true });
  }
}

/** Finds each answer among what the process sent. */
function momentsOf(revisions: readonly Revision[], { sent }: RecordedDisk): Promised[] {
  let from = 0;
  return revisions.map((revision) => {
    const start = Math.max(0, from - sentOutOfOrder);
    for (let i = start; i < sent.length; i++) {
      const { bytes, begin } = sent[i] as (typeof sent)[number];
      if (!bytes.includes(revision.answer)) continue;
      from = i;
      return { ...revision, moment: begin };
    }
    throw new Error(`the answer of revision ${revision.revision} is not in the trace`);
  });
}

/** The newest revision promised before a moment; 1 if none was. */
export function promisedBefore(recording: Recording, moment: number): number {
  let newest = 1;
  for (const promised of recording.promised) {
    if (promised.moment < moment) newest = Math.max(newest, promised.revision);
  }
  return newest;
}

/** Kinds of moments worth cutting at: each is equally likely, however many moments it has. */
export function cutMoments(disk: RecordedDisk): ReadonlyMap<string, readonly number[]> {
  const kinds = new Map<string, number[]>();
  const add = (kind: string, { begin, end }: { begin: number; end: number }): void => {
    const moments = kinds.get(kind) ?? [];
    // Before it, within it, and when it has just returned.
    moments.push(begin, begin + 1, end);
    kinds.set(kind, moments);
  };
  for (const change of disk.namesChanges) {
    const [name] = change.changes.map((each) => kindOf(each.name)).slice(-1);
    add(`${change.kind} ${name ?? ''}`, change);
    for (const { target, directory } of change.changes) {
      for (const sync of directory.syncs) add('sync of a directory', sync);
      if (target === undefined || target.isDirectory) continue;
      for (const sync of target.syncs) add(`sync of ${kindOf(nameOf(change.changes))}`, sync);
      for (const each of target.changes) {
        if (each.kind === 'write') add(`write to ${kindOf(nameOf(change.changes))}`, each);
      }
    }
  }
  for (const sent of disk.sent.slice(-sentOutOfOrder)) add('answer', sent);
  return kinds;
}

function nameOf(changes: readonly { readonly name: string }[]): string {
  return changes.at(-1)?.name ?? '';
}

function kindOf(name: string): string {
  return name.replace(/-?\d+/g, '').replace(/^\./, '*.');
}
