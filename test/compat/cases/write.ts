/** Put, DeleteRange and Compact. */
import { KV } from '../../../src/gen/services.ts';
import { del, put, range } from '../messages.ts';
import type { Case, Group } from '../pair.ts';
import type { Session } from '../session.ts';

const min64 = -(2n ** 63n);
const max64 = 2n ** 63n - 1n;

const script = (name: string, run: (session: Session) => Promise<unknown>): Case => ({
  name,
  run: async (session) => {
    await run(session);
  },
});

const puts: Case[] = [
  script('a new key, with prev_kv', (s) => s.put(put({ key: 'new', value: '1', prevKv: true }))),
  script('an old key, with prev_kv', async (s) => {
    await s.put(put({ key: 'old', value: '1' }));
    await s.put(put({ key: 'old', value: '2', prevKv: true }));
    await s.put(put({ key: 'old', value: '2', prevKv: true }));
    await s.range(range({ key: 'old' }));
  }),
  script('no key', (s) => s.put(put({ value: 'x' }))),
  script('no key and an unknown lease', (s) => s.put(put({ lease: 77n }))),
  script('no value', async (s) => {
    await s.put(put({ key: 'empty' }));
    await s.range(range({ key: 'empty' }));
  }),
  script('ignore_value of a missing key', (s) => s.put(put({ key: 'nil', ignoreValue: true }))),
  script('ignore_lease of a missing key', (s) => s.put(put({ key: 'nil', ignoreLease: true }))),
  script('ignore_value with a value', (s) =>
    s.put(put({ key: 'nil', value: 'x', ignoreValue: true })),
  ),
  script('ignore_lease with a lease', (s) =>
    s.put(put({ key: 'nil', lease: 5n, ignoreLease: true })),
  ),
  script('ignore_value and ignore_lease with both', (s) =>
    s.put(put({ key: 'nil', value: 'x', lease: 5n, ignoreValue: true, ignoreLease: true })),
  ),
  script('ignore_value keeps the value and drops the lease', async (s) => {
    await s.grant(101n, 600);
    await s.put(put({ key: 'keep', value: 'v', lease: 101n }));
    await s.put(put({ key: 'keep', ignoreValue: true, prevKv: true }));
    await s.range(range({ key: 'keep' }));
    await s.timeToLive(101n, true);
  }),
  script('ignore_lease keeps the lease', async (s) => {
    await s.grant(102n, 600);
    await s.put(put({ key: 'keep2', value: 'v', lease: 102n }));
    await s.put(put({ key: 'keep2', value: 'w', ignoreLease: true, prevKv: true }));
    await s.range(range({ key: 'keep2' }));
    await s.timeToLive(102n, true);
  }),
  script('both ignored: only the revision moves', async (s) => {
    await s.put(put({ key: 'both', value: 'v' }));
    await s.put(put({ key: 'both', ignoreValue: true, ignoreLease: true }));
    await s.range(range({ key: 'both' }));
  }),
  script('a missing lease', (s) => s.put(put({ key: 'x', lease: 123_456n }))),
  script('a negative lease', (s) => s.put(put({ key: 'x', lease: -1n }))),
  script('leases at the ends of 64 bits', async (s) => {
    await s.put(put({ key: 'x', lease: min64 }));
    await s.put(put({ key: 'x', lease: max64 }));
  }),
  script('another lease takes the key over', async (s) => {
    await s.grant(103n, 600);
    await s.grant(104n, 600);
    await s.put(put({ key: 'move', lease: 103n }));
    await s.put(put({ key: 'move', lease: 104n }));
    await s.timeToLive(103n, true);
    await s.timeToLive(104n, true);
    await s.revoke(103n);
    await s.range(range({ key: 'move' }));
  }),
  script('a key of every byte', async (s) => {
    const key = Array.from({ length: 256 }, (_, i) => String.fromCharCode(i)).join('');
    await s.put(put({ key, value: key }));
    await s.range(range({ key }));
  }),
  script('1.5 MiB, a little less and a little more', async (s) => {
    await s.put(put({ key: 'large', value: 'x'.repeat(1_572_864 - 200) }));
    await s.put(put({ key: 'large', value: 'x'.repeat(1_572_864 + 10) }));
    await s.range(range({ key: 'large', keysOnly: true }));
    await s.put(put({ key: 'large' }));
  }),
  script('the version counts puts since creation', async (s) => {
    for (let i = 0; i < 4; i++) await s.put(put({ key: 'count', value: String(i) }));
    await s.del(del({ key: 'count' }));
    await s.put(put({ key: 'count', value: 'again', prevKv: true }));
    await s.range(range({ key: 'count' }));
  }),
];

async function fill(s: Session, prefix: string): Promise<void> {
  for (const end of ['', '\0', 'a', 'b', 'c', '\xff']) {
    await s.client.unary(KV.methods.put, put({ key: prefix + end, value: end }));
  }
}

