/** Range: every option alone and together, over keys with histories. */
import { SortOrder, SortTarget } from '../../../src/gen/rpc.ts';
import { KV } from '../../../src/gen/services.ts';
import { CallError } from '../../support/grpc.ts';
import { del, put, range } from '../messages.ts';
import type { Case, Group } from '../pair.ts';
import type { CallNotes, Session } from '../session.ts';

type RangeFields = Parameters<typeof range>[0];

const min64 = -(2n ** 63n);
const max64 = 2n ** 63n - 1n;

/** Revision of the first write of `prepare`. */
const first = 2;

/** Fields that come as another wire type than theirs. */
const wrongWireTypes: Case[] = Object.entries({
  'Range with a number for the key': [0x08, 0x01],
  'Range with bytes for the limit': [0x0a, 0x01, 0x61, 0x1a, 0x01, 0x61],
  'Range with a fixed number for the end': [0x0a, 0x01, 0x61, 0x15, 0, 0, 0, 0],
  'Put with a fixed number for prev_kv': [0x0a, 0x01, 0x61, 0x25, 0, 0, 0, 0],
  'Txn with a number for an operation': [0x10, 0x01],
}).map(([name, bytes]) => ({
  name,
  run: async (session) => {
    const method = name.slice(0, name.indexOf(' '));
    const answer = await session.client
      .raw(`/etcdserverpb.KV/${method}`, Uint8Array.from(bytes))
      .catch((error: unknown) => {
        if (!(error instanceof CallError)) throw error;
        return { code: error.code, details: error.details };
      });
    session.note('raw', answer);
  },
}));

