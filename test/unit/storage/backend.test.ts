import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import { Backend, type BackendEntry } from '../../../src/storage/backend.ts';
import { flushMarkKey, flushMarks } from '../../../src/storage/flush-record.ts';
import { prefixRange } from '../../../src/storage/keyspace.ts';
import { MemoryDisk, MemoryEngine } from '../../../src/storage/memory-engine.ts';
import { emptyConfState } from '../../../src/storage/record.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

/** A backend on virtual time: nothing happens unless a test moves the clock. */
class Bench {
  readonly clock = new VirtualClock();
  readonly disk = new MemoryDisk();
  engine: MemoryEngine;
  backend: Backend;

  constructor() {
    [this.engine, this.backend] = this.#open();
  }

  reopen(): void {
    [this.engine, this.backend] = this.#open();
  }

  #open(): [MemoryEngine, Backend] {
    const { clock, disk } = this;
    const engine = new MemoryEngine({ clock, disk });
    let opened: Backend | undefined;
    let failure: Error | undefined;
    Backend.open({ engine, clock, logger: silentLogger }, (error, backend) => {
      failure = error;
      opened = backend;
    });
    clock.runDue();
    if (opened === undefined) {
      disk.crash(() => true);
      throw failure ?? new Error('not opened');
    }
    return [engine, opened];
  }

  put(index: number, pairs: Record<string, string | undefined>, term = 1): void {
    for (const [key, value] of Object.entries(pairs)) {
      if (value === undefined) this.backend.delete(key);
      else this.backend.put(key, Buffer.from(value));
    }
    this.backend.applied(index, term);
  }

  get(key: string): string | undefined {
    const value = this.backend.get(key);
    return value === undefined ? undefined : Buffer.from(value).toString();
  }

  all(prefix: string, limit = 2): BackendEntry[] {
    const found: BackendEntry[] = [];
    const results: (Error | undefined)[] = [];
    this.backend.scan(
      prefixRange(prefix),
      limit,
      (entries) => found.push(...entries),
      (error) => results.push(error),
    );
    this.clock.runDue();
    if (results.length !== 1) throw new Error('the scan has not ended');
    if (results[0] !== undefined) throw results[0];
    return found;
  }
}

