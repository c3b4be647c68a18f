/** Recorded programs of a few lines: those that forget a sync are caught, the others pass. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import { chooseSurvival, imageAfterCut, type DirectoryImage, type Image } from './power-cut.ts';
import { RecordedDisk } from './recorded-disk.ts';
import { cannotRecord, recordingMissing, recordScript } from './recorder.ts';
import { cutMoments } from './recording.ts';

const survivalsPerMoment = 12;
const records = 4;
const root = join(import.meta.dirname, '..', '..', '..');

let directory: string;

/** A module of the server as built, quoted for an import. */
function built(name: string): string {
  return JSON.stringify(join(root, 'dist', `${name}.js`));
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'quorate-program-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

async function recordProgram(body: string): Promise<RecordedDisk> {
  const disk = new RecordedDisk(directory);
  const script = `
    import * as fs from 'node:fs';
    const root = ${JSON.stringify(directory)};
    const say = (text) => fs.writeSync(1, text);
    const syncDirectory = () => {
      const file = fs.openSync(root, 'r');
      fs.fsyncSync(file);
      fs.closeSync(file);
    };
    ${body}`;
  await recordScript(script, disk);
  return disk;
}

function entryOf(image: DirectoryImage, path: string): Image | undefined {
  let entry: Image | undefined = image;
  for (const name of path.split('/')) {
    entry = entry?.kind === 'directory' ? entry.entries.get(name) : undefined;
  }
  return entry;
}

/** Promises broken by some cut: after "n" was said, `data` must begin with n records. */
function broken(disk: RecordedDisk): string[] {
  const random = new SeededRandom(7);
  const said = disk.sent.filter(({ bytes }) => /^\d+$/.test(bytes.toString()));
  expect(said.map(({ bytes }) => Number(bytes))).toEqual([1, 2, 3, 4]);
  const moments = new Set([...cutMoments(disk).values()].flat());
  const found = new Set<string>();
  for (const moment of moments) {
    const promised = said.filter(({ begin }) => begin < moment).length;
    const expected = Array.from({ length: promised }, (_, i) => `record ${i + 1}\n`).join('');
    for (let i = 0; i < survivalsPerMoment; i++) {
      const image = imageAfterCut(disk, moment, chooseSurvival(random), random);
      const file = entryOf(image, 'data');
      if (file?.kind !== 'file') {
        if (promised > 0) found.add('no file');
      } else if (!file.bytes.toString().startsWith(expected)) {
        found.add('no record');
      }
    }
  }
  return [...found].sort();
}

const appendTo = (steps: string): string => `
  const file = fs.openSync(root + '/data', 'w');
  for (let i = 1; i <= ${records}; i++) {
    const write = () => fs.writeSync(file, 'record ' + i + '\\n');
    const sync = () => fs.fdatasyncSync(file);
    ${steps}
  }`;

const replace = (steps: string): string => `
  let text = '';
  for (let i = 1; i <= ${records}; i++) {
    text += 'record ' + i + '\\n';
    const file = fs.openSync(root + '/new', 'w');
    fs.writeSync(file, text);
    const sync = () => fs.fsyncSync(file);
    const rename = () => fs.renameSync(root + '/new', root + '/data');
    ${steps}
    fs.closeSync(file);
    say(String(i));
  }`;

describe.skipIf(cannotRecord !== undefined)(`programs${recordingMissing}`, () => {
  test.each([
    ['does all', 'write(); sync(); if (i === 1) syncDirectory(); say(String(i));', []],
    ['forgets the file', 'write(); if (i === 1) syncDirectory(); say(String(i));', ['no record']],
    ['forgets the directory', 'write(); sync(); say(String(i));', ['no file']],
    [
      'says it too early',
      'write(); if (i === 1) syncDirectory(); say(String(i)); sync();',
      ['no record'],
    ],
    [
      'syncs, then writes',
      'sync(); if (i === 1) syncDirectory(); write(); say(String(i));',
      ['no record'],
    ],
  ])('one that appends and %s', async (_name, steps, expected) => {
    expect(broken(await recordProgram(appendTo(steps)))).toEqual(expected);
  });

  test.each([
    ['does all', 'sync(); rename(); syncDirectory();', []],
    ['forgets the file', 'rename(); syncDirectory();', ['no file', 'no record']],
    ['forgets the directory', 'sync(); rename();', ['no file', 'no record']],
  ])('one that replaces a file and %s', async (_name, steps, expected) => {
    const found = broken(await recordProgram(replace(steps)));
    expect(found).toEqual(expected.length === 0 ? [] : expect.arrayContaining([expected.at(-1)]));
  });

  test('a write is done when the name of the log that it is in is durable', async () => {
    const disk = await recordProgram(`
      const { LevelEngine } = await import(${built('storage/level-engine')});
      const { systemClock } = await import(${built('daemon/system-clock')});
      const options = {
        clock: systemClock, logger: undefined, writeBufferBytes: 64 * 1024, cacheBytes: 64 * 1024,
      };
      const engine = await new Promise((resolve, reject) => {
        LevelEngine.open(root + '/db', options, (error, opened) => {
          if (error) reject(error);
          else resolve(opened);
        });
      });
      const parent = fs.openSync(root, 'r');
      fs.fsyncSync(parent);
      for (let i = 1; i <= 60; i++) {
        const key = Buffer.from('key ' + i);
        const operations = [{ type: 'put', key, value: Buffer.alloc(6000, 97 + (i % 26)) }];
        await new Promise((resolve, reject) => {
          engine.write(operations, true, (error) => error ? reject(error) : resolve());
        });
        say('done ' + i);
      }
      process.exit(0);`);
    const logs = disk.namesChanges.flatMap(({ kind, changes }) =>
      changes.filter(({ name }) => kind === 'create' && name.endsWith('.log')),
    );
    expect(logs.length).toBeGreaterThan(4);
    const done = disk.sent.filter(({ bytes }) => bytes.toString().startsWith('done '));
    expect(done.length).toBe(60);
    const lost: string[] = [];
    for (const { begin, bytes } of done) {
      const written = Buffer.from(`key ${bytes.toString().slice(5)}`);
      const log = logs.find(({ target }) =>
        target?.changes.some((change) => change.kind === 'write' && change.bytes.includes(written)),
      );
      expect(log).toBeDefined();
      const survival = { names: 'none', content: 'none' } as const;
      const image = imageAfterCut(disk, begin, survival, new SeededRandom(1));
      const tables = entryOf(image, 'db');
      const names = tables?.kind === 'directory' ? [...tables.entries.keys()] : [];
      const isLater = names.some((name) => name.endsWith('.ldb'));
      if (!names.includes(log?.name ?? '') && !isLater) lost.push(bytes.toString());
    }
    expect(lost).toEqual([]);
  });

  test.each([
    ['that it made', ''],
    // Which the power cut comes after: it was no more than killed.
    ['that a start before it made and did not sync', `fs.mkdirSync(root + '/a/b/c', made);`],
  ])('a data directory stays, with all those above it %s', async (_name, before) => {
    const disk = await recordProgram(`
      const made = { recursive: true, mode: 0o700 };
      ${before}
      const { openDataDirectory } = await import(${built('storage/data-directory')});
      const { systemClock } = await import(${built('daemon/system-clock')});
      const logger = { info() {}, warn() {}, error() {}, debug() {}, child: () => logger };
      const identity = { memberId: 1n, clusterId: 2n };
      const options = { path: root + '/a/b/c', clock: systemClock, logger, identity };
      await new Promise((resolve, reject) => {
        openDataDirectory(options, (error) => error ? reject(error) : resolve());
      });
      say('open');
      process.exit(0);`);
    const [open] = disk.sent.filter(({ bytes }) => bytes.toString() === 'open');
    const survival = { names: 'none', content: 'none' } as const;
    const image = imageAfterCut(disk, open?.begin ?? 0, survival, new SeededRandom(1));
    expect(entryOf(image, 'a/b/c/identity.json')?.kind).toBe('file');
    expect(entryOf(image, 'a/b/c/log/CURRENT')?.kind).toBe('file');
    expect(entryOf(image, 'a/b/c/state-0-0/CURRENT')?.kind).toBe('file');
  });
});
