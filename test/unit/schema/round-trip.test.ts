/** A state as a database of etcd, and such a database as a state. */
import { describe, expect, test } from 'vitest';
import { fromLatin1, fromUtf8, latin1, utf8 } from '../../../src/base/bytes.ts';
import { crc32c } from '../../../src/base/crc32c.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { memorySource } from '../../../src/bbolt/file-source.ts';
import { present } from '../../../src/base/assert.ts';
import { InvalidDatabaseError } from '../../../src/bbolt/format.ts';
import { DatabaseReader } from '../../../src/bbolt/reader.ts';
import type { Member } from '../../../src/cluster/membership.ts';
import { decodeLease, encodeLease, leaseKey } from '../../../src/lease/lease.ts';
import { encodeKeyValue } from '../../../src/mvcc/key-value.ts';
import { StoreImportError } from '../../../src/mvcc/store-import.ts';
import type { Store } from '../../../src/mvcc/store.ts';
import { encodeRevision } from '../../../src/schema/buckets.ts';
import { DatabaseSnapshot } from '../../../src/schema/database-snapshot.ts';
import { importState, UnsupportedStateError } from '../../../src/schema/import.ts';
import type { BackendView } from '../../../src/storage/backend-view.ts';
import { MemoryEngine } from '../../../src/storage/memory-engine.ts';
import { stateKeys } from '../../../src/storage/keyspace.ts';
import {
  type Alarm,
  alarmKey,
  AlarmStore,
  encodeAlarm,
  raisedByHand,
} from '../../../src/alarm/alarm-store.ts';
import { hashOfState } from '../../../src/schema/database-hash.ts';
import { downgradeKey } from '../../../src/cluster/downgrade.ts';
import { AlarmType } from '../../../src/gen/rpc.ts';
import { contentsOf, writeDatabase, type Contents } from '../../support/bbolt.ts';
import { ManualClock, MapBackend, openStore } from '../mvcc/fakes.ts';

const voters = [7n, 2n ** 64n - 1n];

function viewOf(backend: MapBackend): BackendView {
  const confState = {
    voters,
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  };
  return {
    metadata: { index: 41, term: 3, confState },
    raw: new MemoryEngine({ clock: new ManualClock() }).view(),
    get: (key) => backend.get(key),
    read(range, limit, done) {
      let found: readonly (readonly [string, Uint8Array])[] = [];
      const take = (entries: typeof found): void => {
        if (found.length === 0) found = entries;
      };
      backend.scan(range, Math.min(limit, 7), take, () => {});
      done(undefined, found);
    },
    close: () => {},
  };
}

async function exported(backend: MapBackend): Promise<Buffer> {
  const snapshot = await DatabaseSnapshot.of(viewOf(backend), new AbortController().signal);
  const pages: Buffer[] = [];
  for await (const piece of snapshot.pages()) pages.push(piece);
  const file = Buffer.concat(pages);
  expect(file.length).toBe(snapshot.sizeBytes);
  return file;
}

const members: readonly Member[] = [
  { id: 2n ** 64n - 1n, name: 'b', peerUrls: ['http://b:2380'], clientUrls: [], isLearner: false },
  { id: 0x7n, name: 'a', peerUrls: ['http://a:2380'], clientUrls: [], isLearner: false },
];

function imported(file: Buffer, revisionBump = 0): MapBackend {
  const reader = new DatabaseReader(memorySource(file));
  reader.check();
  const backend = new MapBackend();
  for (const [key, value] of importState(reader, { members, revisionBump })) {
    expect(backend.entries.has(key)).toBe(false);
    backend.put(key, value);
  }
  return backend;
}

interface History {
  readonly backend: MapBackend;
  readonly store: Store;
}

