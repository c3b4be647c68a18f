import {
  closeSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { blockBytes, fragmentType, headerBytes } from '../../../src/storage/log-format.ts';
import { LevelLog } from '../../../src/storage/level-log.ts';
import { scanLog } from '../../../src/storage/log-scanner.ts';
import { openLevel, put, temporaryDirectory, write } from '../../support/engines.ts';

let temporary: ReturnType<typeof temporaryDirectory>;
let log: LevelLog;

beforeEach(() => {
  temporary = temporaryDirectory();
  log = new LevelLog(temporary.path);
});

afterEach(() => {
  log.close();
  temporary.remove();
});

const path = (number: number): string => join(temporary.path, `00000${number}.log`);

/** A record of one fragment; only its length matters here. */
function record(dataBytes = 100): Buffer {
  const bytes = Buffer.alloc(headerBytes + dataBytes, 0xff);
  bytes.writeUInt16LE(dataBytes, 4);
  bytes[6] = fragmentType.full;
  return bytes;
}

/** 'at once' if no sync was needed: a sync of the directory takes a turn of the event loop. */
function written(): Promise<string> {
  return new Promise((resolve) => {
    let when = 'at once';
    log.written((error) => resolve(error === undefined ? when : error.message));
    when = 'after a sync';
  });
}

/** A file that is written as LevelDB does: each record behind the one before. */
class Writer {
  readonly #file: number;
  #at = 0;

  constructor(number: number) {
    this.#file = openSync(path(number), 'w');
  }

  write(bytes: Buffer): void {
    this.#at += writeSync(this.#file, bytes, 0, bytes.length, this.#at);
  }

  close(): void {
    closeSync(this.#file);
  }
}

test('the directory is synced when a write went to another log, and only then', async () => {
  const first = new Writer(3);
  first.write(record());
  expect(await written()).toBe('after a sync');
  for (const dataBytes of [1, 5000, 100]) {
    first.write(record(dataBytes));
    expect(await written()).toBe('at once');
  }
  const second = new Writer(5);
  second.write(record());
  expect(await written()).toBe('after a sync');
  // Two in a row, and the old one may be there or not.
  unlinkSync(path(3));
  const third = new Writer(7);
  third.write(record());
  expect(await written()).toBe('after a sync');
  third.write(record());
  expect(await written()).toBe('at once');
  unlinkSync(path(7));
  const fourth = new Writer(9);
  fourth.write(record(10_000));
  expect(await written()).toBe('after a sync');
  for (const writer of [first, second, third, fourth]) writer.close();
});

test('records are followed over the ends of blocks', async () => {
  const writer = new Writer(3);
  // A block with no room for a header, one that is full to its last byte, and one with a header.
  for (const left of [3, 0, headerBytes]) {
    writer.write(record(blockBytes - headerBytes - left));
    expect([left, await written()]).toEqual([left, left === 3 ? 'after a sync' : 'at once']);
    if (left < headerBytes) writer.write(Buffer.alloc(left));
    else writer.write(record(0));
    writer.write(record());
    expect([left, await written()]).toEqual([left, 'at once']);
    writer.write(record(blockBytes - 2 * headerBytes - 100));
    expect([left, await written()]).toEqual([left, 'at once']);
  }
  writer.close();
});

test('a log is longer than what is written to it, and seldom made so', async () => {
  const engine = await openLevel(temporary.path, 8 * 1024 * 1024);
  const newest = path(3);
  let sizeBytes = 0;
  const changes: number[] = [];
  for (let i = 0; i < 400; i++) {
    await write(engine, [put(`key ${i}`, Buffer.alloc(i % 50 === 0 ? 200_000 : 4_000, 1 + i))]);
    const { endsAt, records, torn } = scanLog(readFileSync(newest), newest);
    expect([records.length, torn]).toEqual([i + 1, false]);
    const nowBytes = statSync(newest).size;
    expect(nowBytes - endsAt).toBeGreaterThan(256 * 1024);
    if (nowBytes !== sizeBytes) changes.push(i);
    sizeBytes = nowBytes;
  }
  // 3.2 MB: its size changes a few times, not with each write.
  expect(changes.length).toBeGreaterThan(2);
  expect(changes.length).toBeLessThan(15);
  await new Promise<void>((resolve, reject) => {
    engine.close((error) => (error === undefined ? resolve() : reject(error)));
  });
});

test('a log that is longer than expected is not cut off', async () => {
  const writer = new Writer(3);
  writer.write(record());
  await written();
  // Behind the middle of what is ahead, so that it is to be made longer.
  for (let i = 0; i < 20; i++) writer.write(record(30_000));
  const sizeBytes = 4 * 1024 * 1024;
  truncateSync(path(3), sizeBytes);
  await written();
  expect(statSync(path(3)).size).toBe(sizeBytes);
  writer.close();
});

test('what a completion throws is not taken for a failed write', () => {
  const writer = new Writer(3);
  writer.write(record());
  let calls = 0;
  const fails = (): void => {
    calls += 1;
    throw new Error('a broken invariant');
  };
  return written().then(() => {
    writer.write(record());
    expect(() => log.written(fails)).toThrow('a broken invariant');
    expect(calls).toBe(1);
    writer.close();
  });
});

test('a write does not count as done if the directory cannot be synced', async () => {
  rmSync(temporary.path, { recursive: true });
  expect(await written()).toMatch(/ENOENT/);
});

test('a write does not count as done if its log has been removed', async () => {
  const message = `${temporary.path} has no log of LevelDB any more`;
  expect(await written()).toBe(message);
  const writer = new Writer(3);
  writer.write(record());
  expect(await written()).toBe('after a sync');
  unlinkSync(path(3));
  // A new one, which was removed as well.
  expect(await written()).toBe(message);
  writer.close();
});

test('a log that is removed while it is written is noticed', async () => {
  const writer = new Writer(3);
  writer.write(record());
  await written();
  unlinkSync(path(3));
  const outcomes = new Set<string>();
  for (let i = 0; i < 25; i++) {
    writer.write(record(30_000));
    outcomes.add(await written());
  }
  expect(outcomes).toContain(`${temporary.path} has no log of LevelDB any more`);
  writer.close();
});

test.each([
  ['an older one is left', 2, 'the log of LevelDB has been removed'],
  ['LevelDB has begun a newer one and saved what was in it', 4, undefined],
])('a log that is removed while %s', async (_what, other, failure) => {
  const writer = new Writer(3);
  writer.write(record());
  await written();
  new Writer(other).close();
  unlinkSync(path(3));
  const outcomes = new Set<string>();
  for (let i = 0; i < 25; i++) {
    writer.write(record(30_000));
    outcomes.add(await written());
    if (outcomes.size > 2) break;
  }
  const failures = [...outcomes].filter((text) => text.startsWith('the log'));
  expect(failures).toEqual(failure === undefined ? [] : [failure]);
  writer.close();
});
