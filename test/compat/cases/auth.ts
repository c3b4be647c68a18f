/** Users, roles, permissions: with authentication off, then on. */
import { Permission } from '../../../src/gen/auth.ts';
import { Auth, Cluster, KV, Lease, Maintenance } from '../../../src/gen/services.ts';
import { AuthUserAddRequest } from '../../../src/gen/rpc.ts';
import { compare, del, opDelete, opPut, opRange, put, range, txn } from '../messages.ts';
import type { Case, Group } from '../pair.ts';
import type { CallNotes, Session } from '../session.ts';

const auth = Auth.methods;

const script = (name: string, run: (session: Session) => Promise<unknown>): Case => ({
  name,
  run: async (session) => {
    await run(session);
  },
});

const addUser = (
  s: Session,
  name: string,
  password: string,
  notes?: CallNotes,
  options?: { noPassword: boolean },
): Promise<unknown> =>
  s.call(auth.userAdd, AuthUserAddRequest.create({ name, password, options }), notes);

type Kind = 0 | 1 | 2;
const kinds = { read: 0, write: 1, readwrite: 2 } as const;

const grantPermission = (
  s: Session,
  role: string,
  kind: Kind,
  key: string,
  rangeEnd = '',
  notes?: CallNotes,
): Promise<unknown> =>
  s.call(
    auth.roleGrantPermission,
    {
      name: role,
      perm: Permission.create({
        permType: kind,
        key: Buffer.from(key, 'latin1'),
        rangeEnd: Buffer.from(rangeEnd, 'latin1'),
      }),
    },
    notes,
  );

const revokePermission = (s: Session, role: string, key: string, rangeEnd = ''): Promise<unknown> =>
  s.call(auth.roleRevokePermission, {
    role,
    key: Buffer.from(key, 'latin1'),
    rangeEnd: Buffer.from(rangeEnd, 'latin1'),
  });

