import { expect, test } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { Message, SnapshotMetadata } from '../../../src/raft/index.ts';
import { Member } from '../../../src/server/member.ts';
import { silentMetrics } from '../../../src/base/metrics.ts';
import { SnapshotExchange } from '../../../src/server/snapshot-exchange.ts';
import { foundCluster } from '../../../src/server/state.ts';
import { type DataDirectory, openDataDirectory } from '../../../src/storage/data-directory.ts';
import { MemoryDirectory } from '../../../src/storage/memory-directory.ts';
import type { TransportHandlers } from '../../../src/transport/transport.ts';
import { RecordedMetrics } from '../../support/recorded-metrics.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const clock = new VirtualClock();

/** Runs work that ends by a callback, and lets time pass until it has. */
function finished<T>(
  work: (done: (error: Error | undefined, value?: T) => void) => void,
): T | undefined {
  let ended: { error: Error | undefined; value: T | undefined } | undefined;
  work((error, value) => {
    ended = { error, value };
  });
  for (let i = 0; i < 10_000 && ended === undefined; i++) clock.advance(1);
  if (ended === undefined) throw new Error('it does not end');
  if (ended.error !== undefined) throw ended.error;
  return ended.value;
}

function openDirectory(memory: MemoryDirectory, memberId: bigint, readMs: number): DataDirectory {
  const identity = { memberId, clusterId: 9n };
  const memoryReadDelayMs = (): number => readMs;
  const options = { memory, clock, logger: silentLogger, identity, memoryReadDelayMs };
  const directory = finished<DataDirectory>((done) => openDataDirectory(options, done));
  if (directory === undefined) throw new Error('no directory');
  return directory;
}

function foundedDirectory(memory: MemoryDirectory, memberId: bigint, readMs = 0): DataDirectory {
  const directory = openDirectory(memory, memberId, readMs);
  const founders = [1n, 2n, 3n].map((id) => {
    return { id, name: `m${id}`, peerUrls: [], clientUrls: [], isLearner: false };
  });
  finished((done) => foundCluster(directory.backend, founders, done));
  return directory;
}

/** Appends, applies and flushes empty entries of term 2 up to `to`. */
function advance(directory: DataDirectory, to: number): void {
  const entries = Array.from({ length: to }, (_, i) => {
    return { index: i + 1, term: 2, kind: 0 as const, data: new Uint8Array(0) };
  });
  const hardState = { term: 2, vote: 0n, commit: to };
  finished((done) => directory.raftLog.append({ hardState, entries }, true, done));
  directory.backend.applied(to, 2);
  finished((done) => directory.backend.flush(done));
}

interface Started {
  readonly member: Member;
  readonly handlers: TransportHandlers;
  readonly metrics: RecordedMetrics;
  /** How its end is told, if it ends. */
  readonly failures: string[];
}

/** @param stopMs how long its connections take to close */
function startMember(directory: DataDirectory, stopMs = 0): Started {
  let handlers: TransportHandlers | undefined;
  const metrics = new RecordedMetrics();
  const transport = {
    start: (given: TransportHandlers) => {
      handlers = given;
    },
    setPeers: () => undefined,
    send: () => undefined,
    introduce: () => undefined,
    sendNote: () => false,
    lastHeardMs: () => undefined,
    protocolOf: () => undefined,
    connected: () => false,
    stop: (done: () => void) => void clock.after(stopMs, done),
  };
  const member = finished<Member>((done) => {
    Member.open(
      {
        memberId: 1n,
        directory,
        transport,
        clock,
        random: new SeededRandom(1),
        logger: silentLogger,
        metrics,
        heartbeatMs: 100,
        electionMs: 1000,
        preVote: true,
        snapshotCount: 10_000,
        catchUpEntries: 5000,
        requestLimitBytes: 1_572_864,
        compactionRestMs: 10,
      },
      done,
    );
  });
  if (member === undefined) throw new Error('no member');
  const failures: string[] = [];
  member.start((error) => failures.push(error.message));
  return {
    member,
    failures,
    metrics,
    get handlers() {
      if (handlers === undefined) throw new Error('the member did not start');
      return handlers;
    },
  };
}

/** Receives the contents of another member's snapshot; its message is still to come. */
function transfer(
  from: DataDirectory,
  handlers: TransportHandlers,
): { metadata: SnapshotMetadata; message: Message } {
  const source = from.openSnapshot();
  if (source === undefined) throw new Error('no snapshot');
  const { metadata } = source;
  const sink = handlers.receiveSnapshot(2n, metadata);
  if (typeof sink !== 'object') throw new Error('it is not wanted');
  for (;;) {
    const chunk = finished<Uint8Array>((done) => source.next(done));
    if (chunk === undefined) break;
    finished((done) => sink.write(chunk, done));
  }
  finished((done) => sink.finish(done));
  source.close();
  const message = { type: 'snapshot', from: 2n, to: 1n, term: 2, snapshot: metadata } as const;
  return { metadata, message };
}

interface Bench extends Started {
  readonly memory: MemoryDirectory;
  readonly directory: DataDirectory;
  readonly sender: DataDirectory;
}

