/** Clocks and engines for tests of storage. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../src/base/clock.ts';
import { completion, result } from '../../src/base/completion.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { allSteps } from '../../src/base/steps.ts';
import type { Engine, Operation } from '../../src/storage/engine.ts';
import { LevelEngine } from '../../src/storage/level-engine.ts';
import { MemoryEngine } from '../../src/storage/memory-engine.ts';
import { type DatabaseCheck, databaseSteps } from '../../src/storage/scanner.ts';
import { type ReadAt, type TableKeys, tableSteps } from '../../src/storage/table-scanner.ts';

/** The machine's clock: LevelDB works in threads and cannot be simulated. */
export const realClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  defer(callback) {
    setImmediate(callback);
  },
};

export function openLevel(location: string, writeBufferBytes = 1024 * 1024): Promise<LevelEngine> {
  return result((done) => {
    const cacheBytes = 1024 * 1024;
    const options = { clock: realClock, logger: silentLogger, writeBufferBytes, cacheBytes };
    LevelEngine.open(location, options, done);
  });
}

export function openMemory(): MemoryEngine {
  return new MemoryEngine({ clock: realClock });
}

export function temporaryDirectory(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'quorate-storage-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export function put(key: string, value: string | Uint8Array): Operation {
  return { type: 'put', key: Buffer.from(key, 'latin1'), value: Buffer.from(value) };
}

export function del(key: string): Operation {
  return { type: 'delete', key: Buffer.from(key, 'latin1') };
}

export function write(
  engine: Engine,
  operations: readonly Operation[],
  sync = true,
): Promise<void> {
  return completion((done) => engine.write(operations, sync, done));
}

/** The whole check at once. */
export function checkDatabase(location: string): DatabaseCheck {
  return allSteps(databaseSteps(location));
}

/** The same of a table. */
export function checkTable(read: ReadAt, sizeBytes: number, name: string): TableKeys {
  return allSteps(tableSteps(read, sizeBytes, name));
}
