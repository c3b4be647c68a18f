/** Builds the index from the backend at the start of a member, in slices. */
import { prefixRange, stateKeys } from '../storage/keyspace.ts';
import { CorruptionError } from '../storage/errors.ts';
import { StoredKeyValue } from './key-value.ts';
import { isTombstone, keyValueOf } from './record.ts';
import { firstRevision, mainOf, subOf } from './revision.ts';
import { digestOf, stateDigestAlgorithm } from './state-digest.ts';
import { decodeStoreMeta, storeMetaKey } from './store-meta.ts';
import type { StoreState } from './store-state.ts';

/** Records read in one slice: a few milliseconds. */
const recordsPerSlice = 1000;

/** The newest lease of each key that has one. */
export type LeasedKeys = ReadonlyMap<string, bigint>;

/** Fills an empty state. Damage found on the way is a {@link CorruptionError}. */
export function restoreState(
  state: StoreState,
  done: (error: Error | undefined, leased: LeasedKeys) => void,
): void {
  const leased = new Map<string, bigint>();
  let newest = firstRevision;
  let failure: Error | undefined;
  state.backend.scan(
    prefixRange(stateKeys.revision),
    recordsPerSlice,
    (entries) => {
      if (failure !== undefined) return;
      try {
        for (const [key, record] of entries) {
          newest = mainOf(key);
          restoreRecord(state, newest, subOf(key), record, leased);
        }
      } catch (error) {
        failure = error instanceof Error ? error : new Error(String(error));
      }
    },
    (error) => {
      failure ??= error;
      if (failure === undefined) {
        try {
          restoreNumbers(state, newest);
        } catch (thrown) {
          failure = thrown instanceof Error ? thrown : new Error(String(thrown));
        }
      }
      done(failure, leased);
    },
  );
}

function restoreRecord(
  state: StoreState,
  main: number,
  sub: number,
  record: Uint8Array,
  leased: Map<string, bigint>,
): void {
  const { tree, digest } = state;
  const keyValue = keyValueOf(record, sub);
  const kv = new StoredKeyValue(keyValue);
  const key = kv.keyText;
  const tombstone = isTombstone(record);
  const createRevision = tombstone ? 0 : kv.createRevision;
  const version = tombstone ? 0 : kv.version;
  let index = tree.get(key);
  if (index === undefined) {
    index = tree.insert(key, main, sub, createRevision, version);
  } else {
    const wasLive = index.live;
    if (wasLive) digest.remove(index.digest);
    index.advance(main, sub, createRevision, version);
    if (wasLive !== index.live) tree.adjustLive(key, index.live ? 1 : -1);
  }
  index.size = record.length;
  index.position = state.cache.add(record);
  index.digest = tombstone ? 0 : digestOf(keyValue);
  if (!tombstone) digest.add(index.digest);
  if (kv.lease !== 0n) leased.set(key, kv.lease);
  else leased.delete(key);
}

function restoreNumbers(state: StoreState, newest: number): void {
  const stored = state.backend.get(storeMetaKey);
  if (stored === undefined) {
    if (newest !== firstRevision)
      throw new CorruptionError('the store has revisions but no numbers');
    return;
  }
  const meta = decodeStoreMeta(stored);
  state.revision = meta.revision;
  state.compactedRevision = meta.compactedRevision;
  state.finishedCompaction = meta.finishedCompaction;
  state.writtenBytes = meta.writtenBytes;
  state.supersededBytes = meta.supersededBytes;
  state.reclaimedBytes = meta.reclaimedBytes;
  state.tombstoneBytes = meta.tombstoneBytes;
  if (
    newest > meta.revision ||
    (newest < meta.revision && meta.compactedRevision < meta.revision)
  ) {
    throw new CorruptionError(`newest revision is ${newest}, but should be ${meta.revision}`);
  }
  const { high, low } = state.digest;
  const comparable = meta.digestAlgorithm === stateDigestAlgorithm;
  if (comparable && (meta.digestHigh !== high || meta.digestLow !== low)) {
    throw new CorruptionError(`the keys at revision ${meta.revision} do not match their hash`);
  }
}
