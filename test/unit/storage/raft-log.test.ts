import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { completion, result } from '../../../src/base/completion.ts';
import { compacted, unavailable, type Entry, type HardState } from '../../../src/raft/index.ts';
import { logKeys, numberedKey } from '../../../src/storage/keyspace.ts';
import { MemoryDisk, MemoryEngine } from '../../../src/storage/memory-engine.ts';
import { RaftLog, type LogBatch } from '../../../src/storage/raft-log.ts';
import { emptyConfState } from '../../../src/storage/record.ts';
import { realClock } from '../../support/engines.ts';

function entry(index: number, term: number, size = 3): Entry {
  return { index, term, kind: 0, data: Buffer.alloc(size, index % 251) };
}

function run(from: number, to: number, term: number): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, i) => entry(from + i, term));
}

function open(disk: MemoryDisk, cacheBytes?: number): Promise<RaftLog> {
  const engine = new MemoryEngine({ clock: realClock, disk });
  const options = { engine, ...(cacheBytes === undefined ? {} : { cacheBytes }) };
  return result((done) => RaftLog.open(options, done));
}

function append(log: RaftLog, batch: LogBatch, sync = true): Promise<void> {
  return completion((done) => log.append(batch, sync, done));
}

async function reopen(log: RaftLog, disk: MemoryDisk, cacheBytes?: number): Promise<RaftLog> {
  await completion((done) => log.close(done));
  return open(disk, cacheBytes);
}

function all(log: RaftLog): readonly Entry[] {
  const entries = log.entries(log.firstIndex(), log.lastIndex() + 1, Infinity);
  if (entries === compacted || entries === unavailable) throw new Error('no entries');
  return entries.map((e) => ({ ...e, data: Buffer.from(e.data) }));
}

const hardState: HardState = { term: 7, vote: 0xffff_ffff_ffff_fffen, commit: 3 };