describe('Backend', () => {
  test('reads changes at once, and flushes them after its interval', () => {
    const bench = new Bench();
    bench.put(3, { ra: '1', rb: '2' });
    expect([bench.get('ra'), bench.get('rb'), bench.get('rc')]).toEqual(['1', '2', undefined]);
    expect([bench.backend.appliedIndex, bench.backend.flushedIndex]).toEqual([3, 0]);
    bench.clock.advance(99);
    expect(bench.backend.flushedIndex).toBe(0);
    bench.clock.advance(1);
    expect([bench.backend.flushedIndex, bench.backend.flushedTerm]).toEqual([3, 1]);
    expect(bench.backend.pendingOperations).toBe(0);
    expect(bench.get('ra')).toBe('1');
    bench.disk.crash(() => false);
    bench.reopen();
    expect([bench.get('ra'), bench.backend.appliedIndex]).toEqual(['1', 3]);
  });

  test('a deletion hides what is on disk before it is flushed', () => {
    const bench = new Bench();
    bench.put(1, { ra: '1' });
    bench.clock.advance(100);
    bench.put(2, { ra: undefined });
    expect(bench.get('ra')).toBeUndefined();
    bench.backend.flush();
    expect(bench.get('ra')).toBeUndefined();
    bench.clock.runDue();
    expect(bench.get('ra')).toBeUndefined();
  });

  test('an entry without changes moves the flushed index as well', () => {
    const bench = new Bench();
    bench.put(1, { ra: '1' });
    bench.clock.advance(100);
    bench.backend.applied(2, 5);
    bench.clock.advance(100);
    expect([bench.backend.flushedIndex, bench.backend.flushedTerm]).toEqual([2, 5]);
    bench.clock.advance(1000);
    expect(bench.clock.pending).toBe(0);
  });

  test('membership is flushed with the index it belongs to', () => {
    const bench = new Bench();
    const confState = { ...emptyConfState, voters: [1n, 2n], learnersNext: [3n], autoLeave: true };
    bench.backend.setConfState(confState);
    bench.backend.applied(1, 1);
    bench.clock.advance(100);
    bench.disk.crash(() => false);
    bench.reopen();
    expect(bench.backend.confState).toEqual(confState);
  });

  test('a flush waits for everything applied before it was asked for', () => {
    const bench = new Bench();
    const order: string[] = [];
    bench.backend.onFlushed((index) => order.push(`flushed ${index}`));
    bench.put(1, { ra: '1' });
    bench.backend.flush(() => order.push('first'));
    bench.put(2, { ra: '2' });
    bench.backend.flush(() => order.push('second'));
    expect(order).toEqual([]);
    bench.clock.runDue();
    expect(order).toEqual(['flushed 1', 'first', 'flushed 2', 'second']);
    bench.backend.flush(() => order.push('nothing to do'));
    bench.clock.runDue();
    expect(order.at(-1)).toBe('nothing to do');
  });

  test('large amounts are flushed without waiting', () => {
    const bench = new Bench();
    bench.backend.put('r', Buffer.alloc(9 * 1024 * 1024));
    bench.backend.applied(1, 1);
    bench.clock.runDue();
    expect(bench.backend.flushedIndex).toBe(1);
  });

  test('scans a range in slices and leaves out its own records', () => {
    const bench = new Bench();
    bench.put(1, { ra: '1', rb: '2', rc: '3', sa: '4', M: '5' });
    bench.clock.advance(100);
    expect(bench.all('r').map(([key, value]) => [key, Buffer.from(value).toString()])).toEqual([
      ['ra', '1'],
      ['rb', '2'],
      ['rc', '3'],
    ]);
    const everything: string[] = [];
    bench.backend.scan(
      {},
      1,
      (entries) => everything.push(...entries.map(([key]) => key)),
      () => everything.push('end'),
    );
    bench.clock.runDue();
    expect(everything).toEqual(['M', 'ra', 'rb', 'rc', 'sa', 'end']);
  });

  test('a view stays at its flush', () => {
    const bench = new Bench();
    bench.put(1, { ra: '1' });
    bench.clock.advance(100);
    const view = bench.backend.view();
    bench.put(2, { ra: '2' });
    bench.clock.advance(100);
    expect(view.metadata.index).toBe(1);
    expect(Buffer.from(view.get('ra') ?? []).toString()).toBe('1');
    expect(bench.backend.view().metadata.index).toBe(2);
    view.close();
  });

  test('views are counted until they are closed', () => {
    const bench = new Bench();
    const views = [bench.backend.view(), bench.backend.view()];
    expect(bench.backend.openViews).toBe(2);
    views[0]?.close();
    views[0]?.close();
    expect(bench.backend.openViews).toBe(1);
    views[1]?.close();
    expect(bench.backend.openViews).toBe(0);
  });

  test('a flipped byte of a value is noticed by every way of reading', () => {
    const bench = new Bench();
    bench.put(1, { ra: 'value' });
    bench.clock.advance(100);
    bench.disk.rot(Buffer.from('ra'), (value) => {
      value[2] = 0;
      return value;
    });
    expect(() => bench.get('ra')).toThrow('checksum');
    expect(() => bench.all('r')).toThrow('checksum');
  });

  test('a value that moved to another key is noticed', () => {
    const bench = new Bench();
    bench.put(1, { ra: 'one', rb: 'two' });
    bench.clock.advance(100);
    const other = bench.engine.getSync(Buffer.from('rb'));
    bench.disk.rot(Buffer.from('ra'), () => other);
    expect(() => bench.get('ra')).toThrow('checksum');
  });

  test('a missing flush is noticed at opening, long after it', () => {
    for (const lost of [1, 5, 19, 20]) {
      const bench = new Bench();
      for (let i = 1; i <= 20; i++) {
        bench.put(i, { ra: String(i) });
        bench.clock.advance(100);
      }
      bench.disk.rot(flushMarkKey(lost), () => undefined);
      bench.disk.crash(() => true);
      expect(() => bench.reopen(), `flush ${lost}`).toThrow('missing');
    }
  });

  test('marks of old flushes are removed', () => {
    const bench = new Bench();
    for (let i = 1; i <= flushMarks + 10; i++) {
      bench.backend.applied(i, 1);
      bench.clock.advance(100);
    }
    expect(bench.disk.tree.size).toBe(flushMarks + 1);
    bench.disk.crash(() => true);
    bench.reopen();
    expect(bench.backend.flushedIndex).toBe(flushMarks + 10);
  });

  test('the first failed write is told once, and reads go on being right', () => {
    const bench = new Bench();
    const told: string[] = [];
    bench.backend.onFailure((error) => told.push(`failure: ${error.message}`));
    bench.put(1, { ra: '1' });
    bench.engine.failNextWrite(new Error('disk full'));
    bench.backend.flush((error) => told.push(`flush: ${error?.message}`));
    bench.put(2, { rb: '2' });
    bench.backend.flush((error) => told.push(`next: ${error?.message}`));
    bench.clock.advance(1000);
    expect(told).toEqual(['failure: disk full', 'flush: disk full', 'next: disk full']);
    bench.put(3, { rc: '3' });
    bench.backend.flush((error) => told.push(`later: ${error?.message}`));
    bench.clock.advance(1000);
    expect(told.slice(3)).toEqual(['later: disk full']);
    expect([bench.get('ra'), bench.get('rb'), bench.get('rc')]).toEqual(['1', '2', '3']);
    expect(bench.backend.flushedIndex).toBe(0);
  });

  test('closing writes what is pending', () => {
    const bench = new Bench();
    bench.put(1, { ra: '1' });
    bench.backend.flush();
    bench.put(2, { rb: '2' });
    let closed = false;
    bench.backend.close(() => {
      closed = true;
    });
    bench.clock.runDue();
    expect(closed).toBe(true);
    bench.reopen();
    expect([bench.get('ra'), bench.get('rb'), bench.backend.flushedIndex]).toEqual(['1', '2', 2]);
  });

  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ key: fc.nat(5), value: fc.option(fc.string(), { nil: undefined }) }),
    },
    { weight: 2, arbitrary: fc.record({ advanceMs: fc.nat(150) }) },
    { weight: 1, arbitrary: fc.record({ flush: fc.constant(true) }) },
    {
      weight: 1,
      arbitrary: fc.record({ crash: fc.array(fc.boolean(), { minLength: 1, maxLength: 4 }) }),
    },
  );

  test('a write that failed before anybody listened is told to who listens then', () => {
    const bench = new Bench();
    bench.engine.failNextWrite(new Error('disk full'));
    bench.put(1, { ra: '1' });
    bench.clock.advance(100);
    const told: string[] = [];
    bench.backend.onFailure((error) => told.push(error.message));
    expect(told).toEqual([]);
    bench.clock.runDue();
    expect(told).toEqual(['disk full']);
  });

  test('a scan ends when the backend is closed', () => {
    const bench = new Bench();
    bench.put(1, { ra: '1', rb: '2', rc: '3' });
    bench.clock.advance(100);
    const found: string[] = [];
    let told: string | undefined;
    bench.backend.scan(
      prefixRange('r'),
      1,
      ([entry]) => {
        found.push(entry?.[0] ?? '');
        bench.backend.close(() => {});
      },
      (error) => {
        told = error?.message;
      },
    );
    bench.clock.runDue();
    expect([found, told]).toEqual([['ra'], 'the backend is closed']);
  });

  test('a view is refused if the backend is closed first', () => {
    const bench = new Bench();
    bench.put(1, { ra: '1' });
    bench.backend.close(() => {});
    const told: (string | undefined)[] = [];
    bench.backend.currentView((error) => told.push(error?.message));
    bench.clock.runDue();
    expect(told).toEqual(['the backend is closed']);
  });

  test('nothing is written any more once the last flush is on disk', () => {
    const bench = new Bench();
    const told: (Error | undefined)[] = [];
    bench.put(3, { ra: '1' });
    bench.backend.close((error) => told.push(error));
    // While that flush is being written, something changes that would call for another one.
    bench.put(4, { ra: '2' });
    bench.backend.flush((error) => told.push(error));
    bench.clock.runDue();
    expect(told.map((error) => error?.message)).toEqual(['the backend is closed', undefined]);
    bench.clock.advance(1000);
    bench.reopen();
    expect([bench.get('ra'), bench.backend.appliedIndex]).toEqual(['1', 3]);
  });

  test('after a crash the state is exactly that of the flushed index', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const bench = new Bench();
        // The state after each index.
        const history: Map<string, string>[] = [new Map()];
        let acknowledged = 0;
        const listen = (): void => {
          bench.backend.onFlushed((index) => {
            acknowledged = Math.max(acknowledged, index);
          });
        };
        listen();
        for (const s of steps) {
          if ('key' in s) {
            const state = new Map(history.at(-1));
            if (s.value === undefined) state.delete(`r${s.key}`);
            else state.set(`r${s.key}`, s.value);
            history.push(state);
            bench.put(history.length - 1, { [`r${s.key}`]: s.value });
          } else if ('advanceMs' in s) {
            bench.clock.advance(s.advanceMs);
          } else if ('flush' in s) {
            bench.backend.flush();
          } else {
            let draw = 0;
            bench.disk.crash(() => s.crash[draw++ % s.crash.length] ?? false);
            bench.reopen();
            listen();
            expect(bench.backend.appliedIndex).toBeGreaterThanOrEqual(acknowledged);
            history.length = bench.backend.appliedIndex + 1;
            expect(new Map(bench.all('r').map(([k, v]) => [k, Buffer.from(v).toString()]))).toEqual(
              history.at(-1),
            );
          }
          for (let key = 0; key <= 5; key++) {
            expect(bench.get(`r${key}`)).toBe(history.at(-1)?.get(`r${key}`));
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});
