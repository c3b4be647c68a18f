/** etcd's hash of everything, as of the database that a snapshot of the state would be. */
import { fromUtf8 } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import type { BackendView } from '../storage/backend-view.ts';
import { buckets, metaKeys } from './buckets.ts';
import { type BucketWriter, exportState } from './export.ts';

/** They change without anything of a client's having changed (etcd: DefaultIgnores). */
const ignored: ReadonlySet<string> = new Set([
  metaKeys.consistentIndex,
  metaKeys.term,
  metaKeys.storageVersion,
]);

/**
 * CRC-32C over the names of the buckets, and keys and values in them. Closes the view.
 * @throws the reason of `signal` if that is aborted, or as {@link exportState}
 */
export async function hashOfState(view: BackendView, signal: AbortSignal): Promise<number> {
  let crc = 0;
  let isMeta = false;
  const writer: BucketWriter = {
    beginBucket: (name) => {
      isMeta = fromUtf8(name) === buckets.meta;
      crc = crc32c(name, crc);
    },
    put: (key, value) => {
      if (isMeta && ignored.has(fromUtf8(key))) return;
      crc = crc32c(value, crc32c(key, crc));
    },
    endBucket: () => undefined,
  };
  try {
    for await (const _ of exportState(view, writer)) signal.throwIfAborted();
    return crc;
  } finally {
    view.close();
  }
}
