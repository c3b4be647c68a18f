/** Watch: creation, history, filters, cancellation, progress. */
import { KV } from '../../../src/gen/services.ts';
import { del, opDelete, opPut, put, txn } from '../messages.ts';
import type { Case, Group } from '../pair.ts';
import type { Session } from '../session.ts';

const script = (name: string, run: (session: Session) => Promise<unknown>): Case => ({
  name,
  run: async (session) => {
    await run(session);
  },
});

/** Writes without writing down the answers. */
async function write(s: Session, key: string, ...values: string[]): Promise<void> {
  for (const value of values) await s.client.unary(KV.methods.put, put({ key, value }));
}

async function remove(s: Session, key: string, rangeEnd = ''): Promise<void> {
  await s.client.unary(KV.methods.deleteRange, del({ key, rangeEnd }));
}

const creation: Case[] = [
  script('one key', async (s) => {
    const watch = s.watch();
    await watch.created({ key: 'a' });
    await write(s, 'a', '1', '2');
    await write(s, 'b', '1');
    await remove(s, 'a');
    await watch.takeMany(3);
    await watch.silence();
  }),
  script('a range', async (s) => {
    const watch = s.watch();
    await watch.created({ key: 'b', rangeEnd: 'd' });
    for (const key of ['a', 'b', 'c', 'd', 'b\0', 'c\xff']) await write(s, key, 'v');
    await watch.takeMany(4);
    await watch.silence();
  }),
  script('from a key on', async (s) => {
    const watch = s.watch();
    await watch.created({ key: 'x', rangeEnd: '\0' });
    for (const key of ['w', 'x', '\xff\xff', '\0']) await write(s, key, 'v');
    await watch.takeMany(2);
    await watch.silence();
  }),
  script('everything, by a missing key', async (s) => {
    const watch = s.watch();
    await watch.created({ rangeEnd: '\0' });
    await write(s, 'q', 'v');
    await watch.take();
  }),
  script('a missing key and no end', async (s) => {
    const watch = s.watch();
    await watch.created({});
    await write(s, '\0', 'v');
    await write(s, 'q', 'v');
    await watch.take();
    await watch.silence();
  }),
  script('an empty and a reversed range', async (s) => {
    const watch = s.watch();
    await watch.created({ key: 'b', rangeEnd: 'b' });
    await watch.created({ key: 'c', rangeEnd: 'b' });
    await watch.created({ key: 'c' });
    await write(s, 'c', 'v');
    await watch.take();
  }),
  script('with previous values', async (s) => {
    await remove(s, 'pv');
    const watch = s.watch();
    await watch.created({ key: 'pv', prevKv: true });
    await write(s, 'pv', '1', '2');
    await remove(s, 'pv');
    await write(s, 'pv', '3');
    await watch.takeMany(4);
  }),
  script('without puts, without deletes, without either', async (s) => {
    const watch = s.watch();
    await watch.created({ key: 'f', filters: [0] });
    await watch.created({ key: 'f', filters: [1] });
    await watch.created({ key: 'f', filters: [0, 1] });
    await watch.created({ key: 'f', filters: [1, 1, 9 as 0] });
    await write(s, 'f', '1');
    await remove(s, 'f');
    await watch.takeUnordered(3);
    await watch.silence();
  }),
  script('an unknown request', async (s) => {
    const watch = s.watch();
    watch.sendNothing();
    await watch.created({ key: 'a' });
  }),
];

const ids: Case[] = [
  script('ids are counted', async (s) => {
    const watch = s.watch();
    for (let i = 0; i < 4; i++) await watch.created({ key: 'a' });
  }),
  script('ids of the caller are kept and skipped', async (s) => {
    const watch = s.watch();
    await watch.created({ key: 'a', watchId: 2 });
    await watch.created({ key: 'a' });
    await watch.created({ key: 'a' });
    await watch.created({ key: 'a' });
    await watch.created({ key: 'a', watchId: 70 });
    await watch.created({ key: 'a' });
    await watch.created({ key: 'a', watchId: -3 });
  }),
  script('an id in use', async (s) => {
    const watch = s.watch();
    await watch.created({ key: 'a', watchId: 5 });
    await watch.created({ key: 'b', watchId: 5 });
    await write(s, 'a', '1');
    await watch.take();
    await watch.silence();
  }),
  script('an id used before', async (s) => {
    const watch = s.watch();
    await watch.created({ key: 'a', watchId: 5 });
    watch.cancelWatch(5);
    await watch.take();
    await watch.created({ key: 'a', watchId: 5 });
    await write(s, 'a', '1');
    await watch.take();
  }),
];

const cancellation: Case[] = [
  script('cancel', async (s) => {
    const watch = s.watch();
    await watch.created({ key: 'a' });
    await watch.created({ key: 'a' });
    watch.cancelWatch(0);
    await watch.take();
    await write(s, 'a', '1');
    await watch.take();
    await watch.silence();
  }),
  script('cancel of an unknown id', async (s) => {
    const watch = s.watch();
    watch.cancelWatch(9);
    await watch.silence();
    await watch.created({ key: 'a' });
    watch.cancelWatch(9);
    watch.cancelWatch(0);
    await watch.take();
    watch.cancelWatch(0);
    await watch.silence();
  }),
  script('the end of our side', async (s) => {
    const watch = s.watch();
    await watch.created({ key: 'a' });
    watch.end();
    await s.sleep(100);
    await write(s, 'a', '1');
    await watch.take();
  }),
];

