/** What programs that speak to etcd over HTTP alone do, step by step, as their sources have it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ClusterProcess } from '../support/cluster-process.ts';
import { base64, type JsonAnswer, JsonStream, post } from '../support/gateway-calls.ts';
import { startQuorate } from '../support/quorate.ts';

let cluster: ClusterProcess;
let url: string;

beforeAll(async () => {
  cluster = await startQuorate();
  url = `http://${cluster.addresses[0] ?? ''}`;
});
afterAll(() => cluster.stop());

const json = { 'content-type': 'application/json' };

type Body = JsonAnswer['body'];
interface Kv {
  readonly key: string;
  readonly value: string;
  readonly mod_revision: string;
}

async function rpc(path: string, fields: unknown): Promise<Body> {
  const { status, body } = await post(url, path, fields, json);
  expect(status).toBe(200);
  return body;
}

const text = (value: string | undefined): string => Buffer.from(value ?? '', 'base64').toString();
const kvsOf = (body: Body): readonly Kv[] => (body['kvs'] ?? []) as readonly Kv[];
const revisionOf = (body: Body): string => (body['header'] as { revision: string }).revision;

/** The end of all keys that begin with `key`. */
function prefixEnd(key: string): string {
  const bytes = Buffer.from(key);
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) + 1;
  return bytes.toString('base64');
}

describe('Patroni', () => {
  const prefix = '/service/batman/';
  const key = (name: string): string => base64(prefix + name);

  test('learns the version and the members', async () => {
    const version = (await (await fetch(`${url}/version`)).json()) as Record<string, string>;
    for (const name of ['etcdserver', 'etcdcluster']) {
      expect(version[name]).toMatch(/^3\.[4-9]\d*\.\d+$/);
    }
    const body = await rpc('/v3/cluster/member/list', {});
    const members = body['members'] as { clientURLs: string[] }[];
    expect(members.flatMap(({ clientURLs }) => clientURLs)).toEqual([url]);
    expect(body['header']).toMatchObject({ cluster_id: expect.stringMatching(/^\d+$/) as string });
  });

  test('races for leadership and writes by revision', async () => {
    const put = { key: key('leader'), value: base64('node1') };
    const race = {
      compare: [{ key: put.key, target: 'CREATE', create_revision: '0' }],
      success: [{ request_put: put }],
    };
    expect((await rpc('/v3/kv/txn', race))['succeeded']).toBe(true);
    expect((await rpc('/v3/kv/txn', race))['succeeded']).toBeUndefined();

    const [leader] = kvsOf(await rpc('/v3/kv/range', { key: put.key, serializable: true }));
    expect(text(leader?.value)).toBe('node1');
    const byRevision = (revision: string): unknown => ({
      compare: [{ key: put.key, target: 'MOD', mod_revision: revision }],
      success: [{ request_put: { ...put, value: base64('node2') } }],
    });
    expect((await rpc('/v3/kv/txn', byRevision('1')))['succeeded']).toBeUndefined();
    expect((await rpc('/v3/kv/txn', byRevision(leader?.mod_revision ?? '')))['succeeded']).toBe(
      true,
    );
  });

  test('updates a key if it is its own, in a transaction within another', async () => {
    const named = { key: key('status') };
    const update = (value: string): unknown => ({
      compare: [{ ...named, target: 'CREATE', create_revision: '0' }],
      success: [{ request_put: { ...named, value: base64('first') } }],
      failure: [
        {
          request_txn: {
            compare: [{ ...named, target: 'VALUE', value: base64(value) }],
            success: [{ request_put: { ...named, value: base64('second') } }],
            failure: [{ request_range: named }],
          },
        },
      ],
    });
    await rpc('/v3/kv/txn', update('first'));
    await rpc('/v3/kv/txn', update('other'));
    expect(text(kvsOf(await rpc('/v3/kv/range', named))[0]?.value)).toBe('first');
    await rpc('/v3/kv/txn', update('first'));
    expect(text(kvsOf(await rpc('/v3/kv/range', named))[0]?.value)).toBe('second');
  });

  test('keeps a cache by a watch from the revision that it has read', async () => {
    await rpc('/v3/kv/put', { key: key('config'), value: base64('{}') });
    const body = await rpc('/v3/kv/range', {
      key: base64(prefix),
      range_end: prefixEnd(prefix),
      serializable: true,
    });
    expect(kvsOf(body).map((kv) => text(kv.key))).toContain(`${prefix}config`);
    const create = {
      key: base64(prefix),
      range_end: prefixEnd(prefix),
      start_revision: revisionOf(body),
      filters: [],
    };
    const stream = new JsonStream(url, '/v3/watch', json).send({ create_request: create }).end();
    try {
      expect(await stream.next()).toMatchObject({ result: { created: true } });
      await rpc('/v3/kv/put', { key: key('failover'), value: base64('now') });
      await rpc('/v3/kv/deleterange', { key: key('failover') });
      const seen: string[] = [];
      while (seen.at(-1) !== 'DELETE failover') {
        const line = (await stream.next()) as { result: { events: { type?: string; kv: Kv }[] } };
        for (const { type, kv } of line.result.events) {
          seen.push(`${type ?? 'PUT'} ${text(kv.key).slice(prefix.length)}`);
        }
      }
      // The last revision that was read comes again.
      expect(seen).toEqual(['PUT config', 'PUT failover', 'DELETE failover']);
    } finally {
      stream.close();
    }
  });

  test('keeps its leader key alive with a lease', async ({ skip }) => {
    const granted = await post(url, '/v3/lease/grant', { TTL: 30 }, json);
    if (granted.status === 501) skip('leases are not served yet');
    const id = granted.body['ID'] as string;
    await rpc('/v3/kv/put', { key: key('members/a'), value: base64('x'), lease: id });
    const { body } = await post(url, '/v3/lease/keepalive', { ID: id }, json);
    expect(body).toMatchObject({ result: { ID: id, TTL: '30' } });
    // No TTL: the lease is lost.
    const lost = await post(url, '/v3/lease/keepalive', { ID: '1' }, json);
    expect((lost.body['result'] as Body)['TTL']).toBeUndefined();
  });

  test('finds the message of a refusal, in old copies too', async () => {
    const { body, status } = await post(url, '/v3/kv/range', {}, json);
    expect(status).toBe(400);
    expect(body).toMatchObject({
      error: 'etcdserver: key is not provided',
      message: 'etcdserver: key is not provided',
      code: 3,
    });
  });
});

