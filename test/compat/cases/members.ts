/** Cluster and Maintenance on a cluster of one. */
import type { Member } from '../../../src/gen/rpc.ts';
import { Cluster, Maintenance } from '../../../src/gen/services.ts';
import { del, opPut, opRange, put, range, txn } from '../messages.ts';
import type { Case, Group } from '../pair.ts';
import type { Session } from '../session.ts';

const cluster = Cluster.methods;
const maintenance = Maintenance.methods;

const script = (name: string, run: (session: Session) => Promise<unknown>): Case => ({
  name,
  run: async (session) => {
    await run(session);
  },
});

const memberMask = ['id', 'clientUrls'];

/** The only member's own URL differs between the two servers. */
const ownUrl = async (s: Session): Promise<string> => (await ownMember(s)).peerUrls[0] ?? '';

async function ownMember(s: Session): Promise<Member> {
  const { members } = await s.client.unary(cluster.memberList, { linearizable: false });
  const own = members.find(({ name }) => name !== '');
  if (own === undefined) throw new Error('no member has a name');
  return own;
}

const memberCases: Case[] = [
  script('the list', async (s) => {
    const mask = [...memberMask, 'peerUrls'];
    await s.call(cluster.memberList, { linearizable: false }, { mask });
    await s.call(cluster.memberList, { linearizable: true }, { mask });
  }),
  script('adding without and with wrong URLs', async (s) => {
    for (const peerUrls of [
      [],
      [''],
      ['nonsense'],
      ['127.0.0.1:1'],
      ['http://127.0.0.1'],
      ['http://127.0.0.1:1/path'],
      ['ftp://127.0.0.1:1'],
    ]) {
      await s.call(
        cluster.memberAdd,
        { peerUrls, isLearner: false },
        { mask: ['member', 'members'] },
      );
    }
  }),
  script('adding a member that has our URL', async (s) => {
    await s.call(cluster.memberAdd, { peerUrls: [await ownUrl(s)], isLearner: false });
  }),
  script('removing, updating and promoting what is not there', async (s) => {
    await s.call(cluster.memberRemove, { id: 404n });
    await s.call(cluster.memberRemove, { id: 0n });
    await s.call(cluster.memberUpdate, { id: 404n, peerUrls: ['http://127.0.0.1:1'] });
    await s.call(cluster.memberUpdate, { id: 404n, peerUrls: [] });
    await s.call(cluster.memberPromote, { id: 404n });
  }),
  script('promoting a voter', async (s) => {
    await s.call(cluster.memberPromote, { id: (await ownMember(s)).id });
  }),
  script('a learner comes, cannot be promoted, and goes', async (s) => {
    const mask = ['id', 'clientUrls', 'peerUrls'];
    const peerUrls = ['http://127.0.0.1:9'];
    const answer = await s.call(cluster.memberAdd, { peerUrls, isLearner: true }, { mask });
    const id = answer?.member?.id ?? 0n;
    await s.call(cluster.memberAdd, { peerUrls: ['http://127.0.0.1:10'], isLearner: true });
    // Ids are made of URLs and the second: within the same one it is the id that exists.
    await s.sleep(1_100);
    await s.call(cluster.memberAdd, { peerUrls, isLearner: true });
    await s.call(cluster.memberPromote, { id });
    await s.call(cluster.memberUpdate, { id, peerUrls: ['http://127.0.0.1:11'] }, { mask });
    await s.call(cluster.memberRemove, { id }, { mask });
    await s.call(cluster.memberRemove, { id });
  }),
  {
    ...script('leadership does not move to a learner', async (s) => {
      const peerUrls = ['http://127.0.0.1:12'];
      const mask = ['member', 'members'];
      const answer = await s.call(cluster.memberAdd, { peerUrls, isLearner: true }, { mask });
      const id = answer?.member?.id ?? 0n;
      await s.call(maintenance.moveLeader, { targetId: id });
      await s.call(cluster.memberRemove, { id }, { mask });
    }),
    unfit: /^3\.4\./,
  },
  script('updating to a URL of our own', async (s) => {
    const own = await ownMember(s);
    const mask = ['id', 'clientUrls', 'peerUrls'];
    await s.call(cluster.memberUpdate, { id: own.id, peerUrls: own.peerUrls }, { mask });
  }),
];

const statusMask = ['leader', 'raftIndex', 'raftTerm', 'raftAppliedIndex', 'dbSize', 'dbSizeInUse'];