describe('RaftLog', () => {
  test('is empty at first', async () => {
    const log = await open(new MemoryDisk());
    expect(log.initialState().hardState).toEqual({ term: 0, vote: 0n, commit: 0 });
    expect([log.firstIndex(), log.lastIndex(), log.term(0)]).toEqual([1, 0, 0]);
    expect(log.stateDirectory).toBeUndefined();
    expect(log.snapshot()).toBe(unavailable);
  });

  test('gives back after reopening what was appended', async () => {
    const disk = new MemoryDisk();
    let log = await open(disk);
    await append(log, { hardState, entries: [...run(1, 3, 1), ...run(4, 5, 2)] });
    await append(log, { entries: run(6, 6, 7) });
    const before = all(log);
    log = await reopen(log, disk);
    expect(all(log)).toEqual(before);
    expect(log.initialState().hardState).toEqual(hardState);
    expect([3, 4, 5, 6].map((i) => log.term(i))).toEqual([1, 2, 2, 7]);
    expect(log.term(7)).toBe(unavailable);
    expect(log.entries(6, 8, 1)).toBe(unavailable);
  });

  test('limits what it reads by size, but gives at least one entry', async () => {
    const log = await open(new MemoryDisk());
    await append(log, { entries: run(1, 10, 1) });
    expect(log.entries(2, 11, 0)).toHaveLength(1);
    expect(log.entries(2, 11, 40)).toHaveLength(2);
    expect(log.entries(2, 5, Infinity)).toHaveLength(3);
  });

  test('overwrites a conflicting end, within records and across them', async () => {
    const disk = new MemoryDisk();
    let log = await open(disk);
    await append(log, { entries: run(1, 4, 1) });
    await append(log, { entries: run(5, 8, 1) });
    await append(log, { entries: run(3, 5, 2) });
    expect(log.lastIndex()).toBe(5);
    const before = all(log);
    expect(before.map((e) => e.term)).toEqual([1, 1, 2, 2, 2]);
    log = await reopen(log, disk);
    expect(all(log)).toEqual(before);
    await append(log, { entries: run(1, 1, 3) });
    log = await reopen(log, disk);
    expect(all(log).map((e) => e.term)).toEqual([3]);
  });

  test('the chain does not depend on how entries are grouped', async () => {
    const one = await open(new MemoryDisk());
    await append(one, { entries: run(1, 6, 1) });
    const disk = new MemoryDisk();
    let other = await open(disk);
    await append(other, { entries: run(1, 4, 1) });
    await append(other, { entries: [...run(3, 5, 1)] });
    await append(other, { entries: run(6, 6, 1) });
    other = await reopen(other, disk);
    for (let i = 0; i <= 6; i++) expect(other.chainAt(i)).toBe(one.chainAt(i));
    expect(new Set([0, 1, 2, 3, 4, 5, 6].map((i) => one.chainAt(i))).size).toBe(7);
  });

  test('compaction drops whole records and keeps the chain', async () => {
    const disk = new MemoryDisk();
    let log = await open(disk);
    await append(log, { entries: run(1, 4, 1) });
    await append(log, { entries: run(5, 9, 2) });
    const chain = log.chainAt(6);
    await completion((done) => log.compact(6, done));
    expect(log.entries(6, 8, 1)).toBe(compacted);
    expect(log.term(5)).toBe(compacted);
    expect([log.firstIndex(), log.term(6), log.chainAt(6)]).toEqual([7, 2, chain]);
    log = await reopen(log, disk);
    expect([log.firstIndex(), log.lastIndex(), log.term(6), log.chainAt(6)]).toEqual([
      7,
      9,
      2,
      chain,
    ]);
    expect(all(log).map((e) => e.index)).toEqual([7, 8, 9]);
    await append(log, { entries: run(8, 8, 3) });
    log = await reopen(log, disk);
    expect(all(log).map((e) => [e.index, e.term])).toEqual([
      [7, 2],
      [8, 3],
    ]);
    await completion((done) => log.compact(8, done));
    log = await reopen(log, disk);
    expect([log.firstIndex(), log.lastIndex(), log.term(8)]).toEqual([9, 8, 3]);
    await append(log, { entries: run(9, 9, 4) });
    expect((await reopen(log, disk)).lastIndex()).toBe(9);
  });

  test('a snapshot replaces the log and names its directory', async () => {
    const disk = new MemoryDisk();
    let log = await open(disk);
    await append(log, { entries: run(1, 4, 1) });
    const metadata = { index: 20, term: 3, confState: { ...emptyConfState, voters: [5n] } };
    const snapshot = { metadata, stateDirectory: 'state-20-3', chain: 77 };
    await append(log, { hardState, snapshot, entries: run(21, 22, 3) });
    expect(log.initialState().confState.voters).toEqual([5n]);
    log = await reopen(log, disk);
    expect([log.firstIndex(), log.lastIndex(), log.term(20)]).toEqual([21, 22, 3]);
    expect([log.chainAt(20), log.stateDirectory]).toEqual([77, 'state-20-3']);
  });

  test('a commit index alone is written with the next synced batch', async () => {
    const disk = new MemoryDisk();
    let log = await open(disk);
    await append(log, { hardState, entries: run(1, 4, 7) });
    await append(log, { hardState: { ...hardState, commit: 4 }, entries: [] }, false);
    expect(log.hardState.commit).toBe(4);
    expect(disk.unsafeBatches).toBe(0);
    await append(log, { entries: run(5, 5, 7) });
    log = await reopen(log, disk);
    expect(log.hardState.commit).toBe(4);
  });

  test('keeps the newest entries within its budget and reads the rest from disk', async () => {
    const log = await open(new MemoryDisk(), 1000);
    for (let i = 1; i <= 50; i++) await append(log, { entries: [entry(i, 1, 60)] });
    expect(log.cachedBytes).toBeGreaterThan(0);
    expect(log.cachedBytes).toBeLessThanOrEqual(1000);
    expect(all(log)).toEqual(Array.from({ length: 50 }, (_, i) => entry(i + 1, 1, 60)));
  });

  test('entries are readable while their write is under way, and not evicted', async () => {
    const log = await open(new MemoryDisk(), 0);
    const writes = [append(log, { entries: run(1, 3, 1) }), append(log, { entries: run(2, 4, 2) })];
    expect(all(log).map((e) => e.term)).toEqual([1, 2, 2, 2]);
    await Promise.all(writes);
    expect(log.cachedBytes).toBe(0);
    expect(all(log).map((e) => e.term)).toEqual([1, 2, 2, 2]);
  });

  test('refuses a gap and a compacted index', async () => {
    const log = await open(new MemoryDisk());
    expect(() => log.append({ entries: run(2, 3, 1) }, true, () => {})).toThrow('gap');
    await append(log, { entries: run(1, 3, 1) });
    await completion((done) => log.compact(2, done));
    expect(() => log.append({ entries: run(2, 3, 1) }, true, () => {})).toThrow('compacted');
  });

  test('a failed write fails all later ones with the same error', async () => {
    const disk = new MemoryDisk();
    const engine = new MemoryEngine({ clock: realClock, disk });
    const log = await result<RaftLog>((done) => RaftLog.open({ engine }, done));
    engine.failNextWrite(new Error('no space'));
    await expect(append(log, { entries: run(1, 1, 1) })).rejects.toThrow('no space');
    await expect(append(log, { entries: run(2, 2, 1) })).rejects.toThrow('no space');
  });
});

