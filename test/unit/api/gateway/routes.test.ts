import { describe, expect, test } from 'vitest';
import { methodTypes } from '../../../../src/api/gateway/message-type.ts';
import { routes } from '../../../../src/api/gateway/routes.ts';
import * as services from '../../../../src/gen/services.ts';
import { root } from '../../../support/generated-modules.ts';

/** What etcd 3.6 registers (api/etcdserverpb/gw, v3lockpb/gw, v3electionpb/gw), word for word. */
const etcdPaths = `
  /v3/kv/range /v3/kv/put /v3/kv/deleterange /v3/kv/txn /v3/kv/compaction /v3/watch
  /v3/lease/grant /v3/lease/revoke /v3/kv/lease/revoke /v3/lease/keepalive
  /v3/lease/timetolive /v3/kv/lease/timetolive /v3/lease/leases /v3/kv/lease/leases
  /v3/cluster/member/add /v3/cluster/member/remove /v3/cluster/member/update
  /v3/cluster/member/list /v3/cluster/member/promote
  /v3/maintenance/alarm /v3/maintenance/status /v3/maintenance/defragment /v3/maintenance/hash
  /v3/maintenance/hashkv /v3/maintenance/snapshot /v3/maintenance/transfer-leadership
  /v3/maintenance/downgrade
  /v3/auth/enable /v3/auth/disable /v3/auth/status /v3/auth/authenticate
  /v3/auth/user/add /v3/auth/user/get /v3/auth/user/list /v3/auth/user/delete
  /v3/auth/user/changepw /v3/auth/user/grant /v3/auth/user/revoke
  /v3/auth/role/add /v3/auth/role/get /v3/auth/role/list /v3/auth/role/delete
  /v3/auth/role/grant /v3/auth/role/revoke
  /v3/lock/lock /v3/lock/unlock
  /v3/election/campaign /v3/election/proclaim /v3/election/leader /v3/election/observe
  /v3/election/resign`
  .trim()
  .split(/\s+/);

/** Methods that etcd does not serve as JSON either. */
const withoutPath = ['/etcdserverpb.KV/RangeStream', '/grpc.health.v1.Health/'];

const methods = Object.values(services).flatMap(({ methods: all }) =>
  Object.values(all as Record<string, { readonly path: string }>),
);

describe('routes', () => {
  test('are those of etcd', () => {
    expect([...routes.keys()].toSorted()).toEqual(etcdPaths.toSorted());
  });

  test('lead to every method, and each to one that exists', () => {
    const paths = methods.map(({ path }) => path);
    const wanted = paths.filter((path) => !withoutPath.some((prefix) => path.startsWith(prefix)));
    expect([...new Set(routes.values())].toSorted()).toEqual(wanted.toSorted());
  });

  test.each([
    ['/v3/kv/lease/revoke', '/etcdserverpb.Lease/LeaseRevoke'],
    ['/v3/kv/compaction', '/etcdserverpb.KV/Compact'],
    ['/v3/maintenance/transfer-leadership', '/etcdserverpb.Maintenance/MoveLeader'],
    ['/v3/auth/user/changepw', '/etcdserverpb.Auth/UserChangePassword'],
    ['/v3/auth/role/revoke', '/etcdserverpb.Auth/RoleRevokePermission'],
    ['/v3/election/observe', '/v3electionpb.Election/Observe'],
  ])('%s is %s', (path, method) => {
    expect(routes.get(path)).toBe(method);
  });
});

test('types are those of proto/', () => {
  for (const { path } of methods) {
    const [, service = '', name = ''] = path.split('/');
    const method = root.lookupService(service).methods[name];
    method?.resolve();
    const types = methodTypes(path);
    for (const [ours, theirs] of [
      [types.request, method?.resolvedRequestType],
      [types.response, method?.resolvedResponseType],
    ] as const) {
      const fields = [...ours.fields.values()].map(({ name: field, number }) => [field, number]);
      expect(fields).toEqual(
        theirs?.fieldsArray.toSorted((a, b) => a.id - b.id).map((field) => [field.name, field.id]),
      );
    }
  }
});

test('JSON names are those that protoc makes', () => {
  const { request } = methodTypes('/etcdserverpb.Auth/UserAdd');
  expect([...request.fieldsByName.keys()]).toEqual([
    'name',
    'password',
    'options',
    'hashedPassword',
  ]);
  const { fieldsByName } = methodTypes('/etcdserverpb.KV/Range').request;
  expect(fieldsByName.get('minCreateRevision')).toBe(fieldsByName.get('min_create_revision'));
  const member = methodTypes('/etcdserverpb.Cluster/MemberUpdate').request;
  expect([...member.fieldsByName.keys()]).toEqual(['ID', 'peerURLs']);
});
