/** Transactions: every comparison, the order of operations, nesting, and what is refused. */
import { Compare, type TxnRequest } from '../../../src/gen/rpc.ts';
import { KV } from '../../../src/gen/services.ts';
import {
  type ComparisonSign,
  type ComparisonTarget,
  compare,
  del,
  opDelete,
  opNothing,
  opPut,
  opRange,
  opTxn,
  put,
  range,
  txn,
} from '../messages.ts';
import type { Case, Group } from '../pair.ts';
import type { Session } from '../session.ts';

const min64 = -(2n ** 63n);
const max64 = 2n ** 63n - 1n;

async function prepare(session: Session): Promise<void> {
  const { client } = session;
  await client.unary(KV.methods.put, put({ key: 'k', value: 'm' }));
  await client.unary(KV.methods.put, put({ key: 'k', value: 'm' }));
  await client.unary(KV.methods.put, put({ key: 'l', value: 'n' }));
  await client.unary(KV.methods.put, put({ key: 'e', value: '' }));
}

/** etcd 3.4 ends with a panic where it sorts by a target that it does not know. */
const unfit = /^3\.4\./;

const script = (name: string, run: (session: Session) => Promise<unknown>): Case => ({
  name,
  run: async (session) => {
    await run(session);
  },
});

const one = (name: string, fields: Partial<TxnRequest>): Case =>
  script(name, (s) => s.txn(txn(fields)));

const yes = [opRange({ key: 'k' })];

/** Each target by each sign, with operands below, at and above the value, and on a missing key. */
function comparisons(): Case[] {
  const operands: Readonly<Record<ComparisonTarget, readonly (number | bigint | string)[]>> = {
    version: [0, 1, 2, 3],
    createRevision: [0, 1, 2, 3],
    modRevision: [0, 2, 3, 4],
    value: ['', 'a', 'm', 'z'],
    lease: [0n, 1n, -1n],
  };
  const signs: readonly ComparisonSign[] = ['=', '!=', '<', '>'];
  const targets = Object.keys(operands) as ComparisonTarget[];
  return targets.flatMap((target) =>
    signs.map((sign) =>
      script(`${target} ${sign}`, async (s) => {
        for (const key of ['k', 'missing', 'e']) {
          for (const operand of operands[target]) {
            await s.txn(txn({ compare: [compare(key, target, sign, operand)], success: yes }));
          }
        }
        for (const operand of operands[target]) {
          const whole = compare('a', target, sign, operand, 'z');
          const none = compare('x', target, sign, operand, 'z');
          await s.txn(txn({ compare: [whole], success: yes }));
          await s.txn(txn({ compare: [none], success: yes }));
        }
      }),
    ),
  );
}

const oddCompares: Case[] = [
  one('no compare succeeds', { success: yes, failure: [opRange({ key: 'l' })] }),
  one('nothing at all', {}),
  one('a compare and no operations', { compare: [compare('k', 'version', '=', 2)] }),
  one('a failed compare and no operations', { compare: [compare('k', 'version', '=', 7)] }),
  one('two compares, one of them wrong', {
    compare: [compare('k', 'version', '=', 2), compare('l', 'version', '=', 9)],
    success: yes,
  }),
  one('the same compare twice', {
    compare: [compare('k', 'version', '=', 2), compare('k', 'version', '=', 2)],
    success: yes,
  }),
  one('a compare without a key', { compare: [compare('', 'version', '=', 0)], success: yes }),
  one('a compare without an operand', {
    compare: [Compare.create({ key: Buffer.from('k'), target: 0 })],
    success: yes,
  }),
  one('a compare of value without an operand', {
    compare: [Compare.create({ key: Buffer.from('k'), target: 3 })],
    success: yes,
  }),
  one('an operand of another target', {
    compare: [{ ...compare('k', 'version', '=', 2), target: 2 }],
    success: yes,
  }),
  one('an unknown target', {
    compare: [{ ...compare('k', 'version', '=', 2), target: 9 as 0 }],
    success: yes,
  }),
  one('an unknown result', {
    compare: [{ ...compare('k', 'version', '=', 2), result: 9 as 0 }],
    success: yes,
  }),
  one('a range from the key on', {
    compare: [compare('k', 'version', '>', 0, '\0')],
    success: yes,
  }),
  one('a range of everything', { compare: [compare('\0', 'version', '>', 0, '\0')], success: yes }),
  one('a range that is empty', { compare: [compare('k', 'version', '>', 0, 'k')], success: yes }),
  one('a range that is reversed', {
    compare: [compare('l', 'version', '=', 0, 'k')],
    success: yes,
  }),
  ...[min64, max64].map((lease) =>
    one(`a lease of ${lease}`, { compare: [compare('k', 'lease', '<', lease)], success: yes }),
  ),
];