const history: Case[] = [
  script('from a past revision, then live', async (s) => {
    await write(s, 'h', '1', '2');
    await write(s, 'i', '1');
    await remove(s, 'h');
    const watch = s.watch();
    await watch.created({ key: 'h', startRevision: s.base + 1 });
    await watch.events(3);
    await write(s, 'h', '3');
    await watch.take();
  }),
  script('from a past revision, with previous values and filters', async (s) => {
    await write(s, 'h', '1', '2');
    await remove(s, 'h');
    await write(s, 'h', '3');
    const watch = s.watch();
    await watch.created({ key: 'h', startRevision: s.base + 2, prevKv: true, filters: [0] });
    await watch.events(1);
    await watch.created({ key: 'h', startRevision: s.base + 2, prevKv: true, filters: [1] });
    await watch.events(2);
  }),
  script('history without a match', async (s) => {
    await write(s, 'i', '1', '2');
    const watch = s.watch();
    await watch.created({ key: 'nothing', startRevision: s.base + 1 });
    await watch.silence();
    await write(s, 'nothing', '1');
    await watch.take();
  }),
  script('from the present and the next revision', async (s) => {
    await write(s, 'h', '1');
    const watch = s.watch();
    await watch.created({ key: 'h', startRevision: s.base + 1 });
    await watch.events(1);
    await watch.created({ key: 'h', startRevision: s.base + 2 });
    await watch.silence();
    await write(s, 'h', '2');
    await watch.takeUnordered(2);
  }),
  script('from a future revision', async (s) => {
    const watch = s.watch();
    await watch.created({ key: 'h', startRevision: s.base + 3 });
    await write(s, 'h', '1', '2', '3', '4');
    await watch.events(2);
    await watch.silence();
  }),
  script('from the far future', async (s) => {
    const watch = s.watch();
    await watch.created({ key: 'h', startRevision: Number.MAX_SAFE_INTEGER });
    await write(s, 'h', '1');
    await watch.silence();
  }),
  script('many revisions of history', async (s) => {
    for (let i = 0; i < 300; i++) await write(s, `m${i % 7}`, String(i));
    const watch = s.watch();
    await watch.created({ key: 'm', rangeEnd: 'n', startRevision: s.base + 1, prevKv: true });
    await watch.events(300);
  }),
  script('a transaction is delivered whole', async (s) => {
    const watch = s.watch();
    await watch.created({ key: 't', rangeEnd: 'u' });
    const ops = Array.from({ length: 50 }, (_, i) => opPut({ key: `t${i}`, value: String(i) }));
    await s.client.unary(KV.methods.txn, txn({ success: ops }));
    await watch.take();
    const deletion = [opDelete({ key: 't', rangeEnd: 'u' }), opPut({ key: 'v' })];
    await s.client.unary(KV.methods.txn, txn({ success: deletion }));
    await watch.take();
    await watch.created({ key: 't', rangeEnd: 'u', startRevision: s.base + 1 });
    await watch.events(100);
  }),
  script('a large revision in fragments', async (s) => {
    const ops = ['g1', 'g2', 'g3', 'g4', 'g5'].map((key) =>
      opPut({ key, value: 'x'.repeat(300_000) }),
    );
    const watch = s.watch();
    await watch.created({ key: 'g', rangeEnd: 'h', fragment: true, prevKv: true });
    await s.client.unary(KV.methods.txn, txn({ success: ops }));
    await watch.events(5);
    await s.client.unary(KV.methods.txn, txn({ success: ops }));
    await watch.events(5);
    await remove(s, 'g', 'h');
    await watch.events(5);
  }),
];

const compacted: Case[] = [
  script('from a compacted revision', async (s) => {
    await write(s, 'c', '1', '2', '3', '4');
    await s.compact(s.base + 3);
    const watch = s.watch();
    await watch.created({ key: 'c', startRevision: s.base + 2 });
    await watch.take();
    await watch.created({ key: 'c', startRevision: s.base + 3 });
    await watch.events(2);
    await watch.created({ key: 'c', startRevision: 1 });
    await watch.take();
    await write(s, 'c', '5');
    await watch.take();
  }),
  script('the previous value is compacted', async (s) => {
    await write(s, 'c', '1', '2', '3');
    await s.compact(s.base + 2, true);
    const watch = s.watch();
    await watch.created({ key: 'c', startRevision: s.base + 2, prevKv: true });
    await watch.events(2);
  }),
  script('from a negative revision', async (s) => {
    const watch = s.watch();
    await watch.created({ key: 'c', startRevision: -1 });
    await watch.created({ key: 'c' });
    await write(s, 'c', '1');
    await watch.take();
  }),
];

const progress: Case[] = [
  script('progress without a watch', async (s) => {
    const watch = s.watch();
    watch.requestProgress();
    await watch.silence();
  }),
  script('progress of a watch that has caught up', async (s) => {
    const watch = s.watch();
    await watch.created({ key: 'a' });
    await write(s, 'b', '1');
    await s.sleep(200);
    watch.requestProgress();
    await watch.take();
  }),
  script('progress of one that waits for the future', async (s) => {
    const watch = s.watch();
    await watch.created({ key: 'a', startRevision: s.base + 100 });
    await s.sleep(200);
    watch.requestProgress();
    await watch.silence();
  }),
];

export const watchGroup: Group = {
  name: 'watch',
  cases: [...creation, ...ids, ...cancellation, ...history, ...progress, ...compacted],
};
