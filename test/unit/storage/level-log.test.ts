import {
  appendFileSync,
  closeSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
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
    await written();
    if (left < headerBytes) writer.write(Buffer.alloc(left));
    else writer.write(record(0));
    writer.write(record());
    expect([left, await written()]).toEqual([left, 'at once']);
    writer.write(record(blockBytes - 2 * headerBytes - 100));
    expect([left, await written()]).toEqual([left, 'at once']);
  }
  writer.close();
});

test('a log is longer than what is written to it, whatever its end', async () => {
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

test('a log that became longer by itself is not cut off', async () => {
  writeFileSync(path(3), record());
  await written();
  const { size } = statSync(path(3));
  appendFileSync(path(3), Buffer.alloc(4 * size, 1));
  expect(await written()).toBe('after a sync');
  expect(statSync(path(3)).size).toBe(5 * size);
});

test('a write does not count as done if the directory cannot be synced', async () => {
  rmSync(temporary.path, { recursive: true });
  expect(await written()).toMatch(/ENOENT/);
});