const deletions: Case[] = [
  script('no key', (s) => s.del(del({}))),
  script('no key, with an end', (s) => s.del(del({ rangeEnd: 'z' }))),
  script('a missing key does not move the revision', async (s) => {
    await s.del(del({ key: 'missing', prevKv: true }));
    await s.range(range({ key: 'missing' }));
  }),
  script('one key, with prev_kv', async (s) => {
    await fill(s, 'd1');
    await s.del(del({ key: 'd1a', prevKv: true }));
    await s.range(range({ key: 'd1', rangeEnd: 'd2' }));
  }),
  script('one key, without prev_kv', async (s) => {
    await fill(s, 'd2');
    await s.del(del({ key: 'd2a' }));
  }),
  script('a range, with prev_kv', async (s) => {
    await fill(s, 'd3');
    await s.del(del({ key: 'd3\0', rangeEnd: 'd3c', prevKv: true }));
    await s.range(range({ key: 'd3', rangeEnd: 'd4' }));
  }),
  script('a prefix', async (s) => {
    await fill(s, 'd5');
    await s.del(del({ key: 'd5', rangeEnd: 'd6' }));
    await s.range(range({ key: 'd5', rangeEnd: 'd6' }));
  }),
  script('an empty and a reversed range', async (s) => {
    await fill(s, 'd7');
    await s.del(del({ key: 'd7a', rangeEnd: 'd7a' }));
    await s.del(del({ key: 'd7c', rangeEnd: 'd7a' }));
    await s.range(range({ key: 'd7', rangeEnd: 'd8' }));
  }),
  script('twice', async (s) => {
    await fill(s, 'd8');
    await s.del(del({ key: 'd8', rangeEnd: 'd9' }));
    await s.del(del({ key: 'd8', rangeEnd: 'd9' }));
  }),
  script('a deleted key detaches from its lease', async (s) => {
    await s.grant(105n, 600);
    await s.put(put({ key: 'leased', lease: 105n }));
    await s.del(del({ key: 'leased', prevKv: true }));
    await s.timeToLive(105n, true);
  }),
  script('from a key on, and everything', async (s) => {
    await fill(s, 'z');
    await s.del(del({ key: 'z', rangeEnd: '\0', prevKv: true }));
    await s.del(del({ key: '\0', rangeEnd: '\0' }));
    await s.range(range({ key: '\0', rangeEnd: '\0' }));
  }),
];

const compactions: Case[] = [
  script('the future', async (s) => {
    await s.compact(s.base + 1);
    await s.call(KV.methods.compact, { revision: 0, physical: false }, { integers: [[1, max64]] });
  }),
  script('nothing: revisions 0, -1 and -2^63', async (s) => {
    await s.compact(0);
    await s.compact(-1);
    await s.call(KV.methods.compact, { revision: 0, physical: false }, { integers: [[1, min64]] });
  }),
  script('history is gone below, kept at the revision', async (s) => {
    for (let i = 0; i < 5; i++) await s.put(put({ key: 'c', value: String(i) }));
    await s.compact(s.base + 3);
    await s.range(range({ key: 'c', revision: s.base + 2 }));
    await s.range(range({ key: 'c', revision: s.base + 3 }));
    await s.range(range({ key: 'c', revision: s.base + 4 }));
    await s.range(range({ key: 'c', revision: 1 }));
    await s.range(range({ key: 'c', revision: 1, countOnly: true }));
    await s.range(range({ key: 'c', revision: 1, serializable: true }));
  }),
  script('the same revision again, and an older one', async (s) => {
    await s.put(put({ key: 'c', value: 'x' }));
    await s.compact(s.base);
    await s.compact(s.base);
    await s.compact(s.base - 1);
    await s.compact(s.base - 1, true);
  }),
  script('the present revision, physically', async (s) => {
    await s.put(put({ key: 'c', value: 'y' }));
    await s.put(put({ key: 'c2', value: 'y' }));
    await s.del(del({ key: 'c2' }));
    await s.compact(s.base + 3, true);
    await s.range(range({ key: 'c', rangeEnd: 'd' }));
    await s.range(range({ key: 'c', rangeEnd: 'd', revision: s.base + 2 }));
    await s.range(range({ key: 'c', rangeEnd: 'd', revision: s.base + 3 }));
  }),
  script('a compacted key keeps its version', async (s) => {
    for (let i = 0; i < 3; i++) await s.put(put({ key: 'c3', value: String(i) }));
    await s.compact(s.base + 3, true);
    await s.put(put({ key: 'c3', value: 'last', prevKv: true }));
    await s.range(range({ key: 'c3' }));
  }),
  script('a deleted key stays deleted', async (s) => {
    await s.put(put({ key: 'c4' }));
    await s.del(del({ key: 'c4' }));
    await s.put(put({ key: 'c5' }));
    await s.compact(s.base + 2, true);
    await s.range(range({ key: 'c4', revision: s.base + 2 }));
    await s.put(put({ key: 'c4', prevKv: true }));
    await s.range(range({ key: 'c4' }));
  }),
];

export const writeGroups: readonly Group[] = [
  { name: 'put', cases: puts },
  { name: 'delete', cases: deletions },
  { name: 'compact', cases: compactions },
];
