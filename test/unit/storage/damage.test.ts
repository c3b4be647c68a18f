/**
 * Damage to the files of LevelDB: what is acknowledged is either all there or the directory is
 * refused. Only a file that was cut off at its end cannot be told from a write that never
 * completed; then an earlier state comes back, never a mixture.
 */
import {
  cpSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { completion, result } from '../../../src/base/completion.ts';
import type { Entry } from '../../../src/raft/index.ts';
import { RaftLog } from '../../../src/storage/raft-log.ts';
import { scanLog } from '../../../src/storage/log-scanner.ts';
import { checkDatabase, openLevel, temporaryDirectory } from '../../support/engines.ts';
import { encodeLog } from '../../support/level-log.ts';

let temporary: ReturnType<typeof temporaryDirectory>;
/** The undamaged database, the copy that is damaged, and the one that LevelDB opens. */
let pristine: string;
let copy: string;
let opened: string;
/** What the log held after each acknowledged write. */
const history: string[] = [];

/** Small, so that there are tables; then large, so that there is a log of more than one block. */
const smallBufferBytes = 64 * 1024;
const largeBufferBytes = 4 * 1024 * 1024;

function describeLog(log: RaftLog): string {
  const entries = log.entries(log.firstIndex(), log.lastIndex() + 1, Infinity);
  if (typeof entries === 'symbol') throw new Error('no entries');
  const lines = entries.map(({ index, term, data }) => `${index}/${term}/${data.toString()}`);
  return `${log.hardState.term} ${log.anchor.index}: ${lines.join(' ')}`;
}

/** Data without zeros, so that nothing of it looks like a sector that was never written. */
function entry(index: number, sizeBytes: number): Entry {
  const data = Buffer.alloc(sizeBytes);
  for (let i = 0; i < sizeBytes; i++) data[i] = 1 + ((index * 31 + i * 7) % 255);
  return { index, term: 0x01020304, kind: 0, data };
}

async function append(log: RaftLog, count: number, sizeBytes: number): Promise<void> {
  const first = log.lastIndex() + 1;
  const entries = Array.from({ length: count }, (_, i) => entry(first + i, sizeBytes));
  const hardState = { term: 0x01020304, vote: 0x0102030405060708n, commit: first };
  await completion((done) => log.append({ hardState, entries }, true, done));
  history.push(describeLog(log));
}

beforeAll(async () => {
  temporary = temporaryDirectory();
  pristine = join(temporary.path, 'pristine');
  copy = join(temporary.path, 'copy');
  opened = join(temporary.path, 'opened');
  let log = await openLog(pristine, smallBufferBytes);
  history.push(describeLog(log));
  for (let i = 0; i < 40; i++) await append(log, 10, 300);
  await completion((done) => log.close(done));
  log = await openLog(pristine, largeBufferBytes);
  for (let i = 0; i < 20; i++) await append(log, 5, 350);
  await append(log, 4, 300);
  await completion((done) => log.close(done));
  cpSync(pristine, copy, { recursive: true });
});

async function openLog(location: string, writeBufferBytes: number): Promise<RaftLog> {
  const engine = await openLevel(location, writeBufferBytes);
  return result<RaftLog>((done) => RaftLog.open({ engine }, done)).catch(async (error: unknown) => {
    await completion((done) => engine.close(done));
    throw error;
  });
}

afterAll(() => {
  temporary.remove();
});

function files(pattern: RegExp): string[] {
  return readdirSync(pristine)
    .filter((name) => pattern.test(name))
    .sort();
}

/** The newest log: where its last record begins, and where it ends; zeros follow. */
function lastRecord(): { readonly start: number; readonly end: number } {
  const name = files(/\.log$/).at(-1) ?? '';
  const { starts, endsAt } = scanLog(readFileSync(join(pristine, name)), name);
  return { start: starts.at(-1) ?? 0, end: endsAt };
}

/** Opens the damaged copy as a member would: 'refused', or what the log holds. */
async function open(): Promise<string> {
  try {
    if (checkDatabase(copy).absent) return 'refused';
  } catch (error) {
    expect((error as Error).name).toBe('CorruptionError');
    expect((error as Error).message).toContain(copy);
    return 'refused';
  }
  rmSync(opened, { recursive: true, force: true });
  cpSync(copy, opened, { recursive: true });
  try {
    const log = await openLog(opened, largeBufferBytes);
    const found = describeLog(log);
    await completion((done) => log.close(done));
    return found;
  } catch (error) {
    expect((error as Error).name).toBe('CorruptionError');
    return 'refused';
  }
}

/** What comes of damage to one file, which is whole again afterwards. */
async function damaged(name: string, damage: (path: string) => void): Promise<string> {
  damage(join(copy, name));
  try {
    return await open();
  } finally {
    cpSync(join(pristine, name), join(copy, name));
  }
}

/** Offsets of a file: all at both ends, and every so many between. */
function offsets(sizeBytes: number, edgeBytes: number, strideBytes: number): number[] {
  const found: number[] = [];
  for (let at = 0; at < sizeBytes; at++) {
    const edge = at < edgeBytes || at >= sizeBytes - edgeBytes;
    if (edge || at % strideBytes === 0) found.push(at);
  }
  return found;
}

describe('damage to files', () => {
  test('the database has all kinds of files', async () => {
    expect(files(/\.ldb$/).length).toBeGreaterThan(0);
    expect(lastRecord().end).toBeGreaterThan(33_000);
    expect(await damaged('LOG', () => {})).toBe(history.at(-1));
  });

  test.each([
    ['last log', /\.log$/, 100, 509],
    ['MANIFEST', /^MANIFEST/, 10_000, 1],
    ['table', /\.ldb$/, 60, 997],
    ['CURRENT', /^CURRENT$/, 100, 1],
  ])('no flipped byte passes: %s', async (_kind, pattern, edgeBytes, strideBytes) => {
    const name = files(pattern).at(-1) ?? '';
    const bytes = readFileSync(join(pristine, name));
    const usedBytes = name.endsWith('.log') ? lastRecord().end : bytes.length;
    let refused = 0;
    for (const at of offsets(usedBytes, edgeBytes, strideBytes)) {
      const outcome = await damaged(name, (path) => {
        const flipped = Buffer.from(bytes);
        flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
        writeFileSync(path, flipped);
      });
      if (outcome === 'refused') refused += 1;
      else expect(outcome, `${name} at ${at}`).toBe(history.at(-1));
    }
    expect(refused).toBeGreaterThan(0);
  });

  test('a log that was cut off gives an earlier state', async () => {
    const name = files(/\.log$/).at(-1) ?? '';
    let earlier = history.length - 1;
    for (const at of offsets(lastRecord().end, 16, 2003).toReversed()) {
      const outcome = await damaged(name, (path) => truncateSync(path, at));
      const position = history.indexOf(outcome);
      expect([at, position >= 0 && position <= earlier]).toEqual([at, true]);
      earlier = position;
    }
    expect(earlier).toBeGreaterThan(0);
  });

  test('a log whose last sectors were never written gives an earlier state', async () => {
    const name = files(/\.log$/).at(-1) ?? '';
    const { start, end } = lastRecord();
    for (let at = Math.ceil(start / 512) * 512; at < end; at += 512) {
      const outcome = await damaged(name, (path) => {
        const bytes = readFileSync(path);
        bytes.fill(0, at, Math.min(at + 512, bytes.length));
        writeFileSync(path, bytes);
      });
      expect(outcome).toBe(history.at(-2));
    }
    // The whole record, as after a crash that kept only the file's size.
    const outcome = await damaged(name, (path) => {
      const bytes = readFileSync(path);
      bytes.fill(0, start);
      writeFileSync(path, bytes);
    });
    expect(outcome).toBe(history.at(-2));
  });

  test('a sector of zeros before the last record is refused', async () => {
    const name = files(/\.log$/).at(-1) ?? '';
    for (const at of [0, 512, 10_240, 32_256, 32_768]) {
      const outcome = await damaged(name, (path) => {
        const bytes = readFileSync(path);
        bytes.fill(0, at, Math.min(at + 512, bytes.length));
        writeFileSync(path, bytes);
      });
      expect([at, outcome]).toEqual([at, 'refused']);
    }
  });

  test.each([[/^MANIFEST/], [/\.ldb$/], [/^CURRENT$/]])('%s cut off anywhere', async (pattern) => {
    for (const name of files(pattern)) {
      const sizeBytes = statSync(join(pristine, name)).size;
      for (const at of offsets(sizeBytes, 20, 997)) {
        const outcome = await damaged(name, (path) => truncateSync(path, at));
        if (outcome !== 'refused') expect([name, at, outcome]).toEqual([name, at, history.at(-1)]);
      }
    }
  });

  test.each([[/^MANIFEST/], [/\.ldb$/], [/^CURRENT$/], [/\.log$/]])(
    'a missing file is refused: %s',
    async (pattern) => {
      let refused = 0;
      for (const name of files(pattern)) {
        const outcome = await damaged(name, (path) => unlinkSync(path));
        // LevelDB may not have removed yet what a compaction left over: nobody misses that.
        if (outcome === 'refused') refused++;
        else expect([name, outcome]).toEqual([name, history.at(-1)]);
      }
      expect(refused).toBeGreaterThan(0);
    },
  );

  test('the end of a log that has become zeros is refused if there is a newer one', async () => {
    const name = files(/\.log$/).at(-1) ?? '';
    const newer = join(copy, `${String(Number.parseInt(name, 10) + 1).padStart(6, '0')}.log`);
    const { records } = scanLog(readFileSync(join(pristine, name)), name);
    const last = records.at(-1) as Uint8Array;
    try {
      writeFileSync(newer, encodeLog([last]).bytes);
      const moved = await damaged(name, (path) => {
        const bytes = readFileSync(path);
        writeFileSync(path, bytes.fill(0, lastRecord().start));
      });
      expect(moved).toBe(history.at(-1));
      const lost = await damaged(name, (path) => {
        const bytes = readFileSync(path);
        const before = scanLog(bytes, name).starts.at(-2);
        writeFileSync(path, bytes.fill(0, before));
      });
      expect(lost).toBe('refused');
      // All of it: then only the MANIFEST knows that something was before the newer one.
      const allLost = await damaged(name, (path) => {
        writeFileSync(path, readFileSync(path).fill(0));
      });
      expect(allLost).toBe('refused');
    } finally {
      unlinkSync(newer);
    }
  });

  test('the check reads only', async () => {
    const listing = (): unknown[] =>
      readdirSync(copy).map((name) => [name, statSync(join(copy, name)).mtimeMs]);
    const before = listing();
    checkDatabase(copy);
    expect(listing()).toEqual(before);
  });
});