const orders: Case[] = [
  one('reads see earlier writes', {
    success: [
      opRange({ key: 'o1' }),
      opPut({ key: 'o1', value: '1', prevKv: true }),
      opRange({ key: 'o1' }),
      opDelete({ key: 'o1', prevKv: true }),
      opRange({ key: 'o1' }),
    ],
  }),
  one('a delete, then a put of another key', {
    success: [
      opDelete({ key: 'o2' }),
      opPut({ key: 'o3', value: '1' }),
      opRange({ key: 'o', rangeEnd: 'p' }),
    ],
  }),
  script('one revision for all', async (s) => {
    await s.txn(txn({ success: ['o4', 'o5', 'o6'].map((key) => opPut({ key, value: key })) }));
    await s.range(range({ key: 'o4', rangeEnd: 'o7' }));
  }),
  script('the failure branch writes', async (s) => {
    const failing = [compare('missing', 'version', '>', 0)];
    await s.txn(
      txn({ compare: failing, success: [opPut({ key: 'o8' })], failure: [opPut({ key: 'o9' })] }),
    );
    await s.range(range({ key: 'o8', rangeEnd: 'oz' }));
  }),
  script('deleting nothing does not move the revision', async (s) => {
    await s.txn(txn({ success: [opDelete({ key: 'missing' }), opRange({ key: 'k' })] }));
    await s.range(range({ key: 'k' }));
  }),
  script('a range in the past, in the present, in the future', async (s) => {
    await s.txn(txn({ success: [opRange({ key: 'k', revision: 2 })] }));
    await s.txn(txn({ success: [opRange({ key: 'k', revision: s.base })] }));
    await s.txn(txn({ success: [opRange({ key: 'k', revision: s.base + 1 })] }));
    await s.txn(
      txn({ success: [opPut({ key: 'of' }), opRange({ key: 'k', revision: s.base + 1 })] }),
    );
    await s.txn(
      txn({ success: [opPut({ key: 'of' }), opRange({ key: 'k', revision: s.base + 5 })] }),
    );
    await s.range(range({ key: 'of' }));
  }),
  script('a read-only transaction, serializable', (s) =>
    s.txn(txn({ success: [opRange({ key: 'k', serializable: true })] })),
  ),
  script('options of ranges inside', (s) =>
    s.txn(
      txn({
        success: [
          opRange({ key: 'a', rangeEnd: 'z', limit: 1 }),
          opRange({ key: 'a', rangeEnd: 'z', countOnly: true }),
          opRange({ key: 'a', rangeEnd: 'z', keysOnly: true, sortOrder: 2 }),
          opRange({ key: 'a', rangeEnd: 'z', minModRevision: 4 }),
        ],
      }),
    ),
  ),
  script('deletes that overlap', async (s) => {
    await s.put(put({ key: 'p1' }));
    await s.put(put({ key: 'p2' }));
    await s.txn(
      txn({
        success: [
          opDelete({ key: 'p1', prevKv: true }),
          opDelete({ key: 'p', rangeEnd: 'q', prevKv: true }),
        ],
      }),
    );
  }),
];

