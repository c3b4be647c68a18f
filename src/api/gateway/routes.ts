/** Paths of the gateway, all of them for POST (etcd: api/etcdserverpb/gw and its siblings). */
import {
  Auth,
  Cluster,
  Election,
  KV,
  Lease,
  Lock,
  Maintenance,
  Watch,
} from '../../gen/services.ts';

interface Service {
  readonly methods: Readonly<Record<string, { readonly path: string }>>;
}

type Route = readonly [path: string, method: string];

/** Paths behind /v3/ for every method: the compiler asks for those of a new one. */
function pathsOf<Described extends Service>(
  { methods }: Described,
  paths: { readonly [Name in keyof Described['methods']]: readonly string[] },
): readonly Route[] {
  return Object.entries(methods).flatMap(([name, { path }]) =>
    (paths[name] ?? []).map((route) => [`/v3/${route}`, path] as const),
  );
}

/** Paths of methods in gRPC, by those of the gateway. */
export const routes: ReadonlyMap<string, string> = new Map([
  ...pathsOf(KV, {
    range: ['kv/range'],
    // As in etcd 3.7.
    rangeStream: [],
    put: ['kv/put'],
    deleteRange: ['kv/deleterange'],
    txn: ['kv/txn'],
    compact: ['kv/compaction'],
  }),
  ...pathsOf(Watch, { watch: ['watch'] }),
  ...pathsOf(Lease, {
    leaseGrant: ['lease/grant'],
    leaseRevoke: ['lease/revoke', 'kv/lease/revoke'],
    leaseKeepAlive: ['lease/keepalive'],
    leaseTimeToLive: ['lease/timetolive', 'kv/lease/timetolive'],
    leaseLeases: ['lease/leases', 'kv/lease/leases'],
  }),
  ...pathsOf(Cluster, {
    memberAdd: ['cluster/member/add'],
    memberRemove: ['cluster/member/remove'],
    memberUpdate: ['cluster/member/update'],
    memberList: ['cluster/member/list'],
    memberPromote: ['cluster/member/promote'],
  }),
  ...pathsOf(Maintenance, {
    alarm: ['maintenance/alarm'],
    status: ['maintenance/status'],
    defragment: ['maintenance/defragment'],
    hash: ['maintenance/hash'],
    hashKv: ['maintenance/hashkv'],
    snapshot: ['maintenance/snapshot'],
    moveLeader: ['maintenance/transfer-leadership'],
    downgrade: ['maintenance/downgrade'],
  }),
  ...pathsOf(Auth, {
    authEnable: ['auth/enable'],
    authDisable: ['auth/disable'],
    authStatus: ['auth/status'],
    authenticate: ['auth/authenticate'],
    userAdd: ['auth/user/add'],
    userGet: ['auth/user/get'],
    userList: ['auth/user/list'],
    userDelete: ['auth/user/delete'],
    userChangePassword: ['auth/user/changepw'],
    userGrantRole: ['auth/user/grant'],
    userRevokeRole: ['auth/user/revoke'],
    roleAdd: ['auth/role/add'],
    roleGet: ['auth/role/get'],
    roleList: ['auth/role/list'],
    roleDelete: ['auth/role/delete'],
    roleGrantPermission: ['auth/role/grant'],
    roleRevokePermission: ['auth/role/revoke'],
  }),
  ...pathsOf(Lock, { lock: ['lock/lock'], unlock: ['lock/unlock'] }),
  ...pathsOf(Election, {
    campaign: ['election/campaign'],
    proclaim: ['election/proclaim'],
    leader: ['election/leader'],
    observe: ['election/observe'],
    resign: ['election/resign'],
  }),
]);

/** The path of a request under its present name: etcd's older clients say v3beta. */
export function presentPath(path: string): string {
  return path.startsWith('/v3beta/') ? path.replace('/v3beta/', '/v3/') : path;
}
