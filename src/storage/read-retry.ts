/** Reads of files at the start, where a disk may fail for a moment. */
import { asError, codeOf, DataDirectoryError } from './errors.ts';

/** The kernel has repeated a read for seconds before it reports a failure. */
const tries = 3;

/**
 * What `read` gives. A read that the disk fails is tried again; a disk that still fails may hold
 * everything unharmed, so that is no damage: the start is refused, and nothing is changed.
 * @param path names the file in the error
 * @throws DataDirectoryError `unusable`, with the file and the code of the failure
 */
export function readRetrying<T>(path: string, read: () => T): T {
  for (let tried = 1; ; tried++) {
    try {
      return read();
    } catch (thrown) {
      if (codeOf(thrown) !== 'EIO') throw thrown;
      if (tried < tries) continue;
      const reason = `${path} cannot be read: ${asError(thrown).message}`;
      throw new DataDirectoryError('unusable', reason, thrown);
    }
  }
}