function historyOf(seed: number, entries: number): History {
  const backend = new MapBackend();
  const store = openStore({ backend, clock: new ManualClock() });
  const random = new SeededRandom(seed);
  const key = (): string => `k${random.below(12)}`;
  for (let entry = 0; entry < entries; entry++) {
    if (random.below(12) === 0 && store.revision > Math.max(1, store.compactedRevision)) {
      store.compact(
        store.revision - random.below(store.revision - Math.max(1, store.compactedRevision)),
      );
      // Sometimes its removals are all done, sometimes they have not begun.
      if (random.below(2) === 0) while (store.compactionStep() === 'more');
      continue;
    }
    const txn = store.begin();
    if (random.below(4) === 0) txn.deleteRange(key(), random.below(2) === 0 ? undefined : '\0');
    for (const each of new Set([key(), key()])) {
      if (random.below(5) > 0) txn.put(each, utf8(`${entry}`.repeat(random.below(40))), 0n);
    }
    txn.end();
  }
  return { backend, store };
}

const reopen = (backend: MapBackend): Store =>
  openStore({ backend: backend.reopened(), clock: new ManualClock() });

/** All that can be asked of a store, at every revision from `from` on. */
function answers(store: Store, from = Math.max(1, store.compactedRevision)): unknown {
  const { revision, compactedRevision, stateHash, logicalSizeBytes, keyCount } = store;
  const revisions = Array.from({ length: revision - from + 1 }, (_, i) => from + i);
  const all = { key: '\0', end: '\0', limit: 0, countOnly: false };
  return {
    numbers: { revision, compactedRevision, stateHash, logicalSizeBytes, keyCount },
    keys: revisions.map((at) =>
      store
        .range({ ...all, revision: at })
        .kvs.map((kv) => [
          kv.keyText,
          kv.createRevision,
          kv.modRevision,
          kv.version,
          fromUtf8(kv.value),
        ]),
    ),
    events: revisions.map((at) =>
      store.eventsAt(at).map((event) => [event.isDelete, event.keyText]),
    ),
  };
}

function hashOf(backend: MapBackend): unknown {
  const clock = new ManualClock();
  const store = openStore({ backend: backend.reopened(), clock });
  const found: unknown[] = [];
  store.hashByRevision(0, (error, hash) => found.push(error ?? hash));
  clock.settle();
  return found;
}

describe('a state that becomes a database and a state again', () => {
  test.each(Array.from({ length: 60 }, (_, seed) => seed))(
    'is the same (seed %i)',
    async (seed) => {
      const { backend, store } = historyOf(seed, 1 + 3 * seed);
      const again = imported(await exported(backend));
      expect(answers(reopen(again))).toEqual(answers(store));
      expect(hashOf(again)).toEqual(hashOf(backend));
      // It goes on as the first one does.
      for (const each of [store, reopen(again)]) {
        const txn = each.begin();
        txn.deleteRange('\0', '\0');
        txn.put('later', utf8('x'), 0n);
        txn.end();
        each.compact(each.revision);
        while (each.compactionStep() === 'more');
        expect(answers(each)).toMatchObject({ numbers: { keyCount: 1 } });
      }
    },
  );

  test('may be ahead of the revisions that it came with', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const { backend, store } = historyOf(seed, 2 * seed);
      const again = imported(await exported(backend), 1000);
      const ahead = reopen(again);
      expect(ahead.revision).toBe(store.revision + 1000);
      expect(ahead.compactedRevision).toBe(ahead.revision);
      expect(ahead.stateHash).toBe(store.stateHash);
      expect(() =>
        ahead.range({
          key: 'k',
          end: undefined,
          revision: store.revision,
          limit: 0,
          countOnly: false,
        }),
      ).toThrow('compacted');
      const [keys] = (answers(ahead) as { keys: unknown[] }).keys;
      expect(keys).toEqual((answers(store) as { keys: unknown[] }).keys.at(-1));
      // And it can be exported and imported once more.
      const third = reopen(imported(await exported(again)));
      expect(answers(third)).toEqual(answers(ahead));
      while (ahead.compactionStep() === 'more');
      expect(ahead.keyCount).toBe(store.keyCount);
    }
  });

  test('has the leases, and the keys that hang on them', async () => {
    const { backend, store } = historyOf(6, 20);
    const ids = [7n, -2n];
    for (const id of ids) {
      const [grant, remainingSeconds] = [99n, id === 7n ? 12 : 0];
      backend.put(leaseKey(id), encodeLease({ id, grant, ttlSeconds: 60, remainingSeconds }));
    }
    const txn = store.begin();
    txn.put('leased', utf8('v'), 7n);
    txn.end();
    const file = await exported(backend);
    const { lease: written } = contentsOf(new DatabaseReader(memorySource(file)));
    expect(written).toEqual([
      ['\0\0\0\0\0\0\0\x07', '\x08\x07\x10<\x18\x0c'],
      ['\xff\xff\xff\xff\xff\xff\xff\xfe', '\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10<'],
    ]);
    const again = imported(file);
    const leases = ids.map((id) => decodeLease(present(again.get(leaseKey(id)), 'the lease')));
    expect(leases).toEqual([
      { id: 7n, grant: 7n, ttlSeconds: 60, remainingSeconds: 12 },
      { id: -2n, grant: 2n ** 64n - 2n, ttlSeconds: 60, remainingSeconds: 0 },
    ]);
    expect(answers(reopen(again))).toEqual(answers(store));
  });

  test('has the members of the new cluster', async () => {
    const backend = imported(await exported(historyOf(1, 10).backend));
    const keys = [...backend.entries.keys()].filter((key) => key.startsWith(stateKeys.member));
    expect(keys.sort()).toEqual([`m${'7'.padStart(16, '0')}`, `m${'f'.repeat(16)}`]);
    const file = await exported(backend);
    const { members: written } = contentsOf(new DatabaseReader(memorySource(file)));
    expect(written).toEqual([
      ['7', '{"id":7,"peerURLs":["http://a:2380"],"name":"a"}'],
      ['ffffffffffffffff', '{"id":18446744073709551615,"peerURLs":["http://b:2380"],"name":"b"}'],
    ]);
  });
});