function open(to: number, { readMs = 0, stopMs = 0 } = {}): Bench {
  const memory = new MemoryDirectory();
  const directory = foundedDirectory(memory, 1n, readMs);
  if (to > 0) advance(directory, to);
  const sender = foundedDirectory(new MemoryDirectory(), 2n);
  advance(sender, 5);
  return { memory, directory, sender, ...startMember(directory, stopMs) };
}

test('a received state that the log does not need goes at once', () => {
  const { memory, sender, handlers } = open(4);
  const { message } = transfer(sender, handlers);
  expect(memory.names).toContain('state-5-2');
  // What it covers has come in another way meanwhile.
  const entries = [{ index: 5, term: 2, kind: 0 as const, data: new Uint8Array(0) }];
  const append = { from: 2n, to: 1n, term: 2, index: 4, logTerm: 2, commit: 5, entries };
  handlers.receive([{ type: 'append', ...append }, message]);
  clock.advance(50);
  expect(memory.names).not.toContain('state-5-2');
});

test('a state that is being taken over is not received anew', () => {
  const { directory, sender, handlers } = open(0);
  const { metadata, message } = transfer(sender, handlers);
  handlers.receive([message]);
  expect(handlers.receiveSnapshot(3n, { ...metadata, index: 6 })).toBeUndefined();
  expect(handlers.receiveSnapshot(3n, metadata)).toBeUndefined();
  clock.advance(200);
  expect(directory.backend.appliedIndex).toBe(5);
  expect(directory.raftLog.stateDirectory).toBe('state-5-2');
  // The leader may have heard neither of its end nor of this member's acknowledgement.
  expect(handlers.receiveSnapshot(2n, metadata)).toBe('held');
});

test('a state that is being taken over shows until it is in use', () => {
  const { directory, sender, handlers, metrics } = open(0, { readMs: 30 });
  const taken = (): number => metrics.valueOf('etcd_server_snapshot_apply_in_progress_total');
  const { message } = transfer(sender, handlers);
  expect(taken()).toBe(0);
  handlers.receive([message]);
  // The new state is open, and being read.
  for (let i = 0; i < 200 && directory.backend.appliedIndex < 5; i++) clock.advance(1);
  expect(taken()).toBe(1);
  clock.advance(1_000);
  expect(taken()).toBe(0);
});

test.each([0, 500])('a member that stops goes on with no state; it takes %s ms', (stopMs) => {
  const { memory, directory, sender, handlers, member } = open(0, { readMs: 30, stopMs });
  const { store } = member;
  const { message } = transfer(sender, handlers);
  handlers.receive([message]);
  // The new state is open, and being read.
  for (let i = 0; i < 200 && directory.backend.appliedIndex < 5; i++) clock.advance(1);
  expect(directory.backend.appliedIndex).toBe(5);
  finished((done) => member.stop(done));
  expect(member.store).toBe(store);
  expect(memory.names.filter((name) => memory.disk(name).open)).toEqual([]);
  expect(openDirectory(memory, 1n, 0).backend.appliedIndex).toBe(5);
});

test('a state that cannot be written while it is read ends the member', () => {
  const { memory, directory, sender, handlers, failures } = open(0, { readMs: 150 });
  const { message } = transfer(sender, handlers);
  handlers.receive([message]);
  for (let i = 0; i < 1000 && directory.backend.appliedIndex < 5; i++) clock.advance(1);
  memory.disk('state-5-2').failNextWrite(new Error('EIO'));
  clock.advance(5000);
  expect(failures).toEqual(['EIO']);
});

test('a state that could not be written before the start ends the member', () => {
  const memory = new MemoryDirectory();
  const directory = foundedDirectory(memory, 1n);
  memory.disk('state-0-0').failNextWrite(new Error('EIO'));
  const hardState = { term: 1, vote: 0n, commit: 0 };
  finished((done) => directory.raftLog.append({ hardState, entries: [] }, true, done));
  clock.advance(200);
  const { member, failures } = startMember(directory);
  clock.advance(10);
  expect(failures).toEqual(['EIO']);
  expect(member.ended).toBe(true);
});

test('a member that does not take part yet takes no snapshot, whatever it covers', () => {
  const sink = { write: () => {}, finish: () => {}, abort: () => {} };
  let takesPart = false;
  const exchange = new SnapshotExchange({
    clock,
    metrics: silentMetrics,
    directory: {
      openSnapshot: () => undefined,
      receiveSnapshot: () => sink,
      dropReceived: () => {},
    },
    logCompaction: { sendingBegins: () => () => {} },
    refuses: () => false,
    takesPart: () => takesPart,
    committedIndex: () => 3,
    pending: () => undefined,
    step: () => {},
  });
  const confState = {
    voters: [1n],
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  };
  const offered = [3, 4].map((index) => ({ index, term: 1, confState }));
  const answers = (): unknown[] => offered.map((each) => exchange.receiveSnapshot(2n, each));
  expect(answers()).toEqual([undefined, undefined]);
  takesPart = true;
  expect(answers()).toEqual(['held', sink]);
});
