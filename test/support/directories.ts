/** What tests of data directories do with them, whatever they lie on. */
import { completion } from '../../src/base/completion.ts';
import type { DataDirectory } from '../../src/storage/data-directory.ts';
import { DataDirectoryError } from '../../src/storage/errors.ts';

export function closeDirectory(directory: DataDirectory): Promise<void> {
  return completion((done) => directory.close(done));
}

/** Why a directory does not open; throws what is no refusal. */
export async function refusalOf(opening: Promise<unknown>): Promise<string> {
  const error: unknown = await opening.then(
    () => new Error('it opened'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof DataDirectoryError)) throw error;
  return `${error.problem}: ${error.message}`;
}

/**
 * Appends entries of term 2 up to `to` and tells the state that they are applied; `change` is what
 * they change in it. Both are durable then.
 */
export async function advanceDirectory(
  { raftLog, backend }: DataDirectory,
  to: number,
  change: (first: number) => void,
): Promise<void> {
  const first = raftLog.lastIndex() + 1;
  const entries = Array.from({ length: to - first + 1 }, (_, i) => {
    return { index: first + i, term: 2, kind: 0 as const, data: Buffer.from(`entry ${first + i}`) };
  });
  const hardState = { term: 2, vote: 1n, commit: to };
  await completion((done) => raftLog.append({ hardState, entries }, true, done));
  change(first);
  backend.applied(to, 2);
  await completion((done) => backend.flush(done));
}
