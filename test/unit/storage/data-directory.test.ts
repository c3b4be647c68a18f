import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { completion, result } from '../../../src/base/completion.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { SnapshotMetadata } from '../../../src/raft/index.ts';
import type { Backend } from '../../../src/storage/backend.ts';
import {
  openDataDirectory,
  readIdentity,
  type DataDirectory,
  type DataDirectoryOptions,
} from '../../../src/storage/data-directory.ts';
import type { Completion } from '../../../src/storage/engine.ts';
import { stateKeys } from '../../../src/storage/keyspace.ts';
import { encodeLogMark } from '../../../src/storage/log-state.ts';
import { MemoryDirectory } from '../../../src/storage/memory-directory.ts';
import { encodeBegin, encodeEnd, encodePairs } from '../../../src/storage/snapshot-chunk.ts';
import type { StateSink, StateSource } from '../../../src/storage/snapshot-stream.ts';
import { advanceDirectory, closeDirectory, refusalOf } from '../../support/directories.ts';
import { realClock, temporaryDirectory } from '../../support/engines.ts';

const identity = { memberId: 0xabcn, clusterId: 0xdefn };

function open(where: Partial<DataDirectoryOptions>): Promise<DataDirectory> {
  const options = { clock: realClock, logger: silentLogger, identity, ...where };
  return result((done) => openDataDirectory(options, done));
}

/** Appends, applies and flushes entries up to `to`. */
async function advance(directory: DataDirectory, to: number): Promise<void> {
  await advanceDirectory(directory, to, (first) => {
    for (let i = first; i <= to; i++) directory.backend.put(`r${i}`, Buffer.alloc(200, i));
  });
}

async function transfer(source: StateSource, sink: StateSink): Promise<number> {
  for (let chunks = 0; ; chunks++) {
    const chunk = await new Promise<Uint8Array | undefined>((resolve, reject) => {
      source.next((error, next) => (error === undefined ? resolve(next) : reject(error)));
    });
    if (chunk === undefined) {
      await completion((done) => sink.finish(done));
      source.close();
      return chunks;
    }
    await completion((done) => sink.write(chunk, done));
  }
}

/** Receives the newest state of `sender` and has the log name it. */
async function takeIn(sender: DataDirectory, receiver: DataDirectory): Promise<SnapshotMetadata> {
  const source = sender.openSnapshot();
  const sink = source && receiver.receiveSnapshot(source.metadata);
  if (source === undefined || sink === undefined) throw new Error('no transfer');
  await transfer(source, sink);
  const { metadata } = source;
  const snapshot = receiver.received(metadata);
  if (snapshot === undefined) throw new Error('not received');
  const hardState = { term: 2, vote: 0n, commit: metadata.index };
  await completion((done) =>
    receiver.raftLog.append({ hardState, entries: [], snapshot }, true, done),
  );
  return metadata;
}

/** Receives the newest state of `sender` and goes on with it. */
async function takeOver(sender: DataDirectory, receiver: DataDirectory): Promise<void> {
  const metadata = await takeIn(sender, receiver);
  await result((done) => receiver.install(metadata, done));
}

interface Place {
  readonly where: Partial<DataDirectoryOptions>;
  states(): string[];
  remove(): void;
}

const places: Record<string, () => Place> = {
  disk: () => {
    const temporary = temporaryDirectory();
    const path = join(temporary.path, 'member');
    const states = (): string[] => readdirSync(path).filter((name) => name.startsWith('state-'));
    return { where: { path }, states, remove: () => temporary.remove() };
  },
  memory: () => {
    const memory = new MemoryDirectory();
    const states = (): string[] => memory.names.filter((name) => name.startsWith('state-'));
    return { where: { memory }, states, remove() {} };
  },
};

