/** A member's life as recorded, and what was promised to clients at each moment of it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Random } from '../../../src/base/random.ts';
import { decodeFounding } from '../../../src/storage/founding-file.ts';
import { readIdentity } from '../../../src/storage/data-directory.ts';
import {
  type ClusterProcess,
  type MemberProcess,
  startCluster,
} from '../../support/cluster-process.ts';
import { quorate } from '../../support/quorate.ts';
import type { DirectoryImage } from './power-cut.ts';
import { type ContentChange, type Inode, RecordedDisk } from './recorded-disk.ts';
import { takeTrace, traced } from './recorder.ts';
import type { Founding } from './restarted-member.ts';
import { type Revision, Workload, type WorkloadOptions } from './workload.ts';

/** Answers of clients that run side by side leave in another order than that of revisions. */
const sentOutOfOrder = 5000;

/** A revision that clients knew of from a moment on. */
export interface Promised extends Revision {
  /** Its answer was on its way: later cuts must not take it back. Infinity: nobody relied on it. */
  readonly moment: number;
}

export type Run = Omit<WorkloadOptions, 'random'>;

/** One member of a cluster, recorded each time it runs. */
export class Recording {
  readonly cluster: ClusterProcess;
  readonly member: MemberProcess;
  readonly disk: RecordedDisk;
  readonly workload = new Workload();
  /** By revision, without a gap from 2 on. */
  promised: Promised[] = [];
  #tracing: Tracing;
  #founding: Founding | undefined;
  #tookPartAt = 0;

  private constructor(cluster: ClusterProcess, tracing: Tracing) {
    const member = cluster.members.find(({ name }) => name === tracing.member);
    if (member === undefined) throw new Error(`there is no ${tracing.member}`);
    this.cluster = cluster;
    this.member = member;
    this.disk = new RecordedDisk(cluster.directory);
    this.#tracing = tracing;
  }

