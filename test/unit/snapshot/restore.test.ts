/** Snapshot files and the data directories that come of them. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { completion, result } from '../../../src/base/completion.ts';
import { latin1, utf8 } from '../../../src/base/bytes.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { clusterIdOf, memberIdOf } from '../../../src/cluster/identity.ts';
import { encodeKeyValue } from '../../../src/mvcc/key-value.ts';
import { encodeRevision } from '../../../src/schema/buckets.ts';
import { restoreSnapshot, type RestoreOptions } from '../../../src/snapshot/restore.ts';
import { snapshotStatus } from '../../../src/snapshot/status.ts';
import { type DataDirectory, openDataDirectory } from '../../../src/storage/data-directory.ts';
import { isLogMarkKey } from '../../../src/storage/backend-view.ts';
import type { EngineEntry } from '../../../src/storage/engine.ts';
import { writeDatabase, type Contents } from '../../support/bbolt.ts';
import { realClock, temporaryDirectory } from '../../support/engines.ts';

let temporary: ReturnType<typeof temporaryDirectory>;
beforeEach(() => {
  temporary = temporaryDirectory();
});
afterEach(() => temporary.remove());

const pathOf = (name: string): string => join(temporary.path, name);

/** A put of one key, or its deletion. */
function change(main: number, key: string, tombstone = false): readonly [string, string] {
  const revision = { createRevision: main, modRevision: main, version: 1, lease: 0n };
  const gone = { createRevision: 0, modRevision: 0, version: 0, lease: 0n };
  const value = utf8(tombstone ? '' : `value ${main}`);
  const kv = encodeKeyValue({ key, value, ...(tombstone ? gone : revision) });
  return [latin1(encodeRevision({ main, sub: 0, tombstone })), latin1(kv)];
}

const history: Contents = {
  key: [change(2, 'a'), change(3, 'b'), change(4, 'a', true), change(5, 'c')],
  meta: [['storageVersion', '3.6.0']],
};

/** Many enough for several writes. */
const large: Contents = {
  key: Array.from({ length: 40 }, (_, i) => {
    const [revision] = change(i + 2, '');
    const value = Buffer.alloc(100_000, i);
    const fields = { createRevision: i + 2, modRevision: i + 2, version: 1, lease: 0n };
    return [revision, latin1(encodeKeyValue({ key: `k${i}`, value, ...fields }))] as const;
  }),
  meta: [],
};

function writeSnapshot(
  contents: Contents,
  change: (file: Buffer) => Buffer = (file) => file,
): string {
  const database = writeDatabase(contents);
  const hash = createHash('sha256').update(database).digest();
  const path = pathOf('snapshot.db');
  writeFileSync(path, change(Buffer.concat([database, hash])));
  return path;
}

const urlOf = (name: string): string => `http://${name}:2380`;
const names = ['a', 'b', 'c'];

function optionsOf(snapshotPath: string, change: Partial<RestoreOptions> = {}): RestoreOptions {
  const name = change.name ?? 'a';
  return {
    snapshotPath,
    dataDir: pathOf(name),
    name,
    initialCluster: names.map((each) => `${each}=${urlOf(each)}`).join(','),
    initialAdvertisePeerUrls: urlOf(name),
    clusterToken: 'new',
    skipHashCheck: false,
    revisionBump: 0,
    ...change,
  };
}

const open = (path: string): Promise<DataDirectory> =>
  result((done) => openDataDirectory({ path, clock: realClock, logger: silentLogger }, done));

/** All that is in the state, but for what the member notes of its own log. */
async function stateOf(directory: DataDirectory): Promise<readonly EngineEntry[]> {
  const view = directory.backend.view();
  const found: EngineEntry[] = [];
  for (;;) {
    const low = found.at(-1)?.[0];
    const range = low === undefined ? {} : { low: Buffer.concat([low, Buffer.alloc(1)]) };
    const entries = await result<readonly EngineEntry[]>((done) => view.raw.read(range, 100, done));
    if (entries.length === 0) break;
    found.push(...entries);
  }
  view.close();
  return found.filter(([key]) => !isLogMarkKey(key));
}

const hexOf = (state: readonly EngineEntry[]): string[] =>
  state.map((pair) => pair.map((bytes) => Buffer.from(bytes).toString('hex')).join(' '));