describe('APISIX', () => {
  test('reads and writes with camelCase names', async () => {
    const name = base64('/apisix/routes/1');
    const body = { key: name, value: base64('{"uri":"/x"}'), prevKv: true, lease: 0 };
    expect((await rpc('/v3/kv/put', body))['prev_kv']).toBeUndefined();
    expect((await rpc('/v3/kv/put', body))['prev_kv']).toMatchObject({ key: name });
    const listed = await rpc('/v3/kv/range', {
      key: base64('/apisix/routes/'),
      rangeEnd: prefixEnd('/apisix/routes/'),
      limit: 0,
      sortOrder: 'ASCEND',
      sortTarget: 'CREATE',
      keysOnly: false,
    });
    expect(kvsOf(listed).map((kv) => text(kv.value))).toEqual(['{"uri":"/x"}']);
  });

  test('compares and sets', async () => {
    const named = { key: base64('/apisix/upstreams/1') };
    const answer = await rpc('/v3/kv/txn', {
      compare: [{ ...named, result: 'EQUAL', target: 'CREATE', createRevision: 0 }],
      success: [{ requestPut: { ...named, value: base64('a') } }],
      failure: [{ requestRange: named }],
    });
    expect(answer['succeeded']).toBe(true);
  });

  test('watches its directory and closes the connection to stop', async () => {
    const stream = new JsonStream(url, '/v3/watch').send({
      create_request: {
        key: base64('/apisix/'),
        range_end: prefixEnd('/apisix/'),
        prev_kv: true,
        progress_notify: true,
      },
    });
    stream.end();
    expect(await stream.next()).toMatchObject({ result: { created: true } });
    await rpc('/v3/kv/put', { key: base64('/apisix/routes/2'), value: base64('b') });
    const line = (await stream.next()) as { result: { events: { kv: Kv }[] } };
    expect(line.result.events.map(({ kv }) => text(kv.value))).toEqual(['b']);
    stream.close();
    await expect
      .poll(async () => (await (await fetch(`${url}/metrics`)).text()).split('\n'))
      .toContain('etcd_debugging_mvcc_watcher_total 0');
  });

  test('revokes leases under the older path', async ({ skip }) => {
    const granted = await post(url, '/v3/lease/grant', { TTL: 60, ID: 0 });
    if (granted.status === 501) skip('leases are not served yet');
    const ID = granted.body['ID'];
    expect((await rpc('/v3/kv/lease/leases', {}))['leases']).toContainEqual({ ID });
    await rpc('/v3/kv/lease/revoke', { ID });
    expect((await rpc('/v3/kv/lease/leases', {}))['leases'] ?? []).not.toContainEqual({ ID });
  });
});