const many = (count: number): ReturnType<typeof opPut>[] =>
  Array.from({ length: count }, (_, i) => opPut({ key: `many${i}` }));

const refused: Case[] = [
  one('an empty operation', { success: [opNothing] }),
  one('an empty operation not taken', { failure: [opNothing] }),
  one('a put without a key', { success: [opPut({ value: 'x' })] }),
  one('a range without a key', { success: [opRange({})] }),
  one('a delete without a key', { success: [opDelete({})] }),
  one('a put without a key, not taken', { failure: [opPut({ value: 'x' })] }),
  one('the same key twice', { success: [opPut({ key: 'x' }), opPut({ key: 'x' })] }),
  one('the same key twice, not taken', { failure: [opPut({ key: 'x' }), opPut({ key: 'x' })] }),
  one('the same key in both branches', {
    success: [opPut({ key: 'r1' })],
    failure: [opPut({ key: 'r1' })],
  }),
  one('a put and a delete of its key', { success: [opPut({ key: 'x' }), opDelete({ key: 'x' })] }),
  one('a delete of the key and a put', { success: [opDelete({ key: 'x' }), opPut({ key: 'x' })] }),
  one('a put within a deleted range', {
    success: [opDelete({ key: 'x', rangeEnd: 'z' }), opPut({ key: 'y' })],
  }),
  one('a put at the end of a deleted range', {
    success: [opDelete({ key: 'x', rangeEnd: 'z' }), opPut({ key: 'z0' })],
  }),
  one('a put after all is deleted', {
    success: [opDelete({ key: 'w', rangeEnd: '\0' }), opPut({ key: 'x' })],
  }),
  one('a put in a reversed deleted range', {
    success: [opDelete({ key: 'z', rangeEnd: 'x' }), opPut({ key: 'y' })],
  }),
  one('128 operations', { success: many(128) }),
  one('129 operations', { success: many(129) }),
  one('129 operations not taken', { failure: many(129) }),
  one('129 compares', {
    compare: Array.from({ length: 129 }, () => compare('k', 'version', '=', 2)),
    success: yes,
  }),
  one('a missing lease', { success: [opPut({ key: 'x', lease: 9999n })] }),
  one('a missing lease, not taken', { failure: [opPut({ key: 'x', lease: 9999n })], success: yes }),
  script('nothing happens if one operation cannot', async (s) => {
    await s.txn(txn({ success: [opPut({ key: 'r2' }), opPut({ key: 'r3', lease: 9999n })] }));
    await s.txn(txn({ success: [opPut({ key: 'r2' }), opPut({ key: 'r3', ignoreValue: true })] }));
    await s.txn(txn({ success: [opPut({ key: 'r2' }), opPut({ key: 'r3', ignoreLease: true })] }));
    await s.range(range({ key: 'r2', rangeEnd: 'r4' }));
  }),
  one('ignore_value with a value', {
    success: [opPut({ key: 'k', value: 'x', ignoreValue: true })],
  }),
  one('ignore_lease with a lease', {
    success: [opPut({ key: 'k', lease: 1n, ignoreLease: true })],
  }),
  script('ignore_value of a key that the transaction creates', async (s) => {
    await s.txn(
      txn({
        success: [opPut({ key: 'r5', value: '1' }), opTxn({ success: [opRange({ key: 'r5' })] })],
      }),
    );
    await s.txn(
      txn({ success: [opDelete({ key: 'r5' }), opPut({ key: 'r6', ignoreValue: true })] }),
    );
    await s.txn(txn({ success: [opPut({ key: 'r5', ignoreValue: true, prevKv: true })] }));
  }),
  {
    ...one('an unknown sort target', {
      success: [opRange({ key: 'a', rangeEnd: 'z', sortTarget: 9 as 0 })],
    }),
    unfit,
  },
];

/** A transaction inside a transaction, `depth` times. */
function nest(depth: number, inner: Partial<TxnRequest>): Partial<TxnRequest> {
  return depth === 0 ? inner : { success: [opTxn(nest(depth - 1, inner))] };
}