describe('a restored data directory', () => {
  test('belongs to its member, and begins after a log that nobody has', async () => {
    const path = writeSnapshot(history);
    const restored = await restoreSnapshot(optionsOf(path));
    const ids = names.map((name) => memberIdOf([urlOf(name)], 'new'));
    expect(restored).toEqual({
      revision: 5,
      compactedRevision: -1,
      keyCount: 2,
      memberId: ids[0],
      clusterId: clusterIdOf(ids),
    });
    expect(readdirSync(pathOf('a')).sort()).toEqual([
      ...['identity.json', 'lock', 'log', 'state-1-1', 'term.json'],
    ]);
    expect(statSync(pathOf('a')).mode & 0o777).toBe(0o700);
    const directory = await open(pathOf('a'));
    expect(directory.fresh).toBe(false);
    expect(directory.identity).toMatchObject({ memberId: ids[0], clusterId: clusterIdOf(ids) });
    expect(directory.backend.appliedIndex).toBe(1);
    expect([...directory.backend.confState.voters].sort()).toEqual([...ids].sort());
    const { raftLog } = directory;
    expect([raftLog.firstIndex(), raftLog.lastIndex()]).toEqual([2, 1]);
    expect(raftLog.hardState).toEqual({ term: 1, vote: 0n, commit: 1 });
    await completion((done) => directory.close(done));
  });

  test.each([
    ['small', history],
    ['large', large],
  ])('has the same state at each member (%s)', async (_size, contents) => {
    const path = writeSnapshot(contents);
    const states: string[][] = [];
    for (const name of names) {
      await restoreSnapshot(optionsOf(path, { name }));
      const directory = await open(pathOf(name));
      states.push(hexOf(await stateOf(directory)));
      await completion((done) => directory.close(done));
    }
    expect(states[0]?.length).toBeGreaterThan((contents['key'] ?? []).length);
    expect(states[1]).toEqual(states[0]);
    expect(states[2]).toEqual(states[0]);
  });

  test('may be an empty directory that is there', async () => {
    mkdirSync(join(pathOf('a'), 'lost+found'), { recursive: true });
    await restoreSnapshot(optionsOf(writeSnapshot(history)));
    expect(readdirSync(pathOf('a'))).toContain('identity.json');
  });

  // What a crash leaves: everything, or parts of it, but no identity in its place.
  test.each([[['restoring']], [['restoring', 'log']], [['log', 'state-1-1']]])(
    'that is not complete is not started on (%j)',
    async (left) => {
      for (const name of left) mkdirSync(join(pathOf('a'), name), { recursive: true });
      const identity = { memberId: 1n, clusterId: 2n };
      const options = { path: pathOf('a'), clock: realClock, logger: silentLogger, identity };
      await expect(result((done) => openDataDirectory(options, done))).rejects.toThrow(
        /is not a data directory|identity.json is missing/,
      );
    },
  );
});

describe('a restore', () => {
  const refused = async (change: Partial<RestoreOptions>, path?: string): Promise<string> => {
    const options = optionsOf(path ?? writeSnapshot(history), change);
    const error = await restoreSnapshot(options).catch((thrown: unknown) => thrown as Error);
    expect(error).toBeInstanceOf(Error);
    return (error as Error).message;
  };

  test('refuses a directory that holds something, and leaves it alone', async () => {
    mkdirSync(pathOf('a'));
    writeFileSync(join(pathOf('a'), 'file'), 'mine');
    expect(await refused({})).toBe(`data-dir "${pathOf('a')}" not empty or could not be read`);
    expect(readdirSync(pathOf('a'))).toEqual(['file']);
  });

  test('refuses a file without its hash, or with another', async () => {
    const without = writeSnapshot(history, (file) => file.subarray(0, -32));
    expect(await refused({}, without)).toBe('snapshot missing hash but --skip-hash-check=false');
    expect((await restoreSnapshot(optionsOf(without, { skipHashCheck: true }))).revision).toBe(5);
    const changed = writeSnapshot(history, (file) => {
      file[file.length - 1] = (file[file.length - 1] ?? 0) ^ 1;
      return file;
    });
    expect(await refused({ name: 'b' }, changed)).toMatch(
      /^expected sha256 \[(\d+ ){31}\d+\], got \[(\d+ ){31}\d+\]$/,
    );
    expect(readdirSync(temporary.path).sort()).toEqual(['a', 'snapshot.db']);
  });

  test('that fails on the way leaves nothing', async () => {
    const broken = writeSnapshot({ key: [change(2, 'a'), change(4, 'b')], meta: [] });
    expect(await refused({}, broken)).toBe('revision 3 is missing');
    expect(readdirSync(temporary.path)).toEqual(['snapshot.db']);
    mkdirSync(pathOf('a'));
    expect(await refused({}, broken)).toBe('revision 3 is missing');
    expect(readdirSync(pathOf('a'))).toEqual([]);
  });

  test.each<[Partial<RestoreOptions>, string]>([
    [
      { name: 'd', initialAdvertisePeerUrls: urlOf('d') },
      `couldn't find local name "d" in the initial cluster configuration`,
    ],
    [{ initialCluster: 'a=foo' }, 'URL scheme must be http, https, unix, or unixs: foo'],
    [{ initialAdvertisePeerUrls: 'foo' }, 'URL scheme must be http, https, unix, or unixs: foo'],
    [
      { initialAdvertisePeerUrls: urlOf('b') },
      '--initial-advertise-peer-urls has a=http://b:2380 but missing from ' +
        '--initial-cluster=a=http://a:2380',
    ],
  ])("refuses flags that do not fit in etcd's words (%j)", async (change, message) => {
    expect(await refused(change)).toBe(message);
  });
});

describe('the status of a file', () => {
  test('counts the keys that exist', () => {
    expect(snapshotStatus(writeSnapshot(history))).toMatchObject({
      revision: 5,
      totalKeys: 2,
      sizeBytes: 4 * 4096,
      version: '3.6.0',
    });
  });

  test('of another kind is a refusal', () => {
    const path = pathOf('other');
    writeFileSync(path, 'no database');
    expect(() => snapshotStatus(path)).toThrow('invalid database: none of its meta pages is whole');
    writeSnapshot({ key: [['short', '']] });
    expect(() => snapshotStatus(pathOf('snapshot.db'))).toThrow('is no revision');
    const [revision] = change(2, 'a');
    writeSnapshot({ key: [[revision, '\x0a\x7f']] });
    expect(() => snapshotStatus(pathOf('snapshot.db'))).toThrow('a key value cannot be decoded');
  });
});
