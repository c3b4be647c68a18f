import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished, expect, test, vi } from 'vitest';
import { result } from '../../../src/base/completion.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { LevelEngine } from '../../../src/storage/level-engine.ts';
import { put, temporaryDirectory } from '../../support/engines.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const level = { files: 9, writes: 0 };

/** LevelDB whose compaction has failed: too many files, for good, and a write tells why. */
vi.mock('classic-level', () => ({
  ClassicLevel: class {
    readonly #location: string;
    constructor(location: string) {
      this.#location = location;
    }
    open(): Promise<void> {
      writeFileSync(join(this.#location, '000003.log'), '');
      return Promise.resolve();
    }
    getProperty(): string {
      return String(level.files);
    }
    batch(): unknown {
      return {
        put: () => undefined,
        write: () => {
          level.writes++;
          return level.writes > 1 ? Promise.reject(new Error('full')) : Promise.resolve();
        },
      };
    }
  },
}));

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

test('a write held back for compaction goes to LevelDB in the end, for its error', async () => {
  const clock = new VirtualClock();
  const { path, remove } = temporaryDirectory();
  onTestFinished(remove);
  const options = { clock, logger: silentLogger, writeBufferBytes: 1, cacheBytes: 1 };
  const engine = await result<LevelEngine>((done) => LevelEngine.open(path, options, done));
  const ends: string[] = [];
  const write = (bytes: number): void => {
    engine.write([put('k', Buffer.alloc(bytes))], true, (error) => ends.push(`${error?.message}`));
  };
  write(5 * 1024 * 1024);
  // The directory is synced first: the write may have begun a new log.
  await vi.waitFor(() => expect(ends).toEqual(['undefined']));
  write(1);
  clock.advance(9_900);
  await settle();
  expect([level.writes, ends.length]).toEqual([1, 1]);
  clock.advance(200);
  await settle();
  expect(ends).toEqual(['undefined', 'full']);
});