const nested: Case[] = [
  one('a nested put', { success: [opTxn({ success: [opPut({ key: 'n1', value: '1' })] })] }),
  one('a nested read only', { success: [opTxn({ success: yes })] }),
  one('a nested compare sees the state before', {
    success: [
      opPut({ key: 'n2', value: '1' }),
      opTxn({
        compare: [compare('n2', 'version', '=', 0)],
        success: [opPut({ key: 'n3', value: 'before' })],
        failure: [opPut({ key: 'n3', value: 'after' })],
      }),
      opRange({ key: 'n2', rangeEnd: 'n4' }),
    ],
  }),
  one('a nested failure branch', {
    success: [
      opTxn({
        compare: [compare('k', 'version', '=', 99)],
        success: [opPut({ key: 'n4' })],
        failure: [opRange({ key: 'k' }), opPut({ key: 'n5' })],
      }),
    ],
  }),
  one('both branches of a nested one put the same key', {
    success: [opTxn({ success: [opPut({ key: 'n6' })], failure: [opPut({ key: 'n6' })] })],
  }),
  one('a key put outside and inside', {
    success: [opPut({ key: 'n7' }), opTxn({ success: [opPut({ key: 'n7' })] })],
  }),
  one('a key put outside and in a failure branch inside', {
    success: [opPut({ key: 'n7' }), opTxn({ failure: [opPut({ key: 'n7' })] })],
  }),
  one('a key put in two nested ones', {
    success: [
      opTxn({ success: [opPut({ key: 'n8' })] }),
      opTxn({ success: [opPut({ key: 'n8' })] }),
    ],
  }),
  one('a key put inside and deleted outside', {
    success: [opDelete({ key: 'n', rangeEnd: 'o' }), opTxn({ success: [opPut({ key: 'n9' })] })],
  }),
  one('an empty operation inside', { success: [opTxn({ success: [opNothing] })] }),
  one('an empty transaction inside', { success: [opTxn({})] }),
  one('a compare without a key inside', {
    success: [opTxn({ compare: [compare('', 'version', '=', 0)] })],
  }),
  one('operations count for all levels', {
    success: [
      ...many(100),
      opTxn({ success: Array.from({ length: 29 }, () => opRange({ key: 'k' })) }),
    ],
  }),
  one('operations at the limit over two levels', {
    success: [opRange({ key: 'k' }), opTxn({ success: many(127) })],
  }),
  one('operations past the limit over two levels', {
    success: [opRange({ key: 'k' }), opRange({ key: 'k' }), opTxn({ success: many(126) })],
  }),
  one('128 inside one', { success: [opTxn({ success: many(128) })] }),
  one('a missing lease inside', {
    success: [opTxn({ success: [opPut({ key: 'x', lease: 9999n })] })],
  }),
  one('the future inside', {
    success: [opTxn({ success: [opRange({ key: 'k', revision: 99_999 })] })],
  }),
  ...[2, 10, 50, 100].map((depth) =>
    one(`${depth} levels`, nest(depth, { success: [opRange({ key: 'k' })] })),
  ),
  script('events of nested writes share a revision', async (s) => {
    await s.txn(
      txn({
        success: [
          opPut({ key: 'na' }),
          opTxn({ success: [opPut({ key: 'nb' }), opDelete({ key: 'k' })] }),
          opPut({ key: 'nc' }),
        ],
      }),
    );
    const watch = s.watch();
    await watch.created({ key: '\0', rangeEnd: '\0', startRevision: s.base + 1, prevKv: true });
    await watch.take();
    await s.put(put({ key: 'k', value: 'm' }));
    await s.del(del({ key: 'na' }));
  }),
];

export const txnGroups: readonly Group[] = [
  { name: 'txn compare', prepare, cases: [...comparisons(), ...oddCompares] },
  { name: 'txn', prepare, cases: [...orders, ...refused] },
  { name: 'txn nested', prepare, cases: nested },
];
