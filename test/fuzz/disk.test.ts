/** What a member reads back from its disk. Damage is found, or has changed nothing that is read. */
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import { decodeStoreMeta, encodeStoreMeta } from '../../src/mvcc/store-meta.ts';
import { encodeKeyValue, type KeyValueFields, StoredKeyValue } from '../../src/mvcc/key-value.ts';
import type { Entry } from '../../src/raft/index.ts';
import { CorruptionError, DataDirectoryError } from '../../src/storage/errors.ts';
import {
  decodeFlushRecord,
  encodeFlushMark,
  encodeFlushRecord,
  FlushMarkChecker,
  flushMarkKey,
  type FlushRecord,
} from '../../src/storage/flush-record.ts';
import { decodeIdentity, encodeIdentity } from '../../src/storage/identity.ts';
import { packEntries, readHeader, unpackEntries } from '../../src/storage/log-record.ts';
import {
  decodeAnchor,
  decodeHardState,
  decodeStateDirectory,
  decodeTail,
  encodeAnchor,
  encodeHardState,
  encodeStateDirectory,
  encodeTail,
} from '../../src/storage/log-state.ts';
import { openValue, sealValue } from '../../src/storage/record.ts';
import {
  decodeChunk,
  encodeBegin,
  encodeEnd,
  encodePairs,
  type SnapshotChunk,
} from '../../src/storage/snapshot-chunk.ts';
import { anyInteger, anyMetadata } from '../support/peer-messages.ts';
import { decoded, expectSame, fuzz, type Verdict } from './fuzz.ts';
import { edits, mutate, mutateText } from './mutation.ts';

interface Decoder<T> {
  readonly values: fc.Arbitrary<T>;
  encode(value: T): Uint8Array;
  decode(bytes: Uint8Array): T;
}

const checked = { expects: ['refused', 'unchanged'] as const };

/**
 * A record with a checksum. A change of a few places is found for sure; of larger ones, one in
 * four billion is not.
 */
function fuzzRecord<T>(name: string, { values, encode, decode }: Decoder<T>): void {
  fuzz(
    name,
    fc.tuple(values, edits),
    ([value, changes]): Verdict => {
      const bytes = encode(value);
      expectSame(decode(bytes), value);
      const found = decoded(() => decode(mutate(bytes, changes)), CorruptionError);
      if (found === undefined) return 'refused';
      expectSame(found, value);
      return 'unchanged';
    },
    { ...checked, weight: 0.5 },
  );
}

const anyId = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const uint32 = fc.nat(0xffff_ffff);
const bytes = fc.uint8Array({ maxLength: 60 });
/** LevelDB takes no empty key: the checksum of nothing below it would be four zeros. */
const stateKey = fc.uint8Array({ minLength: 1, maxLength: 60 });

describe('records of the log database', () => {
  fuzzRecord('hard state', {
    values: fc.record({ term: anyInteger, vote: anyId, commit: anyInteger }),
    encode: encodeHardState,
    decode: decodeHardState,
  });
  fuzzRecord('anchor', {
    values: fc.record({ index: anyInteger, term: anyInteger, chain: uint32 }),
    encode: encodeAnchor,
    decode: decodeAnchor,
  });
  fuzzRecord('tail', {
    values: fc.record({ index: anyInteger, chain: uint32 }),
    encode: ({ index, chain }) => encodeTail(index, chain),
    decode: decodeTail,
  });
  fuzzRecord('name of the state directory', {
    values: fc.string({ unit: 'binary-ascii', maxLength: 40 }),
    encode: encodeStateDirectory,
    decode: decodeStateDirectory,
  });

  interface Packed {
    readonly chain: number;
    readonly entries: readonly Entry[];
  }
  const entry = fc.record({
    term: anyInteger,
    kind: fc.constantFrom(0 as const, 1 as const),
    data: bytes,
  });
  const packed: fc.Arbitrary<Packed> = fc
    .tuple(uint32, fc.integer({ min: 1, max: 2 ** 40 }), fc.array(entry, { minLength: 1 }))
    .map(([chain, first, list]) => ({
      chain,
      entries: list.map((each, position) => ({ index: first + position, ...each })),
    }));
  fuzz(
    'entries',
    fc.tuple(packed, edits),
    ([{ chain, entries }, changes]): Verdict => {
      const record = packEntries(entries, chain);
      const first = record.header.firstIndex;
      const read = (stored: Uint8Array): unknown => {
        const header = readHeader(stored, first);
        return { header, entries: unpackEntries(stored, header) };
      };
      const whole = { header: record.header, entries };
      expectSame(read(record.bytes), whole);
      const found = decoded(() => read(mutate(record.bytes, changes)), CorruptionError);
      if (found === undefined) return 'refused';
      expectSame(found, whole);
      return 'unchanged';
    },
    checked,
  );
});

