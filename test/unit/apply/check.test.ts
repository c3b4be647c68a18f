import { expect, test } from 'vitest';
import { checkDeleteRange, checkPut, checkRange, checkTxn } from '../../../src/apply/check.ts';
import { utf8 } from '../../../src/base/bytes.ts';
import {
  Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  type RequestOp,
  TxnRequest,
} from '../../../src/gen/rpc.ts';

const operationsLimit = 4;

function put(key: string): RequestOp {
  return {
    request: {
      case: 'requestPut',
      value: PutRequest.create({ key: utf8(key) }),
    },
  };
}
function remove(key: string, end = ''): RequestOp {
  const value = DeleteRangeRequest.create({
    key: utf8(key),
    rangeEnd: utf8(end),
  });
  return { request: { case: 'requestDeleteRange', value } };
}
function get(key: string): RequestOp {
  return {
    request: {
      case: 'requestRange',
      value: RangeRequest.create({ key: utf8(key) }),
    },
  };
}
function nested(success: RequestOp[], failure: RequestOp[] = []): RequestOp {
  return {
    request: {
      case: 'requestTxn',
      value: TxnRequest.create({ success, failure }),
    },
  };
}
function check(success: RequestOp[], failure: RequestOp[] = []): () => void {
  return () => {
    checkTxn(TxnRequest.create({ success, failure }), operationsLimit);
  };
}
const duplicate = 'duplicate key given in txn request';
const tooMany = 'too many operations in txn request';

test('requests without a key are refused', () => {
  for (const refused of [
    () => {
      checkRange(RangeRequest.create());
    },
    () => {
      checkPut(PutRequest.create());
    },
    () => {
      checkDeleteRange(DeleteRangeRequest.create());
    },
    check([put('')]),
    check([get('')]),
    check([remove('')]),
    check([nested([put('')])]),
    () => {
      checkTxn(TxnRequest.create({ compare: [Compare.create()] }), operationsLimit);
    },
  ]) {
    expect(refused).toThrow('etcdserver: key is not provided');
  }
});

test('unknown sort orders and targets are refused', () => {
  const key = utf8('a');
  for (const wrong of [
    { sortOrder: 3 },
    { sortOrder: -1 },
    { sortTarget: 5 },
    { sortTarget: -1 },
  ]) {
    expect(() => {
      checkRange(RangeRequest.create({ key, ...(wrong as object) }));
    }).toThrow('etcdserver: invalid sort option');
  }
  checkRange(RangeRequest.create({ key, sortOrder: 2, sortTarget: 4 }));
});

test('a put that ignores value or lease brings none', () => {
  const key = utf8('a');
  expect(() => {
    checkPut(PutRequest.create({ key, ignoreValue: true, value: utf8('v') }));
  }).toThrow('etcdserver: value is provided');
  expect(() => {
    checkPut(PutRequest.create({ key, ignoreLease: true, lease: 1n }));
  }).toThrow('etcdserver: lease is provided');
  checkPut(PutRequest.create({ key, ignoreValue: true, ignoreLease: true }));
});

test('an operation without content is refused as a missing key', () => {
  expect(check([{ request: undefined }])).toThrow('etcdserver: key not found');
});

test('the longest of compares and branches counts against the limit', () => {
  const four = ['a', 'b', 'c', 'd'].map(get);
  expect(check(four, four)).not.toThrow();
  expect(check([...four, get('e')])).toThrow(tooMany);
  expect(check([], [...four, get('e')])).toThrow(tooMany);
  const compare = Array.from({ length: 5 }, () => Compare.create({ key: utf8('a') }));
  expect(() => {
    checkTxn(TxnRequest.create({ compare }), operationsLimit);
  }).toThrow(tooMany);
});

test('a nested txn gets what its parent leaves of the limit', () => {
  expect(check([nested([get('a'), get('b'), get('c')])])).not.toThrow();
  expect(check([nested([get('a'), get('b'), get('c'), get('d')])])).toThrow(tooMany);
  expect(check([nested([nested([nested([get('a')])])])])).not.toThrow();
  expect(check([nested([nested([nested([nested([get('a')])])])])])).toThrow(tooMany);
});

test('a key put twice, or put and deleted, is refused', () => {
  expect(check([put('a'), put('a')])).toThrow(duplicate);
  expect(check([put('a'), put('b')])).not.toThrow();
  expect(check([put('a'), remove('a')])).toThrow(duplicate);
  expect(check([remove('a'), put('a')])).toThrow(duplicate);
  expect(check([remove('a', 'c'), put('b')])).toThrow(duplicate);
  expect(check([remove('a', 'c'), put('c')])).not.toThrow();
  expect(check([remove('a', 'c'), remove('b', 'd')])).not.toThrow();
  expect(check([put('a')], [put('a')])).not.toThrow();
  expect(check([get('a')], [put('a'), put('a')])).toThrow(duplicate);
});

test('nested puts and deletes count with those of the level above', () => {
  expect(check([put('a'), nested([put('a')])])).toThrow(duplicate);
  expect(check([put('a'), nested([], [put('a')])])).toThrow(duplicate);
  expect(check([nested([put('a')]), nested([put('a')])])).toThrow(duplicate);
  expect(check([nested([put('a')], [put('a')])])).not.toThrow();
  expect(check([remove('a', 'c'), nested([put('b')])])).toThrow(duplicate);
  expect(check([put('b'), nested([remove('a', 'c')])])).toThrow(duplicate);
  expect(check([nested([remove('a', 'c')]), nested([put('b')])])).toThrow(duplicate);
});

test('as in etcd, a delete from a key on is compared as a range that ends at the zero byte', () => {
  expect(check([remove('a', '\0'), put('b')])).not.toThrow();
});
