import { describe, expect, test } from 'vitest';
import { utf8 } from '../../../src/base/bytes.ts';
import { printerFor } from '../../../src/cli/printers/index.ts';
import type { Printer, PrinterOptions } from '../../../src/cli/printers/printer.ts';
import { Terminal } from '../../../src/cli/terminal.ts';
import { EventType, KeyValue } from '../../../src/gen/kv.ts';
import {
  AlarmResponse,
  AlarmType,
  DowngradeResponse,
  HashKVResponse,
  Member,
  MemberListResponse,
  RangeResponse,
  ResponseHeader,
  StatusResponse,
  TxnResponse,
} from '../../../src/gen/rpc.ts';

/** What a format prints, all in one text. */
async function printed(
  format: string,
  print: (printer: Printer) => void,
  options: PrinterOptions = { hex: false },
): Promise<string> {
  const parts: Uint8Array[] = [];
  const terminal = new Terminal({
    environment: {},
    input: (async function* () {})(),
    write: async (bytes) => void parts.push(bytes),
    warn: (text) => parts.push(utf8(`stderr: ${text}`)),
  });
  const printer = await printerFor(format, terminal, options);
  if (printer === undefined) throw new Error(`there is no format ${format}`);
  print(printer);
  await terminal.flush();
  return Buffer.concat(parts).toString('latin1');
}

// Ids above 2^53 must not be rounded.
const header = ResponseHeader.create({
  clusterId: 15_875_391_935_852_295_137n,
  memberId: 7_383_792_418_829_112_009n,
  revision: 7,
  raftTerm: 2,
});

const kv = KeyValue.create({
  key: Uint8Array.of(0x61, 0xff),
  value: utf8('v'),
  createRevision: 3,
  modRevision: 5,
  version: 2,
  lease: 0x32695410dcc0ca06n,
});

const range = RangeResponse.create({ header, kvs: [kv], more: true, count: 4 });

describe('a range', () => {
  const print = (printer: Printer): void => printer.range(range);

  test('simple', async () => {
    expect(await printed('simple', print)).toBe('a\xff\nv\n');
    expect(await printed('simple', print, { hex: true })).toBe('\\x61\\xff\n\\x76\n');
  });

  test('json', async () => {
    expect(await printed('json', print)).toBe(
      '{"header":{"cluster_id":15875391935852295137,"member_id":7383792418829112009,"revision":7,' +
        '"raft_term":2},"kvs":[{"key":"Yf8=","create_revision":3,"mod_revision":5,"version":2,' +
        '"value":"dg==","lease":3632527005850847750}],"more":true,"count":4}\n',
    );
    expect(await printed('json', (p) => p.range(RangeResponse.create()))).toBe('{}\n');
  });

  test('fields', async () => {
    const lines = (await printed('fields', print, { hex: true })).split('\n');
    expect(lines).toEqual([
      '"ClusterID" : dc50d1d8cb8d3921'.replace(/\w+$/, header.clusterId.toString(16)),
      `"MemberID" : ${header.memberId.toString(16)}`,
      '"Revision" : 7',
      '"RaftTerm" : 2',
      '"Key" : "a\\xff"',
      '"CreateRevision" : 3',
      '"ModRevision" : 5',
      '"Version" : 2',
      '"Value" : "v"',
      '"Lease" : 32695410dcc0ca06',
      '"More" : true',
      '"Count" : 4',
      '',
    ]);
  });

  test('protobuf', async () => {
    const bytes = Buffer.from(await printed('protobuf', print), 'latin1');
    expect(RangeResponse.encode(RangeResponse.decode(bytes))).toEqual(bytes);
  });

  test('not as a table', async () => {
    await expect(printed('table', print)).rejects.toMatchObject({
      code: 4,
      message: 'table not supported as output format',
    });
  });
});

test('a txn in json names its answers as etcd 3.6 does, nested ones too', async () => {
  const inner = TxnResponse.create({ succeeded: true });
  const txn = TxnResponse.create({
    header: ResponseHeader.create({ revision: 7 }),
    responses: [
      { response: { case: 'responseRange', value: RangeResponse.create({ count: 1 }) } },
      { response: { case: 'responsePut', value: { header: undefined, prevKv: kv } } },
      {
        response: {
          case: 'responseDeleteRange',
          value: { header: undefined, deleted: 2, prevKvs: [] },
        },
      },
      { response: { case: 'responseTxn', value: inner } },
    ],
  });
  const text = await printed('json', (printer) => printer.txn(txn));
  expect(text).toBe(
    '{"header":{"revision":7},"responses":[{"Response":{"response_range":{"count":1}}},' +
      '{"Response":{"response_put":{"prev_kv":{"key":"Yf8=","create_revision":3,"mod_revision":5,' +
      '"version":2,"value":"dg==","lease":3632527005850847750}}}},' +
      '{"Response":{"response_delete_range":{"deleted":2}}},' +
      '{"Response":{"response_txn":{"succeeded":true}}}]}\n',
  );
});

