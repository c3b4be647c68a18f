/** Databases of bbolt, which come from anywhere: whole ones, damaged. */
import { describe, expect } from 'vitest';
import { latin1, utf8 } from '../../src/base/bytes.ts';
import { memorySource } from '../../src/bbolt/file-source.ts';
import { encodeMetaPage, InvalidDatabaseError, pageBytes } from '../../src/bbolt/format.ts';
import { DatabaseReader } from '../../src/bbolt/reader.ts';
import { encodeKeyValue } from '../../src/mvcc/key-value.ts';
import { StoreImportError } from '../../src/mvcc/store-import.ts';
import { encodeRevision } from '../../src/schema/buckets.ts';
import { importState, UnsupportedStateError } from '../../src/schema/import.ts';
import { contentsOf, numbered, writeDatabase } from '../support/bbolt.ts';
import { ManualClock, MapBackend, openStore } from '../unit/mvcc/fakes.ts';
import { decoded, fuzz, type Verdict } from './fuzz.ts';
import { edits, mutate, type Edit } from './mutation.ts';

const large = ['y', 'x'.repeat(3 * pageBytes)] as const;
const contents = { key: [...numbered(400, 150), large], lease: [], meta: [['a', '1']] } as const;
const whole = writeDatabase(contents);

function attempt(file: Buffer): Verdict {
  const found = decoded(() => {
    const reader = new DatabaseReader(memorySource(file));
    reader.check();
    return contentsOf(reader);
  }, InvalidDatabaseError);
  if (found === undefined) return 'refused';
  // Pages have no checksums: what is still in order and in place may be other than it was.
  return JSON.stringify(found) === JSON.stringify(contents) ? 'unchanged' : 'accepted';
}

describe('databases', () => {
  const expects = ['refused', 'accepted'] as const;
  fuzz('any part', edits, (list) => attempt(mutate(whole, list)), { weight: 0.3, expects });

  // Headers and elements are where numbers are; most of the file is values.
  const heads = Array.from({ length: whole.length / pageBytes }, (_, page) => page * pageBytes);
  const inHeads = (list: readonly Edit[]): Buffer => {
    const file = Buffer.from(whole);
    for (const edit of list) {
      const at = heads[Math.floor(edit.to * heads.length)] ?? 0;
      const head = file.subarray(at, at + 256);
      mutate(head, [edit]).copy(head);
    }
    return file;
  };
  fuzz('heads of pages', edits, (list) => attempt(inHeads(list)), { weight: 0.5, expects });

  // A checksum does not keep out who can compute it.
  const withMeta = ([first]: readonly Edit[]): Buffer => {
    const file = Buffer.from(whole);
    const pages = whole.length / pageBytes;
    const { value, to } = first ?? { value: 0, to: 0 };
    const number = [0, 1, 2, pages - 1, pages, 2 ** 40][value % 6] ?? 0;
    const field = ['root', 'freelist', 'pages'][Math.floor(to * 3)] ?? 'root';
    const meta = { pageBytes, root: pages - 1, freelist: 2, pages, transaction: 9 };
    encodeMetaPage(1, { ...meta, [field]: number }).copy(file, pageBytes);
    return file;
  };
  fuzz('sealed metas', edits, (list) => attempt(withMeta(list)), {
    weight: 0.1,
    expects: ['refused', 'unchanged'],
  });

  expect(attempt(whole)).toBe('unchanged');
});

describe("etcd's databases", () => {
  const changes = Array.from({ length: 60 }, (_, i) => {
    const main = 2 + i;
    const tombstone = i % 7 === 6;
    const put = { createRevision: main, modRevision: main, version: 1, lease: 0n };
    const gone = { createRevision: 0, modRevision: 0, version: 0, lease: 0n };
    const value = utf8(tombstone ? '' : `value ${i}`);
    const kv = { key: `key ${i % 7 === 6 ? i - 1 : i}`, value, ...(tombstone ? gone : put) };
    return [
      latin1(encodeRevision({ main, sub: 0, tombstone })),
      latin1(encodeKeyValue(kv)),
    ] as const;
  });
  const compaction = latin1(encodeRevision({ main: 20, sub: 0, tombstone: false }));
  const etcd = writeDatabase({ key: changes, meta: [['finishedCompactRev', compaction]] });

  const importing = (file: Buffer): Verdict => {
    const state = new MapBackend();
    const imported = decoded(
      () => {
        const reader = new DatabaseReader(memorySource(file));
        reader.check();
        for (const pair of importState(reader, { members: [], revisionBump: 0 }))
          state.put(...pair);
        return true;
      },
      InvalidDatabaseError,
      StoreImportError,
      UnsupportedStateError,
    );
    if (imported === undefined) return 'refused';
    // What was taken is a store that opens, can be read and goes on.
    const store = openStore({ backend: state, clock: new ManualClock() });
    const oldest = Math.max(store.compactedRevision, 1);
    for (let at = oldest; at <= Math.min(store.revision, oldest + 100); at++) store.eventsAt(at);
    const { revision } = store;
    const txn = store.begin();
    txn.deleteRange('\0', '\0');
    txn.put('later', utf8('x'), 0n);
    txn.end();
    expect(store.revision).toBe(revision + 1);
    store.compact(store.revision);
    while (store.compactionStep() === 'more');
    expect(store.keyCount).toBe(1);
    return 'accepted';
  };
  const expects = ['refused', 'accepted'] as const;
  fuzz('state', edits, (list) => importing(mutate(etcd, list)), { weight: 0.5, expects });

  // The tree is that of the file; what is damaged are keys and values.
  const inValues = (list: readonly Edit[]): Buffer => {
    const file = Buffer.from(etcd);
    for (const edit of list) {
      const from = 3 * pageBytes + 16 + 60 * 16;
      const values = file.subarray(from, from + 2600);
      mutate(values, [edit]).copy(values);
    }
    return file;
  };
  fuzz('revisions', edits, (list) => importing(inValues(list)), { weight: 1, expects });

  expect(importing(etcd)).toBe('accepted');
});