const administration: Case[] = [
  script('users', async (s) => {
    await addUser(s, 'u1', 'secret');
    await addUser(s, 'u1', 'secret');
    await addUser(s, '', 'secret');
    await addUser(s, 'u2', '');
    await addUser(s, 'u3', '', {}, { noPassword: true });
    await addUser(s, 'u4', 'x', {}, { noPassword: true });
    await s.call(auth.userGet, { name: 'u1' });
    await s.call(auth.userGet, { name: 'nobody' });
    await s.call(auth.userGet, { name: '' });
    await s.call(auth.userList, {});
    await s.call(auth.userChangePassword, { name: 'u1', password: 'other', hashedPassword: '' });
    await s.call(auth.userChangePassword, { name: 'nobody', password: 'x', hashedPassword: '' });
    await s.call(auth.userChangePassword, { name: 'u1', password: '', hashedPassword: '' });
    await s.call(auth.userDelete, { name: 'u1' });
    await s.call(auth.userDelete, { name: 'u1' });
    await s.call(auth.userDelete, { name: 'u2' });
    await s.call(auth.userDelete, { name: 'u3' });
    await s.call(auth.userDelete, { name: 'u4' });
    await s.call(auth.userList, {});
  }),
  script('roles', async (s) => {
    await s.call(auth.roleAdd, { name: 'r1' });
    await s.call(auth.roleAdd, { name: 'r1' });
    await s.call(auth.roleAdd, { name: '' });
    await s.call(auth.roleGet, { role: 'r1' });
    await s.call(auth.roleGet, { role: 'none' });
    await s.call(auth.roleList, {});
    await s.call(auth.roleDelete, { role: 'none' });
    await s.call(auth.roleDelete, { role: 'r1' });
    await s.call(auth.roleList, {});
  }),
  script('roles of users', async (s) => {
    await addUser(s, 'u1', 'x');
    await s.call(auth.roleAdd, { name: 'r2' });
    await s.call(auth.roleAdd, { name: 'r1' });
    await s.call(auth.userGrantRole, { user: 'u1', role: 'r2' });
    await s.call(auth.userGrantRole, { user: 'u1', role: 'r1' });
    await s.call(auth.userGrantRole, { user: 'u1', role: 'r1' });
    await s.call(auth.userGrantRole, { user: 'nobody', role: 'r1' });
    await s.call(auth.userGrantRole, { user: 'u1', role: 'none' });
    await s.call(auth.userGet, { name: 'u1' });
    await s.call(auth.userRevokeRole, { name: 'u1', role: 'r2' });
    await s.call(auth.userRevokeRole, { name: 'u1', role: 'r2' });
    await s.call(auth.userRevokeRole, { name: 'nobody', role: 'r1' });
    await s.call(auth.roleDelete, { role: 'r1' });
    await s.call(auth.userGet, { name: 'u1' });
    await s.call(auth.userDelete, { name: 'u1' });
    await s.call(auth.roleDelete, { role: 'r2' });
  }),
  script('permissions of roles', async (s) => {
    await s.call(auth.roleAdd, { name: 'r1' });
    await grantPermission(s, 'r1', kinds.read, 'b');
    await grantPermission(s, 'r1', kinds.write, 'a', 'c');
    await grantPermission(s, 'r1', kinds.readwrite, 'x', '\0');
    await grantPermission(s, 'r1', kinds.readwrite, 'b');
    await grantPermission(s, 'none', kinds.read, 'b');
    await grantPermission(s, 'r1', 7 as 0, 'b');
    await grantPermission(s, 'r1', kinds.read, '');
    await grantPermission(s, 'r1', kinds.read, 'z', 'y');
    await grantPermission(s, 'r1', kinds.read, 'z', 'z');
    await s.call(auth.roleGet, { role: 'r1' });
    await revokePermission(s, 'r1', 'a', 'c');
    await revokePermission(s, 'r1', 'a', 'c');
    await revokePermission(s, 'r1', 'b');
    await revokePermission(s, 'none', 'b');
    await s.call(auth.roleGet, { role: 'r1' });
    await s.call(auth.roleDelete, { role: 'r1' });
  }),
  {
    ...script('a permission that is missing', async (s) => {
      await s.call(auth.roleAdd, { name: 'r3' });
      await s.call(auth.roleGrantPermission, { name: 'r3', perm: undefined });
      await s.call(auth.roleDelete, { role: 'r3' });
    }),
    unfit: /^3\.4\./,
  },
  script('enabling needs root', async (s) => {
    await s.call(auth.authEnable, {});
    await addUser(s, 'root', 'pw');
    await s.call(auth.authEnable, {});
    await s.call(auth.userGrantRole, { user: 'root', role: 'root' });
    await s.call(auth.roleAdd, { name: 'root' });
    await s.call(auth.userGrantRole, { user: 'root', role: 'root' });
    await s.call(auth.authDisable, {});
    await s.call(auth.authenticate, { name: 'root', password: 'pw' });
    await s.call(auth.authStatus, {});
    await s.call(auth.roleGet, { role: 'root' });
    await s.call(auth.userGet, { name: 'root' });
  }),
];

/**
 * Enables authentication with root and a user of each kind of permission, and disables it after.
 */
const enabled = (name: string, run: (s: Session, root: CallNotes) => Promise<void>): Case =>
  script(name, async (s) => {
    for (const user of ['reader', 'writer', 'both', 'none']) {
      await addUser(s, user, `pw-${user}`);
      await s.call(auth.roleAdd, { name: `role-${user}` });
      await s.call(auth.userGrantRole, { user, role: `role-${user}` });
    }
    await grantPermission(s, 'role-reader', kinds.read, 'a', 'n');
    await grantPermission(s, 'role-writer', kinds.write, 'a', 'n');
    await grantPermission(s, 'role-both', kinds.readwrite, 'a', 'h');
    await grantPermission(s, 'role-both', kinds.readwrite, 'h', 'n');
    await grantPermission(s, 'role-both', kinds.read, 'z');
    await s.call(auth.authEnable, {});
    const metadata = await s.login('root', 'pw');
    try {
      await run(s, { metadata });
    } finally {
      await s.call(auth.authDisable, {}, { metadata });
      for (const user of ['reader', 'writer', 'both', 'none']) {
        await s.call(auth.userDelete, { name: user });
        await s.call(auth.roleDelete, { role: `role-${user}` });
      }
    }
  });

