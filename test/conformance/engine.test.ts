/** What every engine promises, checked on LevelDB and on its in-memory twin. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { completion, result } from '../../src/base/completion.ts';
import type { Engine, EngineEntry, EngineView, KeyRange } from '../../src/storage/engine.ts';
import { del, openLevel, openMemory, put, temporaryDirectory, write } from '../support/engines.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const text = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : Buffer.from(value).toString('latin1');

function read(view: EngineView, range: KeyRange, limit: number): Promise<readonly EngineEntry[]> {
  return result((done) => view.read(range, limit, done));
}

async function keys(
  view: EngineView,
  range: KeyRange,
  limit = 100,
): Promise<(string | undefined)[]> {
  return (await read(view, range, limit)).map(([key]) => text(key));
}

interface Opened {
  readonly engine: Engine;
  remove(): void;
}

const kinds: Record<string, () => Promise<Opened>> = {
  level: async () => {
    const directory = temporaryDirectory();
    return {
      engine: await openLevel(directory.path),
      remove: () => directory.remove(),
    };
  },
  memory: () => Promise.resolve({ engine: openMemory(), remove() {} }),
};

describe.each(Object.entries(kinds))('%s engine', (_name, open) => {
  let engine: Engine;
  let remove: () => void;
  let closed: boolean;

  beforeEach(async () => {
    ({ engine, remove } = await open());
    closed = false;
  });

  afterEach(async () => {
    if (!closed) await completion((done) => engine.close(done));
    remove();
  });

  test('reads what was written, byte for byte', async () => {
    const key = Uint8Array.from([0, 255, 128, 10]);
    const value = Uint8Array.from({ length: 256 }, (_, i) => i);
    await write(engine, [{ type: 'put', key, value }, put('empty', '')]);
    expect(Buffer.from(engine.getSync(key) ?? [])).toEqual(Buffer.from(value));
    expect(engine.getSync(bytes('empty'))?.length).toBe(0);
    expect(engine.getSync(bytes('absent'))).toBeUndefined();
  });

  test('applies the operations of a batch in their order', async () => {
    await write(engine, [put('a', '1'), del('a'), put('b', '1'), put('b', '2'), del('c')]);
    expect(engine.getSync(bytes('a'))).toBeUndefined();
    expect(text(engine.getSync(bytes('b')))).toBe('2');
  });

  test('completes writes in the order of the calls, and never within the call', async () => {
    const order: number[] = [];
    const writes = [[put('k', '0')], [], [put('k', '2')], [], [put('k', '4')]].map(
      (operations, i) =>
        completion((done) => {
          engine.write(operations, i % 2 === 0, (error) => {
            order.push(i);
            done(error);
          });
          expect(order).toEqual([]);
        }),
    );
    await Promise.all(writes);
    expect(order).toEqual([0, 1, 2, 3, 4]);
    expect(text(engine.getSync(bytes('k')))).toBe('4');
    expect(engine.backlogBytes).toBe(0);
  });

  test('counts bytes under way', async () => {
    const writing = write(engine, [put('key', 'value'), del('other')]);
    expect(engine.backlogBytes).toBe(13);
    await writing;
    expect(engine.backlogBytes).toBe(0);
  });

  test('writes batches larger than a slice as a whole', async () => {
    const operations = Array.from({ length: 7001 }, (_, i) => put(`k${i}`, `v${i}`));
    await Promise.all([write(engine, operations), write(engine, [put('after', '1')])]);
    expect(text(engine.getSync(bytes('k7000')))).toBe('v7000');
    const view = engine.view();
    expect((await read(view, {}, 10_000)).length).toBe(7002);
    view.close();
  });

  test('a view does not change', async () => {
    await write(engine, [put('a', '1'), put('b', '1')]);
    const view = engine.view();
    await write(engine, [put('a', '2'), del('b'), put('c', '2')]);
    expect(text(view.getSync(bytes('a')))).toBe('1');
    expect(text(view.getSync(bytes('b')))).toBe('1');
    expect(view.getSync(bytes('c'))).toBeUndefined();
    expect(await keys(view, {})).toEqual(['a', 'b']);
    expect(text(engine.getSync(bytes('a')))).toBe('2');
    view.close();
  });

  test('reads ranges in byte order, with limits, and an empty slice at the end', async () => {
    await write(
      engine,
      ['b', 'a', '\x80', '\xff', 'ab', 'c'].map((key) => put(key, key)),
    );
    const view = engine.view();
    expect(await keys(view, {})).toEqual(['a', 'ab', 'b', 'c', '\x80', '\xff']);
    expect(await keys(view, { low: bytes('ab'), high: bytes('c') })).toEqual(['ab', 'b']);
    expect(await keys(view, { low: bytes('b') }, 2)).toEqual(['b', 'c']);
    expect(await keys(view, { low: bytes('\xff\0') })).toEqual([]);
    view.close();
  });

  test('a closed engine finishes its writes first', async () => {
    const done: string[] = [];
    engine.write([put('a', '1')], true, () => done.push('write'));
    engine.write([put('a', '2')], true, () => done.push('write'));
    await completion((end) => engine.close(end));
    closed = true;
    expect(done).toEqual(['write', 'write']);
    expect(() => engine.write([], false, () => {})).toThrow('closed');
  });
});
