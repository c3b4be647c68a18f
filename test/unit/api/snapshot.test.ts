/** How a database travels to a client. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import {
  type DatabaseFile,
  type MaintenanceBackend,
  MaintenanceService,
} from '../../../src/api/maintenance.ts';
import { StatusCode } from '../../../src/base/errors.ts';
import { CorruptionError } from '../../../src/storage/errors.ts';
import type { SnapshotResponse } from '../../../src/gen/rpc.ts';

const blobBytes = 32 * 1024;
const { signal } = new AbortController();

/** A file in pieces of these sizes. */
function fileOf(sizes: readonly number[], failure?: Error): DatabaseFile & { closed: number } {
  const pieces = sizes.map((size, i) => Buffer.alloc(size, i + 1));
  return {
    sizeBytes: sizes.reduce((sum, size) => sum + size, 0),
    async *pages() {
      yield* pieces;
      if (failure !== undefined) throw failure;
    },
    closed: 0,
    close() {
      this.closed += 1;
    },
  };
}

function serviceOf(file: () => Promise<DatabaseFile>): MaintenanceService {
  const backend: Pick<MaintenanceBackend, 'storageVersion' | 'openDatabase'> = {
    storageVersion: '3.6.0',
    openDatabase: file,
  };
  return new MaintenanceService(backend as MaintenanceBackend);
}

async function collect(service: MaintenanceService): Promise<SnapshotResponse[]> {
  const answers: SnapshotResponse[] = [];
  for await (const answer of service.snapshot({}, { signal })) answers.push(answer);
  return answers;
}

describe('a snapshot', () => {
  test.each([
    [[4096, 4096]],
    [[blobBytes]],
    [[4096, 5 * blobBytes, 4096, 4096]],
    [Array.from({ length: 100 }, () => 4096)],
  ])('comes in blobs, then its hash (pieces of %j)', async (sizes) => {
    const file = fileOf(sizes);
    const answers = await collect(serviceOf(() => Promise.resolve(file)));
    const blobs = answers.slice(0, -1);
    const bytes = Buffer.concat(blobs.map(({ blob }) => blob));
    const pieces: Uint8Array[] = [];
    for await (const piece of file.pages()) pieces.push(piece);
    expect(bytes.equals(Buffer.concat(pieces))).toBe(true);
    let remaining = file.sizeBytes;
    for (const [i, answer] of blobs.entries()) {
      if (i < blobs.length - 1) expect(answer.blob.length).toBe(blobBytes);
      remaining -= answer.blob.length;
      expect(answer).toMatchObject({
        header: undefined,
        remainingBytes: remaining,
        version: '3.6.0',
      });
    }
    expect(remaining).toBe(0);
    const last = answers.at(-1);
    expect(last).toMatchObject({ header: undefined, remainingBytes: 0, version: '3.6.0' });
    expect(Buffer.from(last?.blob ?? []).equals(createHash('sha256').update(bytes).digest())).toBe(
      true,
    );
    expect(file.closed).toBe(1);
  });

  test('that is not read to its end is closed', async () => {
    const file = fileOf([4 * blobBytes]);
    const service = serviceOf(() => Promise.resolve(file));
    for await (const answer of service.snapshot({}, { signal })) {
      expect(answer.remainingBytes).toBe(3 * blobBytes);
      break;
    }
    expect(file.closed).toBe(1);
  });

  test('that cannot be read to its end has no hash, and says why', async () => {
    const answersOf = async (failure: Error): Promise<unknown> => {
      const file = fileOf([blobBytes], failure);
      const answers: SnapshotResponse[] = [];
      const service = serviceOf(() => Promise.resolve(file));
      try {
        for await (const answer of service.snapshot({}, { signal })) answers.push(answer);
      } catch (error) {
        expect(answers.length).toBe(1);
        expect(file.closed).toBe(1);
        return error;
      }
      return undefined;
    };
    expect(await answersOf(new Error('the database is closed'))).toMatchObject({
      code: StatusCode.unavailable,
      message: 'etcdserver: the snapshot was interrupted: the database is closed',
    });
    // Damage is not for the client to try again.
    const damage = new CorruptionError('a value fails its checksum');
    expect(await answersOf(damage)).toBe(damage);
  });

  test('is refused while too many are sent', async () => {
    const service = serviceOf(() => Promise.resolve(fileOf([4 * blobBytes])));
    const open = Array.from({ length: 4 }, () => service.snapshot({}, { signal }));
    for (const each of open) expect((await each.next()).done).toBe(false);
    await expect(collect(service)).rejects.toMatchObject({
      message: 'etcdserver: too many requests',
    });
    await open[0]?.return();
    expect((await collect(service)).length).toBe(5);
    for (const each of open) await each.return();
  });
});