/** Keys of bytes at the edges, rewritten, deleted and created again. */
async function prepare(session: Session): Promise<void> {
  const { client } = session;
  const write = (key: string, value: string): Promise<unknown> =>
    client.unary(KV.methods.put, put({ key, value }));
  for (const key of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']) await write(key, `${key}1`);
  for (const key of ['h', 'd', 'b']) await write(key, `z${key}`);
  await client.unary(KV.methods.deleteRange, del({ key: 'c' }));
  await write('c', '');
  await client.unary(KV.methods.deleteRange, del({ key: 'e', rangeEnd: 'g' }));
  await write('e', 'a');
  for (const key of [
    'p',
    'p\0',
    'p\x7f',
    'p\x80',
    'p\xff',
    'p\xff\xff',
    'q',
    '\0',
    '\x01',
    '\xff',
  ]) {
    await write(key, key);
  }
}

const one = (name: string, fields: RangeFields, notes?: CallNotes): Case => ({
  name,
  run: async (session) => {
    await session.range(range(fields), notes);
  },
});

/** Up to 12 keys: Go sorts more of them with ties in an order of its own. */
const few = 'p\x80';

/** Every order by every target, each with and without a limit. */
function sorted(): Case[] {
  const cases: Case[] = [];
  for (const [orderName, sortOrder] of Object.entries(SortOrder)) {
    for (const [targetName, sortTarget] of Object.entries(SortTarget)) {
      for (const limit of [0, 1, 3, 100]) {
        const fields = { key: 'a', rangeEnd: few, sortOrder, sortTarget, limit };
        cases.push(one(`sorted by ${targetName}, ${orderName}, limit ${limit}`, fields));
      }
    }
  }
  return cases;
}

/** The filters by revision, at, below and above what is there. */
function filtered(): Case[] {
  const names = [
    'minModRevision',
    'maxModRevision',
    'minCreateRevision',
    'maxCreateRevision',
  ] as const;
  const numbers = [10, 11, 12, 13];
  return names.flatMap((name, i) => {
    const field = numbers[i] ?? 0;
    const all = { key: '\0', rangeEnd: '\0' };
    return [
      ...[-1, 1, first, first + 5, first + 9, first + 12, 1000].map((bound) =>
        one(`${name} ${bound}`, { ...all, [name]: bound }),
      ),
      one(`${name} with a limit`, { ...all, [name]: first + 6, limit: 2 }),
      one(`${name} with count only`, { ...all, [name]: first + 6, countOnly: true }),
      one(`${name} with keys only, sorted`, {
        ...all,
        [name]: first + 6,
        keysOnly: true,
        sortOrder: SortOrder.descend,
      }),
      one(`${name} of -2^63`, all, { integers: [[field, min64]] }),
      one(`${name} of 2^63-1`, all, { integers: [[field, max64]] }),
    ];
  });
}

function pastRevisions(): Case[] {
  const all = { key: '\0', rangeEnd: '\0' };
  const cases = Array.from({ length: 16 }, (_, i) =>
    one(`as of revision ${first + i}`, { ...all, revision: first + i }),
  );
  for (const revision of [-1, 0, 1]) cases.push(one(`revision ${revision}`, { ...all, revision }));
  cases.push(
    one('revision -2^63', all, { integers: [[4, min64]] }),
    one('revision 2^63-1', all, { integers: [[4, max64]] }),
    one('revision 2^53', all, { integers: [[4, 2n ** 53n]] }),
    one('a single key before it was', { key: 'q', revision: first }),
    one('a single key that was deleted', { key: 'f', revision: first + 13 }),
    {
      name: 'the present revision and the next',
      run: async (session) => {
        await session.range(range({ ...all, revision: session.base }));
        await session.range(range({ ...all, revision: session.base + 1 }));
      },
    },
  );
  return cases;
}

function bounds(): Case[] {
  const pairs: readonly (readonly [string, string])[] = [
    ['a', ''],
    ['a', '\0'],
    ['\0', '\0'],
    ['\0', ''],
    ['b', 'd'],
    ['b', 'b'],
    ['d', 'b'],
    ['b', 'b\0'],
    ['b\0', 'c'],
    ['c', 'c'],
    ['p', 'q'],
    ['p\0', 'p\x80'],
    ['p\x80', 'p\xff'],
    ['p\xff', 'q'],
    ['p\xff', 'p\xff\xff'],
    ['\xff', '\0'],
    ['\xff\xff', '\0'],
    ['\xfe', '\xff'],
    ['nothing', ''],
    ['nothing', 'o'],
    ['e', 'g'],
    ['f', ''],
    ['', 'z'],
    ['', '\0'],
    ['', ''],
  ];
  const text = (key: string): string => JSON.stringify(key);
  return pairs.flatMap(([key, rangeEnd]) => [
    one(`${text(key)} to ${text(rangeEnd)}`, { key, rangeEnd }),
    one(`${text(key)} to ${text(rangeEnd)}, count only`, { key, rangeEnd, countOnly: true }),
  ]);
}

function limits(): Case[] {
  const all = { key: '\0', rangeEnd: '\0' };
  return [
    ...[-1, 1, 2, 7, 16, 17, 18, 1000].map((limit) => one(`limit ${limit}`, { ...all, limit })),
    one('limit -2^63', all, { integers: [[3, min64]] }),
    one('limit 2^63-1', all, { integers: [[3, max64]] }),
    one('limit 2^62', all, { integers: [[3, 2n ** 62n]] }),
    one('limit in the past', { ...all, limit: 3, revision: first + 7 }),
    one('limit with count only', { ...all, limit: 3, countOnly: true }),
    one('limit on one key', { key: 'a', limit: 1 }),
  ];
}

function others(): Case[] {
  const all = { key: 'a', rangeEnd: 'z' };
  return [
    one('serializable', { ...all, serializable: true }),
    one('serializable in the past', { ...all, serializable: true, revision: first + 3 }),
    one('keys only', { ...all, keysOnly: true }),
    one('keys only, sorted by value', { ...all, keysOnly: true, sortTarget: SortTarget.value }),
    one('keys only and count only', { ...all, keysOnly: true, countOnly: true }),
    one('count only, sorted', { ...all, countOnly: true, sortOrder: SortOrder.descend }),
    one('count only of one key', { key: 'a', countOnly: true }),
    one('count only of no key', { key: 'none', countOnly: true }),
    one('count only in the past', { ...all, countOnly: true, revision: first + 3 }),
    one('unknown order', all, { integers: [[5, 3n]] }),
    { ...one('unknown target', all, { integers: [[6, 5n]] }), unfit: /^3\.4\./ },
    one('negative order', all, { integers: [[5, -1n]] }),
    one('order too large for 32 bits', all, { integers: [[5, 2n ** 32n]] }),
    one('unknown target and no key', {}, { integers: [[6, 99n]] }),
    one('unknown field', all, { integers: [[99, 7n]] }),
    one('everything at once', {
      ...all,
      limit: 2,
      revision: first + 12,
      sortOrder: SortOrder.descend,
      sortTarget: SortTarget.mod,
      keysOnly: true,
      minModRevision: first + 2,
      maxCreateRevision: first + 6,
      serializable: true,
    }),
    {
      name: 'bytes that are no message',
      run: async (session) => {
        const answer = await session.client
          .raw('/etcdserverpb.KV/Range', Uint8Array.of(0x0a, 0x05, 0x01))
          .catch((error: unknown) => ({ code: (error as { code?: number }).code ?? -1 }));
        session.note('raw', answer);
      },
    },
    ...wrongWireTypes,
  ];
}

export const rangeGroup: Group = {
  name: 'range',
  prepare,
  cases: [...bounds(), ...sorted(), ...limits(), ...filtered(), ...pastRevisions(), ...others()],
};
