/** Messages in JSON, both ways; what protojson takes and refuses is known from its own sources. */
import { describe, expect, test } from 'vitest';
import { JsonMessageError } from '../../../../src/api/gateway/json-cursor.ts';
import { encodeJson } from '../../../../src/api/gateway/json-to-wire.ts';
import { messageType } from '../../../../src/api/gateway/message-type.ts';
import { jsonOf, jsonPieces } from '../../../../src/api/gateway/wire-to-json.ts';
import { fromLatin1, latin1 } from '../../../../src/base/bytes.ts';
import * as rpc from '../../../../src/gen/rpc.ts';

const types = {
  put: messageType('etcdserverpb.PutRequest'),
  range: messageType('etcdserverpb.RangeRequest'),
  rangeAnswer: messageType('etcdserverpb.RangeResponse'),
  txn: messageType('etcdserverpb.TxnRequest'),
  watch: messageType('etcdserverpb.WatchRequest'),
  members: messageType('etcdserverpb.MemberUpdateRequest'),
};

const put = (json: string): rpc.PutRequest =>
  rpc.PutRequest.decode(encodeJson(Buffer.from(json), types.put));
const range = (json: string): rpc.RangeRequest =>
  rpc.RangeRequest.decode(encodeJson(Buffer.from(json), types.range));
const txn = (json: string): rpc.TxnRequest =>
  rpc.TxnRequest.decode(encodeJson(Buffer.from(json), types.txn));

function refusal(json: string | Buffer, type = types.put): string {
  try {
    encodeJson(Buffer.from(json), type);
  } catch (error) {
    if (error instanceof JsonMessageError) return error.message;
    throw error;
  }
  throw new Error('accepted');
}

describe('names of fields', () => {
  test.each(['{"range_end":"Yg=="}', '{"rangeEnd":"Yg=="}', String.raw`{"range\u005fend":"Yg=="}`])(
    'may be %s',
    (json) => {
      expect(latin1(range(json).rangeEnd)).toBe('b');
    },
  );

  test('that are not known are ignored, whatever they hold', () => {
    const values = ['1', '"\\"}"', 'null', '[]', '{}', '[{"a":[1,{"b":"]"}]},2]', '-1.5e9', 'true'];
    for (const value of values) {
      const { key, prevKv } = put(`{"x": ${value} , "key":"YQ==","X":${value},"prev_kv":true}`);
      expect(latin1(key)).toBe('a');
      expect(prevKv).toBe(true);
    }
  });

  test('may not come twice, under either name', () => {
    expect(refusal('{"key":"YQ==",\n "key":"YQ=="}')).toBe(
      'proto: (line 2:2): duplicate field "key"',
    );
    expect(refusal('{"prev_kv":true,"prevKv":null}')).toMatch(/duplicate field "prevKv"$/);
  });

  test('are exact', () => {
    expect(put('{"Key":"YQ==","KEY":"YQ=="}').key).toHaveLength(0);
  });
});

describe('null', () => {
  test('is no value', () => {
    const { key, lease, ignoreValue } = put('{"key":null,"lease":null,"ignore_value":null}');
    expect([key.length, lease, ignoreValue]).toEqual([0, 0n, false]);
    expect(txn('{"compare":null,"success":null}').compare).toEqual([]);
  });

  test('is no element of a list', () => {
    expect(refusal('{"compare":[null]}', types.txn)).toBe(
      'proto: syntax error (line 1:13): unexpected token null',
    );
    expect(refusal('{"peerURLs":[null]}', types.members)).toMatch(
      /invalid value for string field peerURLs: null$/,
    );
  });
});