describe.each(Object.entries(places))('a data directory (%s)', (_name, make) => {
  let place: Place;

  beforeEach(() => {
    place = make();
  });

  afterEach(() => {
    place.remove();
  });

  test('keeps log and state', async () => {
    let directory = await open(place.where);
    expect(directory.fresh).toBe(true);
    await advance(directory, 5);
    await completion((done) => directory.raftLog.compact(3, done));
    await completion((done) => directory.backend.compact({}, done));
    expect(directory.diskBytes.state).toBeGreaterThan(1000);
    expect(directory.diskBytes.log).toBeGreaterThan(100);
    await closeDirectory(directory);
    directory = await open({ ...place.where, identity: undefined });
    expect(directory.fresh).toBe(false);
    expect(directory.identity).toMatchObject(identity);
    expect(directory.raftLog.initialState().hardState).toEqual({ term: 2, vote: 1n, commit: 5 });
    expect([directory.raftLog.firstIndex(), directory.backend.appliedIndex]).toEqual([4, 5]);
    expect(directory.backend.get('r5')?.length).toBe(200);
    await closeDirectory(directory);
  });

  test('refuses another cluster, another member, and nobody', async () => {
    expect(await refusalOf(open({ ...place.where, identity: undefined }))).toMatch(
      /^unusable: .*yet/,
    );
    await closeDirectory(await open(place.where));
    const other = (ids: object): Promise<string> =>
      refusalOf(open({ ...place.where, identity: { ...identity, ...ids } }));
    expect(await other({ clusterId: 1n })).toMatch(/^foreign: .* cluster def, not to 1$/);
    expect(await other({ memberId: 1n })).toMatch(/^foreign: .* member abc, not to 1$/);
    await closeDirectory(await open(place.where));
  });

  test('refuses to be opened twice', async () => {
    const directory = await open(place.where);
    expect(await refusalOf(open(place.where))).toMatch(/^inUse: .* in use/);
    await closeDirectory(directory);
    await closeDirectory(await open(place.where));
  });

  test('a snapshot becomes the state of another member', async () => {
    const memory = new MemoryDirectory();
    const sender = await open({ memory });
    expect(sender.openSnapshot()).toBeUndefined();
    await advance(sender, 4000);
    const source = sender.openSnapshot();
    if (source === undefined) throw new Error('no snapshot');
    await advance(sender, 4010);

    let receiver = await open(place.where);
    const old = receiver.backend;
    const metadata: SnapshotMetadata = source.metadata;
    expect(metadata.index).toBe(4000);
    const sink = receiver.receiveSnapshot(metadata);
    if (sink === undefined) throw new Error('no sink');
    expect(receiver.receiveSnapshot(metadata)).toBeUndefined();
    expect(await transfer(source, sink)).toBeGreaterThan(4);

    const snapshot = receiver.received(metadata);
    if (snapshot === undefined) throw new Error('not received');
    expect(snapshot.chain).toBe(sender.raftLog.chainAt(4000));
    const hardState = { term: 2, vote: 0n, commit: 4000 };
    await completion((done) =>
      receiver.raftLog.append({ hardState, entries: [], snapshot }, true, done),
    );
    const backend = await result((done) => receiver.install(metadata, done));
    expect(receiver.backend).toBe(backend);
    expect(old.get('r1')).toBeUndefined();
    await completion((done) => receiver.removeReplaced(done));
    expect(place.states()).toEqual(['state-4000-2']);
    await advance(receiver, 4005);
    expect(receiver.raftLog.chainAt(4005)).toBe(sender.raftLog.chainAt(4005));
    await closeDirectory(receiver);
    receiver = await open(place.where);
    expect(receiver.backend.get('r4000')?.[0]).toBe(4000 % 256);
    expect(receiver.backend.appliedIndex).toBe(4005);
    await closeDirectory(receiver);
    await closeDirectory(sender);
  });

  test('a state that was received but never named is removed', async () => {
    const sender = await open({ memory: new MemoryDirectory() });
    await advance(sender, 10);
    const receiver = await open(place.where);
    for (let time = 0; time < 2; time++) {
      // Twice the same: the core did not take the first.
      const source = sender.openSnapshot();
      const sink = source && receiver.receiveSnapshot(source.metadata);
      if (source === undefined || sink === undefined) throw new Error('no transfer');
      await transfer(source, sink);
    }
    const source = sender.openSnapshot();
    const unfinished = source && receiver.receiveSnapshot(source.metadata);
    unfinished?.abort();
    await closeDirectory(receiver);
    const reopened = await open(place.where);
    expect(place.states()).toEqual(['state-0-0']);
    await closeDirectory(reopened);
    source?.close();
    await closeDirectory(sender);
  });

  test('what a sender notes of its own log is not taken over', async () => {
    const receiver = await open(place.where);
    const confState = {
      voters: [1n],
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    };
    const metadata = { index: 5, term: 1, confState };
    const mark = Buffer.from(stateKeys.logMark, 'latin1');
    const noted = encodeLogMark({ memberId: 9n, writes: 1, index: 5, chain: 0 });
    const pairs = encodePairs([[mark, noted]]);
    const sink = receiver.receiveSnapshot(metadata);
    if (sink === undefined) throw new Error('no sink');
    await completion((done) => sink.write(encodeBegin({ metadata, chain: 0 }), done));
    await completion((done) => sink.write(pairs, done));
    const end = encodeEnd({ pairs: 1, digest: crc32(pairs) });
    await completion((done) => sink.write(end, done));
    await completion((done) => sink.finish(done));
    expect(sink.engine.getSync(mark)).toBeUndefined();
    await closeDirectory(receiver);
  });

  test('closing waits for what is being received and removed', async () => {
    const sender = await open({ memory: new MemoryDirectory() });
    await advance(sender, 10);
    const receiver = await open(place.where);
    const whole = sender.openSnapshot();
    const received = whole && receiver.receiveSnapshot(whole.metadata);
    if (whole === undefined || received === undefined) throw new Error('no transfer');
    await transfer(whole, received);
    await advance(sender, 20);
    const source = sender.openSnapshot();
    const sink = source && receiver.receiveSnapshot(source.metadata);
    if (source === undefined || sink === undefined) throw new Error('no transfer');
    for (let count = 0; count < 2; count++) {
      const chunk = await result<Uint8Array>((done) => source.next(done));
      // The second one is being written when the directory is closed.
      if (count === 0) await completion((done) => sink.write(chunk, done));
      else sink.write(chunk, () => {});
    }
    await closeDirectory(receiver);
    expect(place.states()).toEqual(['state-0-0']);
    source.close();
    await closeDirectory(sender);
  });

  test('a replaced state is gone before its directory is given back', async () => {
    const sender = await open({ memory: new MemoryDirectory() });
    await advance(sender, 20);
    const receiver = await open(place.where);
    await takeOver(sender, receiver);
    await advance(sender, 30);
    receiver.removeReplaced();
    await takeOver(sender, receiver);
    receiver.removeReplaced();
    // Of this name there was one a moment ago; it must not be made again while it is removed.
    const { confState } = receiver.backend;
    expect(receiver.receiveSnapshot({ index: 20, term: 2, confState })).toBeUndefined();
    await closeDirectory(receiver);
    expect(place.states()).toEqual(['state-30-2']);
    await closeDirectory(sender);
  });

  test('closing waits until a replaced state that is slow to go is gone', async () => {
    const sender = await open({ memory: new MemoryDirectory() });
    await advance(sender, 20);
    let writeMs = 0;
    const memory = new MemoryDirectory();
    const receiver = await open({ memory, memoryWriteDelayMs: () => writeMs });
    const old = receiver.backend;
    await takeOver(sender, receiver);
    writeMs = 100;
    old.put('r1', Buffer.alloc(1));
    old.flush();
    writeMs = 0;
    receiver.removeReplaced();
    await closeDirectory(receiver);
    expect(memory.names.filter((name) => name.startsWith('state-'))).toEqual(['state-20-2']);
    await closeDirectory(sender);
  });

  test('closing waits for a state that is being installed', async () => {
    const sender = await open({ memory: new MemoryDirectory() });
    await advance(sender, 20);
    const receiver = await open(place.where);
    const metadata = await takeIn(sender, receiver);
    const installing = result<Backend>((done) => receiver.install(metadata, done));
    await closeDirectory(receiver);
    const backend = await installing;
    const scan = (done: Completion): void => backend.scan({}, 10, () => {}, done);
    await expect(completion(scan)).rejects.toThrow('the backend is closed');
    expect(place.states()).toEqual(['state-20-2']);
    await closeDirectory(sender);
  });

  test('damage on the way is noticed', async () => {
    const sender = await open({ memory: new MemoryDirectory() });
    await advance(sender, 10);
    const receiver = await open(place.where);
    const chunks: Uint8Array[] = [];
    const source = sender.openSnapshot();
    if (source === undefined) throw new Error('no snapshot');
    for (;;) {
      const chunk = await new Promise<Uint8Array | undefined>((resolve) => {
        source.next((_error, next) => resolve(next));
      });
      if (chunk === undefined) break;
      chunks.push(chunk);
    }
    expect(chunks.length).toBe(3);
    const receive = async (
      received: readonly Uint8Array[],
      announced: SnapshotMetadata = source.metadata,
    ): Promise<string> => {
      // The directory of an aborted transfer has to be gone first.
      const sink = await vi.waitUntil(() => receiver.receiveSnapshot(announced), 5000);
      try {
        for (const chunk of received) await completion((done) => sink.write(chunk, done));
        await completion((done) => sink.finish(done));
        return 'received';
      } catch (error) {
        sink.abort();
        return (error as Error).name;
      }
    };
    const [begin, pairs, end] = chunks as [Uint8Array, Uint8Array, Uint8Array];
    expect(await receive([begin, pairs])).toBe('CorruptionError');
    expect(await receive([begin, end])).toBe('CorruptionError');
    expect(await receive([begin, pairs, pairs, end])).toBe('CorruptionError');
    expect(await receive([pairs, end])).toBe('CorruptionError');
    for (const at of [0, 1, 3, 8, 12, 40, pairs.length - 1]) {
      const flipped = Uint8Array.from(pairs);
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      expect([at, await receive([begin, flipped, end])]).toEqual([at, 'CorruptionError']);
    }
    const { confState } = source.metadata;
    for (const other of [
      { ...confState, voters: [...confState.voters, 9n] },
      { ...confState, learners: [9n] },
      { ...confState, autoLeave: true },
    ]) {
      const announced = { ...source.metadata, confState: other };
      expect(await receive([begin, pairs, end], announced)).toBe('CorruptionError');
    }
    expect(await receive([begin, pairs, end])).toBe('received');
    await closeDirectory(receiver);
    await closeDirectory(sender);
  });
});