describe('the database of a state', () => {
  test('has every bucket of etcd', async () => {
    const file = await exported(historyOf(3, 30).backend);
    const reader = new DatabaseReader(memorySource(file));
    expect(reader.buckets).toEqual([
      'alarm',
      'auth',
      'authRoles',
      'authUsers',
      'cluster',
      'key',
      'lease',
      'members',
      'members_removed',
      'meta',
    ]);
    const { meta, cluster } = contentsOf(reader);
    const rest = (meta ?? []).filter(([key]) => !key.endsWith('CompactRev'));
    expect(rest).toEqual([
      ['confState', `{"voters":[${voters.join(',')}],"auto_leave":false}`],
      ['consistent_index', '\0\0\0\0\0\0\0\x29'],
      ['storageVersion', '3.6.0'],
      ['term', '\0\0\0\0\0\0\0\x03'],
    ]);
    expect(cluster).toEqual([
      ['clusterVersion', '3.6.0'],
      ['downgrade', '{"target-version":"","enabled":false}'],
    ]);
  });

  test('has the alarms, which a new cluster takes over', async () => {
    const { backend } = historyOf(2, 5);
    const alarms: readonly Alarm[] = [
      { memberId: 300n, kind: AlarmType.nospace, quotaBytes: 1000 },
      { memberId: 1n, kind: AlarmType.corrupt, quotaBytes: raisedByHand },
    ];
    for (const each of alarms) backend.put(alarmKey(each.memberId, each.kind), encodeAlarm(each));
    backend.put(downgradeKey, utf8('{"version":1,"enabled":true,"targetVersion":"3.5.0"}'));
    const file = await exported(backend);
    const { alarm, cluster } = contentsOf(new DatabaseReader(memorySource(file)));
    expect(alarm).toEqual([
      ['\x08\x01\x10\x02', ''],
      ['\x08\xac\x02\x10\x01', ''],
    ]);
    expect(cluster?.[1]).toEqual(['downgrade', '{"target-version":"3.5.0","enabled":true}']);
    // Of space, the quota of the new cluster decides.
    const quotaBytes = Number.MAX_SAFE_INTEGER;
    const expected = alarms.map((each) =>
      each.kind === AlarmType.nospace ? { ...each, quotaBytes } : each,
    );
    let loaded: AlarmStore | undefined;
    AlarmStore.load(imported(file), (_error, store) => (loaded = store));
    expect(loaded?.list()).toEqual(expected.reverse());
  });

  test('has the hash that etcd gives it, whatever the index is', async () => {
    const { backend } = historyOf(4, 40);
    const reader = new DatabaseReader(memorySource(await exported(backend)));
    let expected = 0;
    for (const [bucket, pairs] of Object.entries(contentsOf(reader))) {
      expected = crc32c(fromLatin1(bucket), expected);
      for (const [key, value] of pairs) {
        const isIgnored = ['consistent_index', 'term', 'storageVersion'].includes(key);
        if (bucket === 'meta' && isIgnored) continue;
        expected = crc32c(fromLatin1(key + value), expected);
      }
    }
    const { signal } = new AbortController();
    const view = viewOf(backend);
    expect(await hashOfState(view, signal)).toBe(expected);
    const later = { ...view, metadata: { ...view.metadata, index: view.metadata.index + 1 } };
    expect(await hashOfState(later, signal)).toBe(expected);
  });

  test('has users and roles as they came', async () => {
    const auth: Contents = {
      auth: [
        ['authEnabled', '\0'],
        ['authRevision', '\0\0\0\0\0\0\0\x05'],
      ],
      authUsers: [
        ['alice', '\n\x05alice\x12\x04hash\x1a\x02r1'],
        ['root', '\n\x04root\x12\x04hash\x1a\x04root"\0'],
      ],
      authRoles: [['r1', '\n\x02r1\x12\x08\x08\x02\x12\x01a\x1a\x01b']],
    };
    const first = await exported(historyOf(2, 5).backend);
    const whole = contentsOf(new DatabaseReader(memorySource(first)));
    const backend = imported(writeDatabase({ ...whole, ...auth }));
    const again = contentsOf(new DatabaseReader(memorySource(await exported(backend))));
    const { authUsers, authRoles } = again;
    expect({ authUsers, authRoles }).toEqual({
      authUsers: auth['authUsers'],
      authRoles: auth['authRoles'],
    });
    // A flag that is not set is as good as none.
    expect(again['auth']).toEqual(auth['auth']?.slice(1));
  });

  test('is given up when nobody wants it any more', async () => {
    const { backend } = historyOf(5, 200);
    let closed = 0;
    const close = (): void => {
      closed++;
    };
    const view = { ...viewOf(backend), close };
    const controller = new AbortController();
    controller.abort(new Error('enough'));
    await expect(DatabaseSnapshot.of(view, controller.signal)).rejects.toThrow('enough');
    expect(closed).toBe(1);
  });
});

