import { expect, test } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import { silentMetrics } from '../../../src/base/metrics.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { Message, SnapshotMetadata } from '../../../src/raft/index.ts';
import { Member } from '../../../src/server/member.ts';
import { foundCluster } from '../../../src/server/state.ts';
import { type DataDirectory, openDataDirectory } from '../../../src/storage/data-directory.ts';
import { MemoryDirectory } from '../../../src/storage/memory-directory.ts';
import type { SnapshotSink, TransportHandlers } from '../../../src/transport/transport.ts';
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
  for (let i = 0; i < 1000 && ended === undefined; i++) clock.advance(1);
  if (ended === undefined) throw new Error('it does not end');
  if (ended.error !== undefined) throw ended.error;
  return ended.value;
}

function openDirectory(memory: MemoryDirectory, memberId: bigint): DataDirectory {
  const identity = { memberId, clusterId: 9n };
  const options = { memory, clock, logger: silentLogger, identity };
  const directory = finished<DataDirectory>((done) => openDataDirectory(options, done));
  if (directory === undefined) throw new Error('no directory');
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

function startMember(directory: DataDirectory): TransportHandlers {
  let handlers: TransportHandlers | undefined;
  const transport = {
    start: (given: TransportHandlers) => {
      handlers = given;
    },
    setPeers: () => undefined,
    send: () => undefined,
    introduce: () => undefined,
    sendNote: () => false,
    lastHeardMs: () => undefined,
    connected: () => false,
    stop: (done: () => void) => done(),
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
        metrics: silentMetrics,
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
  member?.start((error) => {
    throw error;
  });
  if (handlers === undefined) throw new Error('the member did not start');
  return handlers;
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
  if (sink === undefined) throw new Error('it is not wanted');
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

function open(to: number): {
  memory: MemoryDirectory;
  directory: DataDirectory;
  sender: DataDirectory;
  handlers: TransportHandlers;
} {
  const memory = new MemoryDirectory();
  const directory = openDirectory(memory, 1n);
  if (to > 0) advance(directory, to);
  const sender = openDirectory(new MemoryDirectory(), 2n);
  advance(sender, 5);
  return { memory, directory, sender, handlers: startMember(directory) };
}

test('a received state that the log does not need goes at once', () => {
  const { memory, sender, handlers } = open(5);
  const { message } = transfer(sender, handlers);
  expect(memory.names).toContain('state-5-2');
  handlers.receive([message]);
  clock.advance(50);
  expect(memory.names).not.toContain('state-5-2');
});

test('a state that is being taken over is not received anew', () => {
  const { directory, sender, handlers } = open(0);
  const { metadata, message } = transfer(sender, handlers);
  handlers.receive([message]);
  const again: SnapshotSink | undefined = handlers.receiveSnapshot(3n, metadata);
  expect(again).toBeUndefined();
  clock.advance(200);
  expect(directory.backend.appliedIndex).toBe(5);
  expect(directory.raftLog.stateDirectory).toBe('state-5-2');
});
