/**
 * Makes a data directory of a snapshot file, for one of the founders of a new cluster. Every
 * founder restores the same file with the same flags but its own name, and all have the same state.
 *
 * That state is one of log index 1, which is compacted already: a founder that starts with an empty
 * directory by mistake gets a snapshot from the others, and cannot be taken for one that is equal.
 *
 * The directory is filled below another name and moved to its place at the end, whose directory it
 * is last. So one that was not completed is refused by a server instead of being founded anew.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { completion, result } from '../base/completion.ts';
import { silentLogger } from '../base/logger.ts';
import { DatabaseReader } from '../bbolt/reader.ts';
import { parseInitialCluster, parseUrls } from '../config/urls.ts';
import { foundersOf } from '../daemon/founders.ts';
import { systemClock } from '../daemon/system-clock.ts';
import type { ImportedStore } from '../mvcc/store-import.ts';
import type { SnapshotMetadata } from '../raft/index.ts';
import { importState, type StatePair } from '../schema/import.ts';
import { type DataDirectory, openDataDirectory } from '../storage/data-directory.ts';
import { identityFile } from '../storage/level-directory.ts';
import { StateImport } from '../storage/state-import.ts';
import { syncDirectoryNow } from '../storage/sync-directory.ts';
import { SnapshotFile } from './snapshot-file.ts';

/** Where in the data directory it is filled. */
const unfinished = 'restoring';
/** What a file system of its own has in its root. */
const lostAndFound = 'lost+found';
const directoryMode = 0o700;
const position = { index: 1, term: 1 } as const;

export interface RestoreOptions {
  readonly snapshotPath: string;
  readonly dataDir: string;
  readonly name: string;
  /** As `--initial-cluster` and `--initial-advertise-peer-urls` have them. */
  readonly initialCluster: string;
  readonly initialAdvertisePeerUrls: string;
  readonly clusterToken: string;
  readonly skipHashCheck: boolean;
  /** How much revisions are ahead of the snapshot's; all up to then counts as compacted. */
  readonly revisionBump: number;
}

export interface Restored extends ImportedStore {
  readonly memberId: bigint;
  readonly clusterId: bigint;
}

/**
 * @throws Error in etcd's words for flags and files that do not fit; then nothing is left of it
 */
export async function restoreSnapshot(options: RestoreOptions): Promise<Restored> {
  const founders = foundersIn(options);
  const { dataDir, snapshotPath } = options;
  if (!isEmpty(dataDir)) {
    throw new Error(`data-dir ${JSON.stringify(dataDir)} not empty or could not be read`);
  }
  const file = new SnapshotFile(snapshotPath);
  const existed = existsSync(dataDir);
  try {
    if (!options.skipHashCheck) file.checkHash();
    const reader = new DatabaseReader(file);
    reader.check();
    const { members, memberId, clusterId } = founders;
    mkdirSync(dataDir, { recursive: true, mode: directoryMode });
    const path = join(dataDir, unfinished);
    const directory = await result<DataDirectory>((done) =>
      openDataDirectory(
        { path, clock: systemClock, logger: silentLogger, identity: { memberId, clusterId } },
        done,
      ),
    );
    let store: ImportedStore;
    try {
      const voters = members.map(({ id }) => id);
      const state = importState(reader, { members, revisionBump: options.revisionBump });
      store = await fill(directory, voters, state);
    } finally {
      await completion((done) => directory.close(done));
    }
    moveUp(dataDir);
    return { ...store, memberId, clusterId };
  } catch (error) {
    rmSync(existed ? join(dataDir, unfinished) : dataDir, { recursive: true, force: true });
    throw error;
  } finally {
    file.close();
  }
}

function foundersIn(options: RestoreOptions): ReturnType<typeof foundersOf> {
  const advertised = parseUrls(options.initialAdvertisePeerUrls);
  if ('error' in advertised) throw new Error(advertised.error);
  const cluster = parseInitialCluster(options.initialCluster);
  if ('error' in cluster) throw new Error(cluster.error);
  return foundersOf({
    name: options.name,
    initialCluster: cluster.value,
    initialAdvertisePeerUrls: advertised.value,
    clusterToken: options.clusterToken,
  });
}

function isEmpty(path: string): boolean {
  if (!existsSync(path)) return true;
  try {
    return readdirSync(path).every((name) => name === lostAndFound);
  } catch {
    return false;
  }
}

/** Puts a state into a new directory; returns what the state's generator does. */
async function fill<Summary>(
  directory: DataDirectory,
  voters: readonly bigint[],
  state: Generator<StatePair, Summary, undefined>,
): Promise<Summary> {
  const none = { votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
  const metadata: SnapshotMetadata = { ...position, confState: { voters, ...none } };
  const target = new StateImport(directory, metadata);
  await completion((done) => target.begin(done));
  for (;;) {
    const next = state.next();
    if (next.done === true) {
      await completion((done) => target.finish(done));
      return next.value;
    }
    if (target.put(...next.value)) await completion((done) => target.write(done));
  }
}

/** What says whose the directory is comes last: without it, nobody starts on what is there. */
function moveUp(dataDir: string): void {
  const from = join(dataDir, unfinished);
  const names = readdirSync(from).filter((name) => name !== identityFile);
  for (const name of names) renameSync(join(from, name), join(dataDir, name));
  syncDirectoryNow(dataDir);
  renameSync(join(from, identityFile), join(dataDir, identityFile));
  rmSync(from, { recursive: true });
  syncDirectoryNow(dataDir);
  syncDirectoryNow(dirname(dataDir));
}