describe('changes of members', () => {
  interface JsonMember {
    readonly ID: string;
    readonly peerURLs: readonly string[];
    readonly isLearner?: boolean;
  }
  const path = '/v3/cluster/member';
  const membersOf = (body: Body): readonly JsonMember[] => body['members'] as JsonMember[];
  const peerUrl = 'http://127.0.0.1:1';

  test('add, update, promote and remove a learner', async () => {
    const added = await rpc(`${path}/add`, { peerURLs: [peerUrl], isLearner: true });
    const { ID: id } = added['member'] as JsonMember;
    expect(added['member']).toEqual({ ID: id, peerURLs: [peerUrl], isLearner: true });
    expect(id).toMatch(/^\d+$/);
    expect(membersOf(added)).toHaveLength(2);
    // The answers of this service carry no revision.
    expect(added['header']).not.toHaveProperty('revision');

    const again = await post(url, `${path}/add`, { peerURLs: [peerUrl] }, json);
    expect(again.status).toBe(400);
    expect(again.body).toMatchObject({
      code: 9,
      message: expect.stringMatching(/exist/) as string,
    });

    const moved = await rpc(`${path}/update`, { ID: id, peerURLs: ['http://127.0.0.1:2'] });
    const { peerURLs } = membersOf(moved).find(({ ID }) => ID === id) ?? {};
    expect(peerURLs).toEqual(['http://127.0.0.1:2']);

    const promoted = await post(url, `${path}/promote`, { ID: id }, json);
    expect(promoted.status).toBe(400);
    expect(promoted.body).toMatchObject({
      code: 9,
      message: 'etcdserver: can only promote a learner member which is in sync with leader',
    });

    expect(membersOf(await rpc(`${path}/remove`, { ID: id }))).toHaveLength(1);
    expect(membersOf(await rpc(`${path}/list`, { linearizable: true }))).toHaveLength(1);
    const gone = await post(url, `${path}/remove`, { ID: id }, json);
    expect(gone.status).toBe(404);
    expect(gone.body).toMatchObject({ code: 5, message: 'etcdserver: member not found' });
  });
});

describe('flags', () => {
  test('take the gateway away', async () => {
    const other = await startQuorate({ flags: ['--enable-grpc-gateway=false'] });
    try {
      const response = await fetch(`http://${other.addresses[0] ?? ''}/v3/kv/range`, {
        method: 'POST',
        body: '{}',
      });
      expect(response.status).toBe(404);
      expect(await response.text()).toBe('404 page not found\n');
    } finally {
      await other.stop();
    }
  });

  test('name hosts and origins', async () => {
    const flags = ['--host-whitelist=localhost,127.0.0.1', '--cors=http://ui.example:80'];
    const other = await startQuorate({ flags });
    try {
      const address = `http://${other.addresses[0] ?? ''}`;
      const call = (headers: Record<string, string>): Promise<JsonAnswer> =>
        post(address, '/v3/maintenance/status', {}, { ...json, ...headers });
      expect((await call({})).status).toBe(200);
      expect((await call({ origin: 'http://ui.example' })).status).toBe(200);
      expect((await call({ origin: 'http://evil.example' })).status).toBe(403);
    } finally {
      await other.stop();
    }
  });
});