describe('values of the state database', () => {
  fuzz(
    'sealed values',
    fc.tuple(stateKey, bytes, edits, fc.boolean()),
    ([key, value, changes, inKey]): Verdict => {
      const sealed = sealValue(key, value);
      expectSame(openValue(key, sealed), value);
      const found = decoded(
        () =>
          inKey ? openValue(mutate(key, changes), sealed) : openValue(key, mutate(sealed, changes)),
        CorruptionError,
      );
      if (found === undefined) return 'refused';
      // The key counts: a value in another's place is as wrong as another value.
      if (inKey) expectSame(mutate(key, changes), key);
      expectSame(found, value);
      return 'unchanged';
    },
    checked,
  );

  fuzzRecord<FlushRecord>('flush record', {
    values: anyMetadata.chain(({ index, term, confState }) =>
      anyInteger.map((number) => ({ number, index, term, confState })),
    ),
    encode: encodeFlushRecord,
    decode: decodeFlushRecord,
  });

  const marks = fc.array(fc.nat(3), { minLength: 1, maxLength: 12 });
  fuzz(
    'flush marks',
    fc.tuple(marks, fc.nat(11), edits),
    ([steps, damaged, changes]): Verdict => {
      let index = 0;
      const confState = { voters: [], votersOutgoing: [], learners: [], learnersNext: [] };
      const records = steps.map((step, position): FlushRecord => {
        index += step;
        const number = position + 1;
        return { number, index, term: 1, confState: { ...confState, autoLeave: false } };
      });
      const at = damaged % records.length;
      let changed = false;
      const read = (): true => {
        const checker = new FlushMarkChecker(records.at(-1) as FlushRecord);
        for (const [position, record] of records.entries()) {
          const mark = encodeFlushMark(record);
          const stored = position === at ? mutate(mark, changes) : mark;
          changed ||= !mark.equals(stored);
          checker.take(flushMarkKey(record.number), stored);
        }
        checker.finish();
        return true;
      };
      if (decoded(read, CorruptionError) === undefined) return 'refused';
      expect(changed).toBe(false);
      return 'unchanged';
    },
    { ...checked, weight: 0.5 },
  );

  const finite = fc.double({ noNaN: true, noDefaultInfinity: true });
  const meta = fc.record({
    revision: finite,
    compactedRevision: finite,
    finishedCompaction: finite,
    writtenBytes: finite,
    supersededBytes: finite,
    reclaimedBytes: finite,
    tombstoneBytes: finite,
    digestAlgorithm: fc.nat(255),
    digestHigh: uint32,
    digestLow: uint32,
  });
  // Under the seal of the value: damage has been found before.
  fuzz('numbers of the store', fc.tuple(meta, edits), ([value, changes]): Verdict => {
    const stored = encodeStoreMeta(value);
    expectSame(decodeStoreMeta(stored), value);
    const found = decoded(() => decodeStoreMeta(mutate(stored, changes)), CorruptionError);
    return found === undefined ? 'refused' : 'accepted';
  });

  const fields: fc.Arbitrary<KeyValueFields> = fc.record({
    key: fc.string({ unit: fc.nat(255).map((code) => String.fromCharCode(code)) }),
    createRevision: fc.maxSafeNat(),
    modRevision: fc.maxSafeNat(),
    version: fc.maxSafeNat(),
    value: bytes,
    lease: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  });
  fuzz(
    'key values',
    fields,
    (value): Verdict => {
      const stored = new StoredKeyValue(encodeKeyValue(value));
      const { keyText: key, createRevision, modRevision, version, lease } = stored;
      const read = { key, createRevision, modRevision, version, value: stored.value, lease };
      expectSame(read, value);
      return 'unchanged';
    },
    { expects: ['unchanged'] },
  );
});

describe('chunks of a snapshot', () => {
  const chunk: fc.Arbitrary<SnapshotChunk> = fc.oneof(
    fc.record({
      kind: fc.constant('begin' as const),
      begin: fc.record({ metadata: anyMetadata, chain: uint32 }),
    }),
    fc.record({
      kind: fc.constant('pairs' as const),
      pairs: fc.array(fc.tuple(bytes, bytes), { maxLength: 6 }),
    }),
    fc.record({
      kind: fc.constant('end' as const),
      end: fc.record({ pairs: anyInteger, digest: uint32 }),
    }),
  );
  const encode = (value: SnapshotChunk): Uint8Array => {
    if (value.kind === 'begin') return encodeBegin(value.begin);
    return value.kind === 'pairs' ? encodePairs(value.pairs) : encodeEnd(value.end);
  };
  fuzzRecord('chunks', { values: chunk, encode, decode: decodeChunk });
});

describe('identity.json', () => {
  const identity = fc.record({ memberId: anyId, clusterId: anyId, ready: fc.boolean() });
  fuzz(
    'identity.json',
    fc.tuple(identity, edits),
    ([value, changes]): Verdict => {
      const text = encodeIdentity(value);
      expectSame(decodeIdentity(text, 'identity.json'), value);
      const damaged = mutateText(text, changes);
      const found = decoded(() => decodeIdentity(damaged, 'identity.json'), DataDirectoryError);
      if (found === undefined) return 'refused';
      expectSame(found, value);
      return 'unchanged';
    },
    checked,
  );
});