describe('damage to the log database', () => {
  async function damaged(change: (disk: MemoryDisk) => void): Promise<RaftLog> {
    const disk = new MemoryDisk();
    const log = await open(disk);
    await append(log, { hardState, entries: run(1, 4, 1) });
    await append(log, { entries: run(5, 6, 1) });
    await append(log, { entries: run(7, 9, 2) });
    await completion((done) => log.compact(2, done));
    await completion((done) => log.close(done));
    change(disk);
    return open(disk);
  }

  test.each([1, 5, 7])('a missing record at %i is noticed', async (index) => {
    const key = numberedKey(logKeys.entries, index);
    await expect(damaged((disk) => disk.rot(key, () => undefined))).rejects.toThrow(/log/);
  });

  test('an earlier version of a record that was overwritten is noticed by the chain', async () => {
    const disk = new MemoryDisk();
    const log = await open(disk);
    await append(log, { hardState, entries: run(1, 2, 1) });
    await append(log, { entries: [entry(3, 1, 5), entry(4, 1, 5)] });
    const key = numberedKey(logKeys.entries, 3);
    const earlier = disk.tree.get(key.toString('latin1'));
    await append(log, { entries: run(3, 4, 1) });
    await append(log, { entries: run(5, 6, 1) });
    await completion((done) => log.close(done));
    disk.rot(key, () => earlier);
    await expect(open(disk)).rejects.toThrow(/record of 5 does not follow/);
  });

  test('every flipped byte is noticed', async () => {
    const disk = new MemoryDisk();
    const log = await open(disk);
    await append(log, { hardState, entries: run(1, 4, 1) });
    await append(log, { entries: run(5, 6, 1) });
    await completion((done) => log.compact(2, done));
    await completion((done) => log.close(done));
    for (const [name, value] of [...disk.tree.entries()]) {
      const key = Buffer.from(name, 'latin1');
      for (let at = 0; at < value.length; at++) {
        const flip = (bytes: Uint8Array): Uint8Array => {
          bytes[at] = (bytes[at] ?? 0) ^ 0x10;
          return bytes;
        };
        disk.rot(key, flip);
        const outcome = await open(disk).then(
          () => 'opened',
          (error: unknown) => (error as Error).name,
        );
        expect([name, at, outcome]).toEqual([name, at, 'CorruptionError']);
        disk.crash(() => true);
        disk.rot(key, flip);
      }
    }
  });
});

describe('crash of any subset of unsynced batches', () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('append' as const),
      back: fc.nat(4),
      count: fc.integer({ min: 1, max: 5 }),
      size: fc.nat(40),
      bump: fc.boolean(),
    }),
    fc.record({ kind: fc.constant('commit' as const) }),
    fc.record({
      kind: fc.constant('compact' as const),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
    fc.record({ kind: fc.constant('settle' as const) }),
    fc.record({ kind: fc.constant('crash' as const), survive: fc.boolean() }),
  );

  test('acknowledged entries survive, and the log is a prefix of what was written', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const disk = new MemoryDisk();
        let log = await open(disk, 200);
        let term = 1;
        // States that memory went through since the last acknowledged one, oldest first.
        let states = [describeLog(log)];
        const take = (batch: LogBatch, sync: boolean): void => {
          log.append(batch, sync, acknowledge());
          states.push(describeLog(log));
        };
        const acknowledge = (): (() => void) => {
          const position = states.length;
          const era = states;
          return () => {
            if (era === states) acknowledged = Math.max(acknowledged, position);
          };
        };
        let acknowledged = 0;
        for (const s of steps) {
          if (s.kind === 'append') {
            if (s.bump) term += 1;
            const first = Math.max(log.firstIndex(), log.lastIndex() + 1 - s.back);
            const entries = Array.from({ length: s.count }, (_, i) =>
              entry(first + i, term, s.size),
            );
            const vote = BigInt(term);
            take({ hardState: { term, vote, commit: log.hardState.commit }, entries }, true);
          } else if (s.kind === 'commit') {
            take({ hardState: { ...log.hardState, commit: log.lastIndex() }, entries: [] }, false);
          } else if (s.kind === 'compact') {
            const span = log.lastIndex() - log.anchor.index;
            log.compact(log.anchor.index + Math.floor(span * s.share), acknowledge());
            states.push(describeLog(log));
          } else if (s.kind === 'settle') {
            await completion((done) => log.append({ entries: [] }, false, done));
          } else {
            disk.crash(() => s.survive);
            log = await open(disk, 200);
            const found = describeLog(log);
            const allowed = states.slice(acknowledged);
            expect(allowed).toContain(found);
            states = [found];
            acknowledged = 0;
            term = Math.max(term, log.hardState.term);
          }
        }
        disk.crash(() => false);
        const last = await open(disk);
        expect(states.slice(acknowledged)).toContain(describeLog(last));
      }),
      { numRuns: 150 },
    );
  });

  /** All that must be durable, as text; the commit index need not be. */
  function describeLog(log: RaftLog): string {
    const entries = all(log).map((e) => `${e.index}/${e.term}/${e.data.length}`);
    const { term, vote } = log.hardState;
    return `${log.anchor.index} ${log.anchor.chain} ${term} ${vote}: ${entries.join(' ')}`;
  }
});