describe('a data directory on disk', () => {
  let temporary: ReturnType<typeof temporaryDirectory>;
  let path: string;

  beforeEach(() => {
    temporary = temporaryDirectory();
    path = join(temporary.path, 'data', 'member');
  });

  afterEach(() => {
    temporary.remove();
  });

  test('is closed to other users, also if it was open to them', async () => {
    mkdirSync(path, { recursive: true, mode: 0o755 });
    await closeDirectory(await open({ path }));
    expect(statSync(path).mode & 0o777).toBe(0o700);
    expect(readIdentity(path)).toMatchObject(identity);
  });

  test('is made where a first start had begun to make it', async () => {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, 'identity.json.new'), '{');
    writeFileSync(join(path, 'term.json.new'), '{');
    await closeDirectory(await open({ path }));
    expect(readIdentity(path)).toMatchObject({ ready: true });
  });

  test('refuses a directory of something else', async () => {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, 'holiday.jpg'), '');
    expect(await refusalOf(open({ path }))).toMatch(/^foreign: .*holiday.jpg/);
    expect(readdirSync(path)).toEqual(['holiday.jpg']);
  });

  test('says how to come from the directory of an etcd', async () => {
    mkdirSync(join(path, 'member', 'snap'), { recursive: true });
    writeFileSync(join(path, 'member', 'snap', 'db'), 'a database');
    expect(await refusalOf(open({ path }))).toMatch(
      /^foreign: .* is the data directory of an etcd: .*kvctl snapshot restore .*member.snap.db$/,
    );
  });

  test('refuses a newer format and a damaged identity, and changes nothing', async () => {
    await closeDirectory(await open({ path }));
    const file = join(path, 'identity.json');
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.replace('"format": 1', '"format": 2'));
    expect(await refusalOf(open({ path }))).toMatch(/^newerVersion: .*format 2/);
    writeFileSync(file, text.replace('abc', 'abd'));
    expect(await refusalOf(open({ path }))).toMatch(/^damaged: .*checksum/);
    writeFileSync(file, text.slice(0, 20));
    expect(await refusalOf(open({ path }))).toMatch(/^damaged: /);
    rmSync(file);
    expect(await refusalOf(open({ path }))).toMatch(/^damaged: .*missing/);
    writeFileSync(file, text);
    await closeDirectory(await open({ path }));
  });

  test('refuses when the log or the state is gone', async () => {
    for (const name of ['log', 'state-0-0']) {
      const where = { path: join(path, name) };
      const directory = await open(where);
      await advance(directory, 2);
      await closeDirectory(directory);
      rmSync(join(where.path, name), { recursive: true });
      expect(await refusalOf(open(where))).toMatch(/^damaged: .*missing/);
      expect(existsSync(join(where.path, name))).toBe(false);
    }
  });

  test.each([
    ['log', /^damaged: .*the log ends at 3, but the state covers index 5/],
    ['state-0-0', /^damaged: .*the state covers index 3, but the log begins after 4/],
  ])('refuses an older %s beside the rest', async (name, expected) => {
    let directory = await open({ path });
    await advance(directory, 3);
    await closeDirectory(directory);
    const kept = join(path, '..', 'kept');
    cpSync(join(path, name), kept, { recursive: true });
    directory = await open({ path });
    await advance(directory, 5);
    await completion((done) => directory.raftLog.compact(4, done));
    await closeDirectory(directory);
    rmSync(join(path, name), { recursive: true });
    cpSync(kept, join(path, name), { recursive: true });
    expect(await refusalOf(open({ path }))).toMatch(expected);
  });

  test('a lock database that a crash left unreadable is made anew', async () => {
    await closeDirectory(await open({ path }));
    writeFileSync(join(path, 'lock', 'CURRENT'), 'nonsense');
    await closeDirectory(await open({ path }));
  });

  test('refuses while another process has it open', async () => {
    const module = join(import.meta.dirname, '../../../node_modules/classic-level/index.js');
    const script = `
      const { ClassicLevel } = require(process.argv[1]);
      new ClassicLevel(process.argv[2]).open().then(() => console.log('open'));
      process.stdin.resume();`;
    await closeDirectory(await open({ path }));
    const other = spawn(process.execPath, ['-e', script, module, join(path, 'lock')]);
    await once(other.stdout, 'data');
    try {
      expect(await refusalOf(open({ path }))).toMatch(/^inUse: .* in use by another process$/);
    } finally {
      other.kill('SIGKILL');
      await once(other, 'exit');
    }
    await closeDirectory(await open({ path }));
  });
});