test('the end of a watch in json', async () => {
  const view = { header, events: [], compactRevision: 5, canceled: true, created: false };
  expect(await printed('json', (printer) => printer.watch(view))).toBe(
    '{"Header":{"cluster_id":15875391935852295137,"member_id":7383792418829112009,"revision":7,' +
      '"raft_term":2},"Events":[],"CompactRevision":5,"Canceled":true,"Created":false}\n',
  );
});

test('events', async () => {
  const view = {
    header,
    events: [
      { type: EventType.put, kv, prevKv: undefined },
      {
        type: EventType.delete,
        kv: KeyValue.create({ key: utf8('k'), modRevision: 8 }),
        prevKv: kv,
      },
    ],
    compactRevision: 0,
    canceled: false,
    created: false,
  };
  expect(await printed('simple', (printer) => printer.watch(view))).toBe(
    'PUT\na\xff\nv\nDELETE\na\xff\nv\nk\n\n',
  );
});

describe('members', () => {
  const list = MemberListResponse.create({
    header: ResponseHeader.create({ clusterId: 1n, memberId: 0xabn, raftTerm: 3 }),
    members: [
      Member.create({
        id: 0xabn,
        name: '<m1>',
        peerUrls: ['http://p:1', 'http://p:2'],
        clientUrls: ['http://c:1'],
      }),
      Member.create({ id: 0xcdn, isLearner: true }),
    ],
  });
  const print = (printer: Printer): void => printer.memberList(list);

  test('simple', async () => {
    expect(await printed('simple', print)).toBe(
      'ab, started, <m1>, http://p:1,http://p:2, http://c:1, false\ncd, unstarted, , , , true\n',
    );
  });

  test('json, with ids in hex too', async () => {
    expect(await printed('json', print)).toBe(
      '{"header":{"cluster_id":1,"member_id":171,"raft_term":3},"members":[{"ID":171,' +
        '"name":"\\u003cm1\\u003e","peerURLs":["http://p:1","http://p:2"],' +
        '"clientURLs":["http://c:1"]},{"ID":205,"isLearner":true}]}\n',
    );
    expect(await printed('json', print, { hex: true })).toBe(
      '{"header":{"cluster_id":"1","member_id":"ab","raft_term":3},"members":[{"ID":"ab",' +
        '"name":"\\u003cm1\\u003e","peerURLs":["http://p:1","http://p:2"],' +
        '"clientURLs":["http://c:1"]},{"ID":"cd","name":"","peerURLs":null,"clientURLs":null,' +
        '"isLearner":true}]}\n',
    );
  });

  test('table', async () => {
    expect((await printed('table', print)).split('\n')).toEqual([
      '+----+-----------+------+-----------------------+--------------+------------+',
      '| ID |  STATUS   | NAME |      PEER ADDRS       | CLIENT ADDRS | IS LEARNER |',
      '+----+-----------+------+-----------------------+--------------+------------+',
      '| ab |   started | <m1> | http://p:1,http://p:2 |   http://c:1 |      false |',
      '| cd | unstarted |      |                       |              |       true |',
      '+----+-----------+------+-----------------------+--------------+------------+',
      '',
    ]);
  });
});

