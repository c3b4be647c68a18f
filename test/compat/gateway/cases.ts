/** Requests to the gateway that a real etcd answers too. */
import { base64 } from '../../support/gateway-calls.ts';

export interface GatewayRequest {
  readonly path: string;
  /** Text is sent as it is. */
  readonly body: unknown;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface GatewayCase {
  readonly name: string;
  /** Keys begin with `key`, which is the case's own. */
  requests(key: string): readonly GatewayRequest[];
  /** Number of lines to read of each answer, which has no end of its own. */
  readonly lines?: number;
}

const put = (key: string, fields: object = {}): GatewayRequest => ({
  path: '/v3/kv/put',
  body: { key: base64(key), value: base64('v'), ...fields },
});
const range = (key: string, fields: object = {}): GatewayRequest => ({
  path: '/v3/kv/range',
  body: { key: base64(key), ...fields },
});
const txn = (body: object): GatewayRequest => ({ path: '/v3/kv/txn', body });
const prefixEnd = (key: string): string => base64(`${key}~`);

const kv: readonly GatewayCase[] = [
  {
    name: 'put, range and delete',
    requests: (key) => [
      put(key),
      put(key, { prev_kv: true, value: base64('w') }),
      put(key, { prevKv: true, value: null }),
      range(key),
      range(key, { serializable: true, revision: '1' }),
      { path: '/v3/kv/deleterange', body: { key: base64(key), prev_kv: true } },
      { path: '/v3/kv/deleterange', body: { key: base64(key) } },
      range(key),
    ],
  },
  {
    name: 'ranges with options',
    requests: (key) => [
      put(`${key}1`),
      put(`${key}2`, { value: base64('a') }),
      put(`${key}3`, { value: base64('b') }),
      ...[
        {},
        { limit: 2 },
        { limit: '2', sort_order: 'DESCEND' },
        { sortOrder: 1, sortTarget: 4 },
        { sort_order: 'DESCEND', sort_target: 'MOD' },
        { count_only: true },
        { keysOnly: true },
        { max_create_revision: '1' },
      ].map((options) => range(key, { range_end: prefixEnd(key), ...options })),
    ],
  },
  {
    name: 'bytes of all kinds',
    requests: (key) => [
      put(key, { value: Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString('base64') }),
      range(key),
      put(key, { value: '' }),
      range(key),
    ],
  },
  {
    name: 'transactions, one within the other',
    requests: (key) => {
      const named = { key: base64(key) };
      const nested = {
        compare: [{ ...named, target: 'MOD', result: 'GREATER', mod_revision: '0' }],
        success: [{ request_range: named }, { request_delete_range: { ...named, prevKv: true } }],
      };
      const create = txn({
        compare: [{ ...named, target: 'CREATE', create_revision: '0' }],
        success: [{ request_put: { ...named, value: base64('x') } }],
        failure: [{ requestTxn: nested }],
      });
      return [
        create,
        create,
        create,
        txn({ compare: [{ ...named, target: 'VALUE', result: 'EQUAL', value: base64('x') }] }),
        txn({ compare: [{ ...named, target: 0, result: 3, version: 7 }] }),
        txn({}),
      ];
    },
  },
  {
    name: 'refusals of KV',
    requests: (key) => [
      range(''),
      range(key, { revision: '999999999' }),
      put(''),
      put(key, { ignore_value: true, value: '' }),
      put(key, { lease: '77777' }),
      txn({
        success: Array.from({ length: 2 }, () => ({ request_put: { key: base64(key) } })),
      }),
      txn({
        success: Array.from({ length: 129 }, () => ({ request_range: { key: base64(key) } })),
      }),
      { path: '/v3/kv/compaction', body: { revision: '999999999' } },
    ],
  },
  {
    name: 'bodies without fields',
    requests: () => [
      { path: '/v3/kv/range', body: '' },
      { path: '/v3/kv/range', body: '  {}  ' },
      { path: '/v3/cluster/member/list', body: '' },
    ],
  },
  {
    name: 'fields that are not known',
    requests: (key) => [put(key, { other: { a: [1, '}'] } }), range(key, { x: null })],
  },
  {
    name: 'the old prefix',
    requests: (key) => [{ ...put(key), path: '/v3beta/kv/put' }],
  },
  {
    name: 'what follows the request',
    requests: (key) => [
      { path: '/v3/kv/range', body: `{"key":"${base64(key)}"}{"key":5}` },
      { path: '/v3/kv/range', body: `{"key":"${base64(key)}"} nonsense` },
    ],
  },
];

const malformed: readonly GatewayCase[] = [
  'nonsense',
  '{',
  '[]',
  '5',
  '{"key":5}',
  '{"key":"a"}',
  '{"key":["YQ=="]}',
  '{"limit":"x"}',
  '{"limit":1.5}',
  '{"limit":9223372036854775808}',
  '{"serializable":"true"}',
  '{"serializable":1}',
].map((body) => ({
  name: `malformed ${body}`,
  requests: () => [{ path: '/v3/kv/range', body }],
}));

const others: readonly GatewayCase[] = [
  {
    name: 'members and status',
    requests: () => [
      { path: '/v3/cluster/member/list', body: {} },
      { path: '/v3/cluster/member/list', body: { linearizable: true } },
      { path: '/v3/maintenance/status', body: {} },
      { path: '/v3/maintenance/alarm', body: { action: 'GET' } },
    ],
  },
  {
    name: 'maintenance',
    requests: () => [
      { path: '/v3/maintenance/defragment', body: {} },
      { path: '/v3/maintenance/transfer-leadership', body: { targetID: '404' } },
      { path: '/v3/maintenance/alarm', body: { action: 'ACTIVATE', memberID: 9, alarm: 1 } },
      { path: '/v3/maintenance/alarm', body: { alarm: 'NOSPACE' } },
      { path: '/v3/maintenance/alarm', body: { alarm: 'CORRUPT' } },
      {
        path: '/v3/maintenance/alarm',
        body: { action: 'DEACTIVATE', memberID: '9', alarm: 'NOSPACE' },
      },
    ],
  },
  {
    name: 'changes of members that are refused',
    requests: () => [
      { path: '/v3/cluster/member/add', body: { peerURLs: ['nonsense'] } },
      { path: '/v3/cluster/member/add', body: '' },
      { path: '/v3/cluster/member/remove', body: { ID: '404' } },
      { path: '/v3/cluster/member/remove', body: { ID: 404 } },
      { path: '/v3/cluster/member/update', body: { ID: '404', peerURLs: ['http://127.0.0.1:1'] } },
      { path: '/v3/cluster/member/promote', body: { ID: '404' } },
    ],
  },
  {
    name: 'paths and methods',
    requests: () => [
      { path: '/v3/nothing', body: {} },
      { path: '/v3/kv/put/', body: {} },
      { path: '/v3/kv/put', body: undefined, method: 'GET' },
      { path: '/v3/kv/put', body: {}, method: 'PUT' },
    ],
  },
  {
    name: 'timeouts',
    requests: (key) => [
      { ...put(key), headers: { 'grpc-timeout': 'soon' } },
      { ...put(key), headers: { 'grpc-timeout': '30S' } },
    ],
  },
  {
    name: 'leases',
    requests: (key) => [
      { path: '/v3/lease/grant', body: { TTL: 60, ID: '123456789012345678' } },
      put(key, { lease: '123456789012345678' }),
      put(key, { lease: 123456789012345 }),
      range(key),
      { path: '/v3/lease/keepalive', body: { ID: '123456789012345678' } },
      { path: '/v3/lease/keepalive', body: { ID: '5' } },
      { path: '/v3/lease/timetolive', body: { ID: '123456789012345678', keys: true } },
      { path: '/v3/kv/lease/timetolive', body: { ID: '5' } },
      { path: '/v3/lease/leases', body: {} },
      { path: '/v3/kv/lease/leases', body: {} },
      { path: '/v3/lease/grant', body: { TTL: '60', ID: 123456789012345678n.toString() } },
      { path: '/v3/kv/lease/revoke', body: { ID: '123456789012345678' } },
      { path: '/v3/lease/revoke', body: { ID: '123456789012345678' } },
      range(key),
    ],
  },
  {
    name: 'authentication that is off',
    requests: () => [
      { path: '/v3/auth/authenticate', body: { name: 'root', password: 'x' } },
      { path: '/v3/auth/user/add', body: { name: 'u', password: 'p' } },
      { path: '/v3/auth/user/list', body: {} },
      { path: '/v3/auth/role/add', body: { name: 'r' } },
      {
        path: '/v3/auth/role/grant',
        body: { name: 'r', perm: { permType: 'READWRITE', key: base64('a'), range_end: 'Yg==' } },
      },
      { path: '/v3/auth/role/get', body: { role: 'r' } },
      { path: '/v3/auth/user/delete', body: { name: 'u' } },
      { path: '/v3/auth/role/delete', body: { role: 'r' } },
    ],
  },
  {
    name: 'locks and elections',
    requests: (key) => [
      { path: '/v3/lease/grant', body: { TTL: 60, ID: '42' } },
      { path: '/v3/lock/lock', body: { name: base64(key), lease: '42' } },
      { path: '/v3/lock/unlock', body: { key: base64(`${key}/2a`) } },
      { path: '/v3/election/leader', body: { name: base64(key) } },
      { path: '/v3/election/campaign', body: { name: base64(key), lease: '42', value: 'YQ==' } },
      { path: '/v3/election/leader', body: { name: base64(key) } },
      { path: '/v3/election/proclaim', body: {} },
      { path: '/v3/lease/revoke', body: { ID: '42' } },
    ],
  },
];

const watch = (body: unknown): GatewayRequest => ({ path: '/v3/watch', body });

const streams: readonly GatewayCase[] = [
  {
    name: 'a watch of the past',
    lines: 2,
    requests: (key) => [
      watch({
        create_request: { key: base64(key), start_revision: '1', prev_kv: true, filters: [] },
      }),
      watch({
        createRequest: {
          key: base64(key),
          rangeEnd: prefixEnd(key),
          startRevision: 1,
          filters: ['NOPUT'],
        },
      }),
      watch({ create_request: { key: base64(key), start_revision: 1, watch_id: '7' } }),
    ],
  },
  {
    name: 'two watches in one body',
    lines: 2,
    requests: (key) => [
      watch(
        `{"create_request":{"key":"${base64(`${key}x`)}","watch_id":5}}
         {"create_request":{"key":"${base64(`${key}y`)}","watch_id":6}}`,
      ),
      watch(`{"create_request":{"key":"${base64(`${key}x`)}"}}{"cancel_request":{"watch_id":"0"}}`),
    ],
  },
  {
    name: 'a watch of an empty range',
    lines: 1,
    requests: (key) => [
      watch({ create_request: { key: base64(`${key}b`), range_end: base64(`${key}a`) } }),
    ],
  },
];

/** What a leader of an election says of itself, told to those who observe it. */
const observed: GatewayCase = {
  name: 'an observed election',
  lines: 1,
  requests: (key) => [{ path: '/v3/election/observe', body: { name: base64(key) } }],
};

export const cases: readonly GatewayCase[] = [...kv, ...malformed, ...others];
export const streamCases: readonly GatewayCase[] = [...streams, observed];

/** Done before the streams, which show it. */
export const history = (key: string): readonly GatewayRequest[] => [
  put(key),
  put(key, { value: base64('w') }),
  { path: '/v3/kv/deleterange', body: { key: base64(key) } },
  put(`${key}2`),
  { path: '/v3/lease/grant', body: { TTL: '60', ID: '43' } },
  { path: '/v3/election/campaign', body: { name: base64(key), lease: '43', value: 'YQ==' } },
];