describe('a database from elsewhere', () => {
  const put = (main: number, sub: number, fields = {}): readonly [string, string] => {
    const kv = { key: 'k', createRevision: main, modRevision: main, version: 1, lease: 0n };
    const value = encodeKeyValue({ ...kv, value: utf8('v'), ...fields });
    return [latin1(encodeRevision({ main, sub, tombstone: false })), latin1(value)];
  };
  const compacted = (main: number): Contents => ({
    meta: [['finishedCompactRev', latin1(encodeRevision({ main, sub: 0, tombstone: false }))]],
  });
  const refusalOf = (contents: Contents): unknown => {
    try {
      imported(writeDatabase({ key: [], meta: [], ...contents }));
    } catch (error) {
      return error;
    }
    return undefined;
  };

  test.each([
    ['\x08\x05', '0x0805 is no alarm'],
    ['\x10\x01\x08\x05', '0x10010805 is no alarm'],
    ['\xff', 'an alarm cannot be decoded: '],
  ])('with an alarm %j, which is none, is refused', (key, reason) => {
    const refusal = refusalOf({ alarm: [[key, '']] });
    expect(refusal).toBeInstanceOf(InvalidDatabaseError);
    expect((refusal as Error).message).toContain(reason);
  });

  test('with a revision that holds nothing, as etcdutl makes it, is taken', () => {
    // etcdutl snapshot restore --bump-revision writes an empty value.
    const bumped = [latin1(encodeRevision({ main: 500, sub: 0, tombstone: false })), ''] as const;
    const meta = compacted(500)['meta'] ?? [];
    const store = reopen(imported(writeDatabase({ key: [put(2, 0), bumped], meta })));
    expect([store.revision, store.compactedRevision, store.keyCount]).toEqual([500, 500, 1]);
    expect(store.eventsAt(500).map(({ keyText, isDelete }) => [keyText, isDelete])).toEqual([
      ['', true],
    ]);
  });

  test('whose compaction left nothing of its revision is taken', () => {
    const store = reopen(imported(writeDatabase({ key: [put(2, 0)], ...compacted(9) })));
    expect([store.revision, store.compactedRevision]).toEqual([9, 9]);
    expect(store.eventsAt(9)).toHaveLength(1);
  });

  test.each<[string, Contents]>([
    ['revision 2 is missing', { key: [put(3, 0)] }],
    ['revision 4 is missing', { key: [put(3, 0), put(5, 0)], ...compacted(3) }],
    ['revision 2.1 comes where 2.0 should', { key: [put(2, 1)] }],
    ['revision 2.2 comes where 2.1 should', { key: [put(2, 0), put(2, 2)] }],
    ['revision 3.2000000 comes where 3.0 should', { key: [put(3, 2_000_000)], ...compacted(3) }],
    [
      'revision 2.2147483647 comes where 2.0 should',
      { key: [put(2, 2 ** 31 - 1)], ...compacted(3) },
    ],
    ['revision 1 is out of order', { key: [put(1, 0)] }],
    [`revision ${2 ** 53 - 1} is too large`, { key: [], ...compacted(2 ** 53 - 1) }],
    [
      'revision 2.0 has a key with create revision 2, mod revision 7 and version 1',
      { key: [put(2, 0, { modRevision: 7 })] },
    ],
    [
      'revision 2.0 has a key with create revision 3, mod revision 2 and version 1',
      { key: [put(2, 0, { createRevision: 3 })] },
    ],
    ['the key "k" hangs on lease 9, which is missing', { key: [put(2, 0, { lease: 9n })] }],
  ])('is refused if %s', (message, contents) => {
    const error = refusalOf(contents);
    expect(error).toBeInstanceOf(StoreImportError);
    expect((error as Error).message).toBe(message);
  });

  test.each(['\x08\x01', '\x08\x02\x10\x05', '\x08\x01\x10\x00', '\xff'])(
    'is refused if a lease is not sound (%j)',
    (value) => {
      const error = refusalOf({ lease: [['\0\0\0\0\0\0\0\x01', value]] });
      expect(error).toBeInstanceOf(InvalidDatabaseError);
    },
  );

  test.each<[Contents, string]>([
    [{ authUsers: [['root', 'x']] }, 'a record of authUsers cannot be decoded: '],
    [{ authUsers: [['root', '\n\x04else']] }, '0x726f6f74 in authUsers is another one'],
    [{ authRoles: [['root', '\n\x04else']] }, '0x726f6f74 in authRoles is another one'],
  ])('is refused if a user or role is not sound (%j)', (contents, reason) => {
    const error = refusalOf(contents);
    expect(error).toBeInstanceOf(InvalidDatabaseError);
    expect((error as Error).message).toContain(reason);
  });

  test('is refused if it would lose the protection of passwords', () => {
    const error = refusalOf({ auth: [['authEnabled', '\x01']] });
    expect(error).toBeInstanceOf(UnsupportedStateError);
    expect((error as Error).message).toContain('it has authentication enabled');
  });

  test('that is not of etcd is refused', () => {
    const reader = new DatabaseReader(memorySource(writeDatabase({ key: [] })));
    expect(() => importState(reader, { members, revisionBump: 0 }).next()).toThrow(
      "invalid database: it is not etcd's: there is no bucket meta",
    );
  });
});