describe('integers', () => {
  test.each([
    ['5', 5n],
    ['"5"', 5n],
    ['7587862094938478600', 7587862094938478600n],
    ['"7587862094938478600"', 7587862094938478600n],
    ['9223372036854775807', 2n ** 63n - 1n],
    ['-9223372036854775808', -(2n ** 63n)],
    ['"-0"', 0n],
    ['1e3', 1000n],
    ['1.5e1', 15n],
    ['10.00', 10n],
    ['500E-2', 5n],
    ['0e99999999999', 0n],
  ])('%s is one', (text, value) => {
    expect(put(`{"lease":${text}}`).lease).toBe(value);
  });

  test.each([
    '9223372036854775808',
    '1.5',
    '1e30',
    '5e-1',
    '1e99999999999999999999',
    '"x"',
    '""',
    '" 5"',
    '"5 "',
    '"1 2"',
    '"0x10"',
    '"+5"',
    '"05"',
    '"\\"5\\""',
    'true',
    '{}',
    '[5]',
  ])('%s is none', (text) => {
    expect(refusal(`{"lease":${text}}`)).toMatch(/^proto: \(line 1:10\): invalid value for int64/);
  });

  test('without sign are not negative', () => {
    expect(refusal('{"ID":-1}', types.members)).toMatch(/invalid value for uint64 field ID: -1$/);
    const wire = encodeJson(Buffer.from('{"ID":18446744073709551615}'), types.members);
    expect(rpc.MemberUpdateRequest.decode(wire).id).toBe(2n ** 64n - 1n);
  });

  test('with very many digits are refused in no time', () => {
    for (const text of ['9'.repeat(1e6), `0.${'0'.repeat(1e6)}1`, `1${'0'.repeat(1e6)}e-5`]) {
      expect(refusal(`{"lease":${text}}`).length).toBeLessThan(300);
    }
  });
});

