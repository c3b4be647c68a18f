/**
 * LevelDB's files, read by our own reader before LevelDB may touch them: real files, damaged.
 *
 * A change is found, or it lies where no checksum is and nothing is read from, or it cuts off or
 * makes unreadable the end of a log, which cannot be told from a write that never completed.
 */
import { copyFileSync, cpSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { completion } from '../../src/base/completion.ts';
import { CorruptionError } from '../../src/storage/errors.ts';
import { scanLog } from '../../src/storage/log-scanner.ts';
import { checkDatabase, checkTable, openLevel, temporaryDirectory } from '../support/engines.ts';
import { decoded, fuzz, type Verdict } from './fuzz.ts';
import { edits, mutate, type Edit } from './mutation.ts';

/** Small, so that tables are written. */
const bufferBytes = 64 * 1024;
/** Looking for records after damage costs time in proportion to the file. */
const weight = 0.3;

let temporary: ReturnType<typeof temporaryDirectory>;
let pristine = '';
let copy = '';
let names: readonly string[] = [];
const bytesOf = new Map<string, Buffer>();

beforeAll(async () => {
  temporary = temporaryDirectory();
  pristine = join(temporary.path, 'pristine');
  copy = join(temporary.path, 'copy');
  const engine = await openLevel(pristine, bufferBytes);
  for (let batch = 0; batch < 60; batch++) {
    const operations = Array.from({ length: 4 }, (_, i) => ({
      type: 'put' as const,
      key: Buffer.from(`key ${batch} ${i}`),
      // Not a zero in it: a sector of zeros is one that was never written.
      value: Buffer.alloc(400, 1 + ((batch + i) % 255)),
    }));
    await completion((done) => engine.write(operations, true, done));
  }
  await completion((done) => engine.close(done));
  names = readdirSync(pristine).filter((name) => /^(\d+\.(log|ldb)|MANIFEST-\d+)$/.test(name));
  for (const name of names) bytesOf.set(name, readFileSync(join(pristine, name)));
  cpSync(pristine, copy, { recursive: true });
});

afterAll(() => temporary.remove());

const named = (pattern: RegExp): string => {
  const name = names.find((each) => pattern.test(each));
  if (name === undefined) throw new Error(`no file like ${pattern.source}`);
  return name;
};

/** Changes that move nothing. */
const inPlace = new Set(['flipBit', 'setByte', 'setWord', 'zero', 'truncate', 'append']);

describe('logs', () => {
  const attempt = (changes: readonly Edit[], pattern: RegExp): Verdict => {
    const name = named(pattern);
    const whole = bytesOf.get(name) as Buffer;
    const expected = scanLog(whole, name).records;
    const damaged = mutate(whole, changes);
    const found = decoded(() => scanLog(damaged, name), CorruptionError);
    if (found === undefined) return 'refused';
    const original = expected.map((record) => Buffer.from(record).toString('latin1'));
    const read = found.records.map((record) => Buffer.from(record).toString('latin1'));
    if (changes.every(({ kind }) => inPlace.has(kind))) {
      // What is read is what was written, from the beginning on: nothing else, and no holes.
      expect(original.slice(0, read.length)).toEqual(read);
    } else {
      // A whole record that is gone, or there twice, is not this reader's to find: that is what
      // the chain over the log's entries and the numbers of flushes are for.
      expect(read.filter((record) => !original.includes(record))).toEqual([]);
    }
    if (read.length < original.length) expect(damaged.equals(whole)).toBe(false);
    return read.length === original.length ? 'unchanged' : 'accepted';
  };
  fuzz('write-ahead log', edits, (list) => attempt(list, /\.log$/), {
    weight,
    expects: ['refused'],
  });
  fuzz('MANIFEST', edits, (list) => attempt(list, /^MANIFEST/), { weight, expects: ['refused'] });
});

describe('tables', () => {
  const attempt = (changes: readonly Edit[]): Verdict => {
    const name = named(/\.ldb$/);
    const whole = bytesOf.get(name) as Buffer;
    const check = (bytes: Buffer): true => {
      const read = (offset: number, length: number): Buffer =>
        bytes.subarray(offset, offset + length);
      checkTable(read, bytes.length, name);
      return true;
    };
    expect(check(whole)).toBe(true);
    const damaged = mutate(whole, changes);
    if (decoded(() => check(damaged), CorruptionError) === undefined) return 'refused';
    // The footer has bytes that only fill it up; all else is under a checksum.
    const footerAt = whole.length - 48;
    expect(damaged.length).toBe(whole.length);
    expect(damaged.subarray(0, footerAt).equals(whole.subarray(0, footerAt))).toBe(true);
    return 'unchanged';
  };
  fuzz('table', edits, attempt, { weight, expects: ['refused'] });
});

describe('directories', () => {
  const attempt = ([file, changes]: [number, readonly Edit[]]): Verdict => {
    const name = names[file % names.length] as string;
    const whole = bytesOf.get(name) as Buffer;
    const damaged = mutate(whole, changes);
    writeFileSync(join(copy, name), damaged);
    try {
      const found = decoded(() => checkDatabase(copy), CorruptionError);
      if (found === undefined) return 'refused';
      expect(found.absent).toBe(false);
      if (name.endsWith('.ldb')) expect(damaged.length).toBe(whole.length);
      return damaged.equals(whole) ? 'unchanged' : 'accepted';
    } finally {
      copyFileSync(join(pristine, name), join(copy, name));
    }
  };
  const input = fc.tuple(fc.nat(1000), edits);
  fuzz('any file', input, attempt, { weight, expects: ['refused'] });
});