const users = ['reader', 'writer', 'both', 'none'] as const;

const access: Case[] = [
  enabled('without a token and with a wrong one', async (s, root) => {
    for (const notes of [{}, { metadata: { token: 'nonsense' } }, { metadata: { token: '' } }]) {
      await s.put(put({ key: 'a', value: '1' }), notes);
      await s.range(range({ key: 'a' }), notes);
      await s.del(del({ key: 'a' }), notes);
      await s.txn(txn({ success: [opRange({ key: 'a' })] }), notes);
      await s.grant(1n, 600, notes);
      await s.call(auth.userList, {}, notes);
      await s.call(KV.methods.compact, { revision: 1, physical: false }, notes);
    }
    await s.range(range({ key: 'a' }), root);
    const token = root.metadata?.['token'] ?? '';
    await s.range(range({ key: 'a' }), { metadata: { authorization: token } });
    await s.range(range({ key: 'a' }), { metadata: { authorization: `Bearer ${token}` } });
  }),
  enabled('wrong passwords', async (s) => {
    for (const [name, password] of [
      ['reader', 'wrong'],
      ['nobody', 'x'],
      ['', 'x'],
      ['reader', ''],
      ['root', 'PW'],
    ] as const) {
      await s.call(auth.authenticate, { name, password });
    }
  }),
  ...users.map((user) =>
    enabled(`reads and writes of ${user}`, async (s, root) => {
      await s.put(put({ key: 'c', value: 'c' }), root);
      const notes = { metadata: await s.login(user, `pw-${user}`) };
      for (const [key, rangeEnd] of [
        ['c', ''],
        ['a', 'n'],
        ['a', 'o'],
        ['g', 'i'],
        ['z', ''],
        ['a', '\0'],
        ['n', ''],
      ] as const) {
        await s.range(range({ key, rangeEnd }), notes);
        await s.range(range({ key, rangeEnd, serializable: true }), notes);
      }
      await s.put(put({ key: 'c', value: 'x' }), notes);
      await s.put(put({ key: 'c', value: 'x', prevKv: true }), notes);
      await s.put(put({ key: 'z', value: 'x' }), notes);
      await s.del(del({ key: 'c', prevKv: true }), notes);
      await s.del(del({ key: 'c' }), notes);
      await s.del(del({ key: 'a', rangeEnd: 'z' }), notes);
    }),
  ),
  ...users.map((user) =>
    enabled(`transactions of ${user}`, async (s) => {
      const notes = { metadata: await s.login(user, `pw-${user}`) };
      const always = compare('c', 'version', '>', -1);
      await s.txn(txn({ success: [opRange({ key: 'c' })] }), notes);
      await s.txn(txn({ compare: [always], success: [opPut({ key: 'c' })] }), notes);
      await s.txn(txn({ success: [opPut({ key: 'c', prevKv: true })] }), notes);
      await s.txn(txn({ success: [opDelete({ key: 'c', prevKv: true })] }), notes);
      await s.txn(txn({ success: [opRange({ key: 'z' }), opRange({ key: 'b' })] }), notes);
      await s.txn(txn({ compare: [compare('z', 'version', '=', 0)] }), notes);
      await s.txn(txn({ failure: [opPut({ key: 'zz' })] }), notes);
    }),
  ),
  ...users.map((user) =>
    enabled(`what only root may do, by ${user}`, async (s) => {
      const notes = { metadata: await s.login(user, `pw-${user}`) };
      await s.call(auth.userList, {}, notes);
      await s.call(auth.userGet, { name: user }, notes);
      await s.call(auth.userGet, { name: 'root' }, notes);
      await s.call(auth.roleList, {}, notes);
      await s.call(auth.roleGet, { role: `role-${user}` }, notes);
      await s.call(auth.roleGet, { role: 'root' }, notes);
      await addUser(s, 'more', 'x', notes);
      await s.call(auth.userDelete, { name: 'root' }, notes);
      await s.call(
        auth.userChangePassword,
        { name: user, password: 'x', hashedPassword: '' },
        notes,
      );
      await s.call(auth.roleAdd, { name: 'more' }, notes);
      await grantPermission(s, `role-${user}`, kinds.readwrite, 'z', '', notes);
      await s.call(auth.authDisable, {}, notes);
      await s.call(KV.methods.compact, { revision: 1, physical: false }, notes);
      await s.call(Maintenance.methods.moveLeader, { targetId: 1n }, notes);
      await s.call(Maintenance.methods.hash, {}, { ...notes, mask: ['hash'] });
      await s.call(Maintenance.methods.alarm, { action: 0, memberId: 0n, alarm: 0 }, notes);
      await s.call(Cluster.methods.memberAdd, { peerUrls: [], isLearner: false }, notes);
      await s.call(auth.authStatus, {}, notes);
    }),
  ),
  enabled('leases', async (s, root) => {
    const writer = { metadata: await s.login('writer', 'pw-writer') };
    const reader = { metadata: await s.login('reader', 'pw-reader') };
    await s.grant(60n, 600, reader);
    await s.put(put({ key: 'c', lease: 60n }), writer);
    await s.put(put({ key: 'c', lease: 60n }), reader);
    await s.timeToLive(60n, true, writer.metadata);
    await s.timeToLive(60n, true, reader.metadata);
    await s.timeToLive(60n, false, writer.metadata);
    await s.revoke(60n, reader);
    await s.put(put({ key: 'zz', lease: 60n }), root);
    await s.put(put({ key: 'd', lease: 60n }), writer);
    await s.revoke(60n, writer);
    await s.call(Lease.methods.leaseLeases, {}, reader);
    await s.revoke(60n, root);
    await s.revoke(61n, reader);
  }),
  enabled('a change of password ends the tokens of the user', async (s, root) => {
    const notes = { metadata: await s.login('both', 'pw-both') };
    await s.put(put({ key: 'c' }), notes);
    await s.call(
      auth.userChangePassword,
      { name: 'both', password: 'n', hashedPassword: '' },
      root,
    );
    await s.put(put({ key: 'c' }), notes);
    await s.login('both', 'pw-both');
    await s.put(put({ key: 'c' }), { metadata: await s.login('both', 'n') });
  }),
  enabled('a deleted user and a revoked role', async (s, root) => {
    const both = { metadata: await s.login('both', 'pw-both') };
    const reader = { metadata: await s.login('reader', 'pw-reader') };
    await s.call(auth.userRevokeRole, { name: 'reader', role: 'role-reader' }, root);
    await s.range(range({ key: 'c' }), reader);
    await s.call(auth.userDelete, { name: 'both' }, root);
    await s.range(range({ key: 'c' }), both);
    await s.call(auth.userDelete, { name: 'root' }, root);
    await s.call(auth.userRevokeRole, { name: 'root', role: 'root' }, root);
    await s.call(auth.roleDelete, { role: 'root' }, root);
  }),
  enabled('watches', async (s, root) => {
    const reader = await s.login('reader', 'pw-reader');
    const watch = s.watch(reader);
    await watch.created({ key: 'c' });
    await watch.created({ key: 'z' });
    await watch.created({ key: 'a', rangeEnd: '\0' });
    await watch.created({ key: 'c', prevKv: true });
    await s.put(put({ key: 'c', value: 'seen' }), root);
    await watch.takeUnordered(2);
    const without = s.watch();
    await without.created({ key: 'c' });
    const writer = s.watch(await s.login('writer', 'pw-writer'));
    await writer.created({ key: 'c' });
    const wrong = s.watch({ token: 'nonsense' });
    await wrong.created({ key: 'c' });
  }),
  enabled('the status of one who may do nothing', async (s) => {
    const notes = { metadata: await s.login('none', 'pw-none') };
    const mask = ['raftIndex', 'raftAppliedIndex', 'dbSize', 'dbSizeInUse', 'version', 'leader'];
    const newer = ['storageVersion', 'dbSizeQuota', 'downgradeInfo'];
    await s.call(
      Maintenance.methods.status,
      {},
      { ...notes, mask: [...mask, ...newer, 'raftTerm'] },
    );
    await s.call(
      Cluster.methods.memberList,
      { linearizable: false },
      { ...notes, mask: ['members'] },
    );
  }),
];

export const authGroup: Group = {
  name: 'auth',
  cases: [...administration, ...access],
};
