/** The life of a data directory, cut short at every single step. */
import { describe, expect, test } from 'vitest';
import type { Clock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { Completion } from '../../../src/storage/engine.ts';
import { openDataDirectory, type DataDirectory } from '../../../src/storage/data-directory.ts';
import { MemoryDirectory } from '../../../src/storage/memory-directory.ts';
import type { StateSink, StateSource } from '../../../src/storage/snapshot-stream.ts';
import { StepClock } from '../../support/step-clock.ts';

const identity = { memberId: 1n, clusterId: 2n };
const snapshotIndex = 30;

function open(clock: Clock, memory: MemoryDirectory, done: (d: DataDirectory) => void): void {
  openDataDirectory({ memory, clock, logger: silentLogger, identity }, (error, directory) => {
    if (directory === undefined) throw error ?? new Error('not opened');
    done(directory);
  });
}

function fill(directory: DataDirectory, to: number, done: Completion): void {
  const first = directory.raftLog.lastIndex() + 1;
  const entries = Array.from({ length: to - first + 1 }, (_, i) => {
    return { index: first + i, term: 1, kind: 0 as const, data: Buffer.alloc(10, first + i) };
  });
  const hardState = { term: 1, vote: 1n, commit: to };
  directory.raftLog.append({ hardState, entries }, true, (error) => {
    if (error !== undefined) throw error;
    for (let i = first; i <= to; i++) directory.backend.put(`r${i}`, Buffer.from(`value ${i}`));
    directory.backend.put('M', Buffer.from(String(to)));
    directory.backend.applied(to, 1);
    directory.backend.flush(done);
  });
}

function transfer(source: StateSource, sink: StateSink, done: Completion): void {
  source.next((error, chunk) => {
    if (error !== undefined) throw error;
    if (chunk === undefined) sink.finish(done);
    else {
      sink.write(chunk, (writeError) => {
        if (writeError !== undefined) throw writeError;
        transfer(source, sink, done);
      });
    }
  });
}

/** What must be found after a crash. */
interface Acknowledged {
  lastIndex: number;
  flushedIndex: number;
}

function check(error: Error | undefined): void {
  if (error !== undefined) throw error;
}

/** First start, entries, a compaction, a snapshot from another member, more entries. */
function live(
  clock: Clock,
  memory: MemoryDirectory,
  sender: DataDirectory,
  seen: Acknowledged,
  done: () => void,
): void {
  open(clock, memory, (directory) => {
    const { raftLog } = directory;
    const filled = (to: number, next: () => void): void => {
      fill(directory, to, (error) => {
        check(error);
        seen.lastIndex = to;
        seen.flushedIndex = to;
        next();
      });
    };
    const install = (): void => {
      const source = sender.openSnapshot();
      const sink = source && directory.receiveSnapshot(source.metadata);
      if (source === undefined || sink === undefined) throw new Error('no transfer');
      transfer(source, sink, (error) => {
        check(error);
        source.close();
        const snapshot = directory.received(source.metadata);
        raftLog.append({ entries: [], snapshot }, true, (appendError) => {
          check(appendError);
          seen.lastIndex = snapshotIndex;
          seen.flushedIndex = snapshotIndex;
          directory.install(source.metadata, (installError) => {
            check(installError);
            directory.removeReplaced(check);
            filled(snapshotIndex + 5, done);
          });
        });
      });
    };
    filled(3, () => {
      filled(6, () => {
        raftLog.compact(4, check);
        install();
      });
    });
  });
}

describe('a crash at every step', () => {
  const senderClock = new StepClock();
  let sender: DataDirectory | undefined;
  open(senderClock, new MemoryDirectory(), (directory) => {
    fill(directory, snapshotIndex, () => {
      sender = directory;
    });
  });
  senderClock.run(Infinity);

  function liveUntil(steps: number): {
    readonly memory: MemoryDirectory;
    readonly seen: Acknowledged;
    readonly finished: boolean;
  } {
    if (sender === undefined) throw new Error('no sender');
    const clock = new StepClock();
    const memory = new MemoryDirectory();
    const seen = { lastIndex: 0, flushedIndex: 0 };
    const life = { memory, seen, finished: false };
    live(clock, memory, sender, seen, () => {
      life.finished = true;
    });
    for (let step = 0; step < steps && !life.finished; step++) {
      clock.run(1);
      // The sender's reads are not part of what is cut short.
      senderClock.run(Infinity);
    }
    return life;
  }

  test.each([
    ['everything under way survives', () => true],
    ['nothing under way survives', () => false],
    [
      'one of two databases is ahead',
      (
        (draw) => () =>
          draw++ % 2 === 0
      )(0),
    ],
  ])('%s', (_name, survives) => {
    let steps = 0;
    for (let finished = false; !finished; steps++) {
      const life = liveUntil(steps);
      finished = life.finished;
      life.memory.crash(survives);
      const clock = new StepClock();
      const found: DataDirectory[] = [];
      open(clock, life.memory, (directory) => found.push(directory));
      clock.run(1000);
      const [directory] = found;
      if (directory === undefined) throw new Error(`not opened after ${steps} steps`);
      const { raftLog, backend } = directory;
      expect(raftLog.lastIndex(), `log, step ${steps}`).toBeGreaterThanOrEqual(life.seen.lastIndex);
      const flushed = backend.flushedIndex;
      expect(flushed, `state, step ${steps}`).toBeGreaterThanOrEqual(life.seen.flushedIndex);
      for (let i = 1; i <= flushed; i++) {
        expect(Buffer.from(backend.get(`r${i}`) ?? []).toString()).toBe(`value ${i}`);
      }
      expect(backend.get(`r${flushed + 1}`)).toBeUndefined();
      if (flushed > 0) expect(Buffer.from(backend.get('M') ?? []).toString()).toBe(`${flushed}`);
      const states = life.memory.names.filter((name) => name.startsWith('state-'));
      expect(states).toEqual([raftLog.stateDirectory]);
    }
    expect(steps).toBeGreaterThan(20);
  });
});