  /** Starts a cluster and records its last member. */
  static async begin(members: number, flags: readonly string[]): Promise<Recording> {
    const folder = await mkdtemp(join(tmpdir(), 'quorate-trace-'));
    const tracing = { folder, member: `m${members}`, on: true };
    const program = traced(quorate, tracePathOf(tracing));
    try {
      const cluster = await startCluster(quorate, {
        members,
        flags,
        programOf: (name) => (tracing.on && name === tracing.member ? program : quorate),
        // The recorded member may be refused; whoever else ended would not get ready.
        mayEnd: true,
      });
      return new Recording(cluster, tracing);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Name of the data directory on the disk. */
  get dataName(): string {
    return basename(this.member.dataDir);
  }

  /** Who would found the cluster; known once the member has run. */
  get founding(): Founding {
    if (this.#founding === undefined) throw new Error('the member has not run');
    return this.#founding;
  }

  async run(member: MemberProcess, run: Run, random: Random): Promise<void> {
    await this.workload.run(member.address, { ...run, random });
  }

  /** Ends a run of the recorded member. */
  async end(how: 'kill' | 'stop'): Promise<void> {
    await this.member[how]();
    this.disk.replay(await takeTrace(tracePathOf(this.#tracing)));
    if (this.#founding !== undefined) return;
    const identity = readIdentity(this.member.dataDir);
    if (identity === undefined) throw new Error('the member has no identity');
    const founders = this.cluster.members
      .filter((member) => member === this.member)
      .map(({ name, peerUrl }) => {
        return {
          id: identity.memberId,
          name,
          peerUrls: [peerUrl],
          clientUrls: [],
          isLearner: false,
        };
      });
    this.#founding = { identity, founders };
    this.#tookPartAt = this.#readTookPartAt(identity.memberId);
  }

  /** When it first told others anything after it had noted that it takes part. */
  #readTookPartAt(memberId: bigint): number {
    const noted = this.disk.namesChanges.find(({ changes }) =>
      changes.some(({ name, target }) => name === foundingFile && takesPart(target, memberId)),
    );
    // Alone, there is nobody to found a cluster with.
    if (noted === undefined) return 0;
    const told = this.disk.sent.find(({ begin, bytes }) => begin >= noted.end && isToPeers(bytes));
    return told?.begin ?? Infinity;
  }

  /**
   * Whether a cut at `moment` came before the member took part in the cluster, and left nothing of
   * that: then it is not the one whose part the others have agreed on, who have gone on since.
   */
  tookNoPart(moment: number, data: DirectoryImage): boolean {
    const file = data.entries.get(foundingFile);
    const text = file?.kind === 'file' ? file.bytes.toString() : '';
    const record = decodeFounding(text, this.founding.identity.memberId);
    return record?.takesPart !== true && moment <= this.#tookPartAt;
  }

  /** From now on the member runs without being recorded. */
  endRecording(): void {
    this.#tracing.on = false;
  }

  async close(): Promise<void> {
    await this.cluster.stop();
    await rm(this.#tracing.folder, { recursive: true, force: true });
  }

  /** The newest revision promised before a moment; 1 if none was. */
  promisedBefore(moment: number): number {
    let newest = 1;
    for (const promised of this.promised) {
      if (promised.moment < moment) newest = Math.max(newest, promised.revision);
    }
    return newest;
  }
}

const foundingFile = 'founding.json';

function takesPart(file: Inode | undefined, memberId: bigint): boolean {
  const text = Buffer.concat((file?.changes ?? []).map((each) => writtenBy(each))).toString();
  return decodeFounding(text, memberId)?.takesPart === true;
}

function writtenBy(change: ContentChange): Buffer {
  return change.kind === 'write' ? change.bytes : Buffer.alloc(0);
}

/** Neither a line of the log nor what wakes a thread. */
function isToPeers(bytes: Buffer): boolean {
  return bytes.length > 8 && bytes[0] !== '{'.charCodeAt(0);
}

interface Tracing {
  readonly folder: string;
  readonly member: string;
  on: boolean;
}

function tracePathOf({ folder }: Tracing): string {
  return join(folder, 'trace');
}

/** A member alone: what it has answered is a promise from the moment when the answer left. */
export async function recordAlone(
  lives: readonly { readonly run: Run; readonly ends: 'kill' | 'stop' }[],
  flags: readonly string[],
  random: Random,
): Promise<Recording> {
  const recording = await Recording.begin(1, flags);
  try {
    for (const [i, { run, ends }] of lives.entries()) {
      if (i > 0) await recording.member.start();
      await recording.member.ready();
      await recording.run(recording.member, run, random);
      await recording.end(ends);
    }
  } catch (error) {
    await recording.close();
    throw error;
  }
  recording.promised = momentsOf(recording.workload.revisions, recording.disk);
  return recording;
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

/** Kinds of moments worth cutting at: each is equally likely, however many moments it has. */
export function cutMoments(disk: RecordedDisk): ReadonlyMap<string, readonly number[]> {
  const kinds = new Map<string, Set<number>>();
  const add = (kind: string, { begin, end }: { begin: number; end: number }): void => {
    const moments = kinds.get(kind) ?? new Set();
    // Before it, within it, and when it has just returned.
    moments
      .add(begin)
      .add(begin + 1)
      .add(end);
    kinds.set(kind, moments);
  };
  for (const change of disk.namesChanges) {
    const name = kindOf(change.changes.at(-1)?.name ?? '');
    add(`${change.kind} ${name}`, change);
    for (const { target, directory } of change.changes) {
      for (const sync of directory.syncs) add('sync of a directory', sync);
      if (target === undefined || target.isDirectory) continue;
      for (const sync of target.syncs) add(`sync of ${name}`, sync);
      for (const each of target.changes) add(`write to ${name}`, each);
    }
  }
  for (const sent of disk.sent) add('answer', sent);
  return new Map([...kinds].map(([kind, moments]) => [kind, [...moments]]));
}

/** `000012.log` and `state-40-1` are of a kind with others of other numbers. */
function kindOf(name: string): string {
  return name.replace(/-?\d+/g, '').replace(/^\./, '*.');
}