describe('endpoints', () => {
  const status = StatusResponse.create({
    header,
    version: '3.6.14',
    storageVersion: '3.6.0',
    dbSize: 2240,
    dbSizeInUse: 1100,
    dbSizeQuota: 2_147_483_648,
    leader: header.memberId,
    raftIndex: 9,
    raftTerm: 2,
    raftAppliedIndex: 8,
    errors: ['e1', 'e2'],
    downgradeInfo: { enabled: true, targetVersion: '3.5' },
  });
  const id = header.memberId.toString(16);

  test('status', async () => {
    const list = [{ endpoint: 'h:1', status }];
    expect(await printed('simple', (printer) => printer.endpointStatus(list))).toBe(
      `h:1, ${id}, 3.6.14, 3.6.0, 2.2 kB, 1.1 kB, 51%, 2.1 GB, true, false, ` +
        '2, 9, 8, e1, e2, 3.5, true\n',
    );
    const text = await printed('json', (printer) => printer.endpointStatus(list));
    expect(text).toContain('"dbSizeQuota":2147483648,"downgradeInfo":{"enabled":true,');
    expect(await printed('fields', (printer) => printer.endpointStatus(list))).toContain(
      '"Errors" : [e1 e2]\n"Endpoint" : "h:1"\n"DowngradeTargetVersion" : "3.5"\n',
    );
  });

  test('of an empty store nothing is unused', async () => {
    const list = [{ endpoint: 'h:1', status: StatusResponse.create({ header }) }];
    const text = await printed('simple', (printer) => printer.endpointStatus(list));
    expect(text).toContain(', 0 B, 0 B, 0%, 0 B, ');
  });

  test('health: the sound on standard output, the others on standard error', async () => {
    const list = [
      { endpoint: 'a:1', isHealthy: true, took: '1ms', error: '' },
      { endpoint: 'b:1', isHealthy: false, took: '2s', error: 'context deadline exceeded' },
    ];
    const text = await printed('simple', (printer) => printer.endpointHealth(list));
    expect(text).toContain('a:1 is healthy: successfully committed proposal: took = 1ms\n');
    expect(text).toContain(
      'stderr: b:1 is unhealthy: failed to commit proposal: context deadline exceeded\n',
    );
    expect(await printed('json', (printer) => printer.endpointHealth(list))).toBe(
      '[{"endpoint":"a:1","health":true,"took":"1ms"},' +
        '{"endpoint":"b:1","health":false,"took":"2s","error":"context deadline exceeded"}]\n',
    );
    expect(await printed('json', (printer) => printer.endpointHealth([]))).toBe('null\n');
  });

  test('hash', async () => {
    const hash = HashKVResponse.create({ header, hash: 42, compactRevision: -1, hashRevision: 7 });
    const list = [{ endpoint: 'a:1', hash }];
    expect(await printed('simple', (p) => p.endpointHash(list))).toBe('a:1, 42, 7\n');
    expect(await printed('json', (p) => p.endpointHash(list))).toContain(
      '"hash":42,"compact_revision":-1,"hash_revision":7}}]\n',
    );
  });
});

describe('alarms', () => {
  const alarms = [
    { memberId: 7_383_792_418_829_112_009n, alarm: AlarmType.nospace },
    { memberId: 0n, alarm: AlarmType.corrupt },
  ];
  const print = (printer: Printer): void =>
    printer.alarms(AlarmResponse.create({ header, alarms }));

  test('simple, as Go prints them', async () => {
    expect(await printed('simple', print)).toBe(
      'memberID:7383792418829112009 alarm:NOSPACE \nalarm:CORRUPT \n',
    );
  });

  test('json', async () => {
    const printedHeader =
      '{"cluster_id":15875391935852295137,"member_id":7383792418829112009,' +
      '"revision":7,"raft_term":2}';
    expect(await printed('json', print)).toBe(
      `{"header":${printedHeader},"alarms":[{"memberID":7383792418829112009,"alarm":1},` +
        '{"alarm":2}]}\n',
    );
    const none = await printed('json', (printer) => printer.alarms(AlarmResponse.create()));
    expect(none).toBe('{}\n');
  });

  test('fields', async () => {
    const text = await printed('fields', print);
    expect(text.split('\n').slice(4)).toEqual([
      '"MemberID" : 7383792418829112009',
      '"AlarmType" : NOSPACE',
      '',
      '"MemberID" : 0',
      '"AlarmType" : CORRUPT',
      '',
      '',
    ]);
  });

  test('not in a table', async () => {
    await expect(printed('table', print)).rejects.toThrow('table not supported as output format');
  });
});

test('a downgrade', async () => {
  const response = DowngradeResponse.create({ header, version: '3.6' });
  const print = (printer: Printer): void => printer.downgrade('validate', response);
  expect(await printed('simple', print)).toBe('Downgrade validate success, cluster version 3.6\n');
  expect(await printed('json', print)).toMatch(/^\{"header":\{.*\},"version":"3\.6"\}\n$/);
});

test('a leader that was moved', async () => {
  const print = (printer: Printer): void =>
    printer.moveLeader(0xabcn, 0xdefn, { header: undefined });
  expect(await printed('simple', print)).toBe('Leadership transferred from abc to def\n');
  expect(await printed('json', print)).toBe('{}\n');
});