const maintenanceCases: Case[] = [
  script('status', (s) =>
    s.call(maintenance.status, {}, { mask: [...statusMask, 'version', 'storageVersion'] }),
  ),
  script('alarms: none', (s) => s.call(maintenance.alarm, { action: 0, memberId: 0n, alarm: 0 })),
  script('alarms: set, seen, obeyed, cleared', async (s) => {
    const mask = ['memberId'];
    const alarm = (action: 0 | 1 | 2, memberId: bigint, kind: 0 | 1 | 2): Promise<unknown> =>
      s.call(maintenance.alarm, { action, memberId, alarm: kind }, { mask });
    await alarm(1, 5n, 1);
    await alarm(1, 5n, 1);
    await alarm(0, 0n, 0);
    await alarm(0, 0n, 1);
    await alarm(0, 0n, 2);
    await s.put(put({ key: 'alarmed' }));
    await s.put(put({ key: '' }));
    await s.txn(txn({ success: [opPut({ key: 'alarmed' })] }));
    await s.txn(txn({}));
    await s.grant(88n, 600);
    await s.range(range({ key: 'alarmed' }));
    await s.del(del({ key: 'alarmed' }));
    await s.call(maintenance.status, {}, { mask: [...statusMask, 'version', 'storageVersion'] });
    await alarm(2, 6n, 1);
    await alarm(2, 5n, 2);
    await alarm(2, 5n, 1);
    await alarm(2, 5n, 1);
    await s.put(put({ key: 'alarmed' }));
  }),
  script('alarm: corrupt', async (s) => {
    const mask = ['memberId'];
    const alarm = (action: 0 | 1 | 2, memberId: bigint, kind: 0 | 1 | 2): Promise<unknown> =>
      s.call(maintenance.alarm, { action, memberId, alarm: kind }, { mask });
    await alarm(1, 7n, 2);
    await s.put(put({ key: 'corrupt' }));
    await s.range(range({ key: 'corrupt' }));
    await s.del(del({ key: 'corrupt' }));
    await s.txn(txn({ success: [opPut({ key: 'corrupt' })] }));
    await s.compact(2);
    await s.grant(89n, 600);
    await s.revoke(89n);
    await alarm(2, 7n, 2);
    await s.put(put({ key: 'corrupt' }));
  }),
  {
    ...script('alarms of unknown kinds', async (s) => {
      await s.call(maintenance.alarm, { action: 1, memberId: 0n, alarm: 0 });
      await s.call(maintenance.alarm, { action: 2, memberId: 0n, alarm: 0 });
      await s.call(maintenance.alarm, { action: 0, memberId: 0n, alarm: 0 });
    }),
    unfit: /^3\.4\./,
  },
  script('hash of everything', (s) => s.call(maintenance.hash, {}, { mask: ['hash'] })),
  script('defragment', (s) => s.call(maintenance.defragment, {})),
  script('moving leadership to nobody', async (s) => {
    await s.call(maintenance.moveLeader, { targetId: 404n });
    await s.call(maintenance.moveLeader, { targetId: 0n });
  }),
  script('a snapshot ends with its digest', async (s) => {
    const chunks = await s.client.serverStream(maintenance.snapshot, {}).all();
    const last = chunks.at(-1);
    s.note('snapshot', {
      header: chunks[0]?.header === undefined,
      digest: last?.blob.length ?? 0,
      remaining: last?.remainingBytes ?? -1,
    });
  }),
];

const hashCases: Case[] = [
  script('hash of the keys', async (s) => {
    await s.put(put({ key: 'hashed', value: '1' }));
    await s.call(maintenance.hashKv, { revision: 0 });
    await s.call(maintenance.hashKv, { revision: s.base });
    await s.call(maintenance.hashKv, { revision: s.base + 99 });
    await s.call(maintenance.hashKv, { revision: -1 });
    await s.put(put({ key: 'hashed', value: '2' }));
    await s.del(del({ key: 'hashed' }));
    await s.call(maintenance.hashKv, { revision: 0 });
    await s.compact(s.base, true);
    await s.call(maintenance.hashKv, { revision: 0 });
    await s.call(maintenance.hashKv, { revision: s.base - 1 });
  }),
];

/** One case only: nothing can be written to bring two stores to one revision. */
const quotaCases: Case[] = [
  script('a quota in which there is room for nothing', async (s) => {
    const refused = (): Promise<unknown> => s.put(put({ key: 'refused' }));
    await refused();
    await refused();
    await s.txn(txn({ success: [opPut({ key: 'refused' })] }));
    await s.txn(txn({ failure: [opPut({ key: 'refused' })] }));
    await s.txn(txn({ success: [opRange({ key: 'refused' })] }));
    await s.txn(txn({}));
    await s.grant(90n, 600);
    await s.revoke(90n);
    await s.range(range({ key: 'refused' }));
    await s.del(del({ key: 'refused' }));
    await s.compact(1);
    await s.compact(1);
  }),
];

export const memberGroups: readonly Group[] = [
  { name: 'cluster', cases: memberCases },
  { name: 'maintenance', cases: maintenanceCases },
  { name: 'hash', cases: hashCases },
  { name: 'quota', flags: ['--quota-backend-bytes=1'], cases: quotaCases },
];