describe('bytes', () => {
  test.each([
    ['/+8=', 'ff ef'],
    ['_-8=', 'ff ef'],
    ['_-8', 'ff ef'],
    ['/+8', 'ff ef'],
    ['YQ\\r\\n==', '61'],
    ['\\u0059Q==', '61'],
    ['YR==', '61'],
    ['', ''],
  ])('%s are %s', (text, bytes) => {
    expect(Buffer.from(put(`{"key":"${text}"}`).key).toString('hex')).toBe(bytes.replace(' ', ''));
  });

  test.each(['a', 'a b=', 'YQ=', '=', 'YQ==YQ==', '/-8=', 'YQ===', 'é'])('%s are none', (text) => {
    expect(refusal(`{"key":"${text}"}`)).toMatch(/invalid value for bytes field key: /);
  });

  test('are strings', () => {
    expect(refusal('{"key":5}')).toBe('proto: (line 1:8): invalid value for bytes field key: 5');
    expect(refusal('{"key":["YQ=="]}')).toMatch(/bytes field key: \[$/);
  });
});

describe('strings', () => {
  const urls = (json: string): readonly string[] =>
    rpc.MemberUpdateRequest.decode(encodeJson(Buffer.from(json), types.members)).peerUrls;

  test('may have escapes', () => {
    expect(urls(String.raw`{"peerURLs":["\u00e9\ud83d\ude00\n\/", "é😀"]}`)).toEqual([
      'é😀\n/',
      'é😀',
    ]);
  });

  test('are Unicode', () => {
    expect(refusal(String.raw`{"peerURLs":["\ud83d"]}`, types.members)).toMatch(/escape code/);
    const broken = Buffer.concat([
      Buffer.from('{"peerURLs":["'),
      Buffer.of(0xff),
      Buffer.from('"]}'),
    ]);
    expect(refusal(broken, types.members)).toBe(
      'proto: syntax error (line 1:14): invalid UTF-8 in string',
    );
  });
});

describe('enums', () => {
  test.each([
    ['"DESCEND"', 2],
    ['2', 2],
    ['2.0', 2],
    ['77', 77],
    ['"descend"', 0],
    ['"OTHER"', 0],
  ])('%s is %s', (text, value) => {
    expect(range(`{"sort_order":${text}}`).sortOrder).toBe(value);
  });

  test.each(['true', '1.5', '2147483648', '{}'])('%s is none', (text) => {
    expect(refusal(`{"sort_order":${text}}`, types.range)).toMatch(/enum field sortOrder/);
  });

  test('in lists', () => {
    const json = '{"create_request":{"filters":["NOPUT",1,"OTHER"]}}';
    const { requestUnion } = rpc.WatchRequest.decode(encodeJson(Buffer.from(json), types.watch));
    expect(requestUnion?.value).toMatchObject({ filters: [0, 1] });
  });
});

describe('messages', () => {
  test('within messages', () => {
    const json =
      '{"compare":[{"target":"VERSION","key":"YQ==","version":"0"}],' +
      '"success":[{"request_put":{"key":"YQ==","value":"Yg=="}},' +
      '{"requestTxn":{"failure":[{"request_range":{"key":"YQ=="}}]}}]}';
    const { compare, success } = txn(json);
    expect(compare).toMatchObject([{ targetUnion: { case: 'version', value: 0 } }]);
    expect(success).toMatchObject([
      { request: { case: 'requestPut' } },
      { request: { case: 'requestTxn', value: { failure: [{}] } } },
    ]);
  });

  test('hold one of a group', () => {
    expect(refusal('{"compare":[{"version":0,"value":"YQ=="}]}', types.txn)).toBe(
      'proto: (line 1:26): error parsing "value", ' +
        'oneof etcdserverpb.Compare.target_union is already set',
    );
    expect(txn('{"compare":[{"version":null,"value":"YQ=="}]}').compare[0]?.targetUnion?.case).toBe(
      'value',
    );
  });

  test.each(['5', '"x"', '[]', 'true', 'null'])('are no %s', (json) => {
    expect(refusal(json)).toMatch(/^proto: syntax error \(line 1:1\): unexpected token /);
  });

  test('have a depth', () => {
    const nested = (depth: number): string =>
      '{"success":[{"request_txn":'.repeat(depth) + '{}' + '}]}'.repeat(depth);
    expect(txn(nested(400)).success).toHaveLength(1);
    expect(refusal(nested(600), types.txn)).toBe('exceeded max recursion depth');
  });

  test('have lists where lists belong', () => {
    expect(refusal('{"compare":{}}', types.txn)).toMatch(/unexpected token \{$/);
    expect(refusal('{"key":{}}')).toMatch(/bytes field key: \{$/);
  });

  test('refused are shown in part', () => {
    expect(refusal(`{"lease":"${'x'.repeat(1e6)}"}`).length).toBeLessThan(200);
  });
});

describe('answers', () => {
  const kv = { key: fromLatin1('k'), createRevision: 2, modRevision: 3, version: 1, lease: 0n };
  const answer = rpc.RangeResponse.create({
    header: { clusterId: 2n ** 64n - 1n, memberId: 7n, revision: 3, raftTerm: 2 },
    kvs: [
      { ...kv, value: fromLatin1('\xff\xef') },
      { ...kv, value: fromLatin1('') },
    ],
    more: true,
    count: 9,
  });

  test('name fields as proto/ does, and leave out what has no value', () => {
    expect(jsonOf(rpc.RangeResponse.encode(answer), types.rangeAnswer).toString()).toBe(
      '{"header":{"cluster_id":"18446744073709551615","member_id":"7","revision":"3",' +
        '"raft_term":"2"},"kvs":[{"key":"aw==","create_revision":"2","mod_revision":"3",' +
        '"version":"1","value":"/+8="},{"key":"aw==","create_revision":"2","mod_revision":"3",' +
        '"version":"1"}],"more":true,"count":"9"}',
    );
    expect(jsonOf(new Uint8Array(0), types.rangeAnswer).toString()).toBe('{}');
  });

  test('stand between what is before and after them', () => {
    const text = jsonOf(new Uint8Array(0), types.rangeAnswer, '{"result":', '}\n');
    expect(text.toString()).toBe('{"result":{}}\n');
  });

  test('name enums if they can, and escape strings', () => {
    const type = messageType('etcdserverpb.WatchResponse');
    const message = rpc.WatchResponse.create({
      cancelReason: 'a "b"\n\u0001é😀',
      events: [
        { type: 1, kv: { ...kv, value: fromLatin1('') }, prevKv: undefined },
        { type: 5 as 1, kv: undefined, prevKv: undefined },
      ],
    });
    const json = jsonOf(rpc.WatchResponse.encode(message), type).toString();
    expect(JSON.parse(json)).toMatchObject({
      cancel_reason: 'a "b"\n\u0001é😀',
      events: [{ type: 'DELETE' }, { type: 5 }],
    });
  });

  test('that are large come in pieces, one at a time', () => {
    const kvs = Array.from({ length: 2000 }, (_, i) => ({
      ...kv,
      modRevision: i + 1,
      value: Buffer.alloc(i % 500 === 0 ? 200_000 : 300, i),
    }));
    const message = rpc.RangeResponse.encode({ ...answer, kvs });
    const pieces = [...jsonPieces(message, types.rangeAnswer)];
    expect(pieces.length).toBeGreaterThan(10);
    const parsed = JSON.parse(Buffer.concat(pieces).toString()) as { kvs: { value: string }[] };
    expect(parsed.kvs).toHaveLength(2000);
    for (const i of [0, 1, 999, 1500]) {
      expect(parsed.kvs[i]?.value === kvs[i]?.value.toString('base64')).toBe(true);
    }
  });
});
