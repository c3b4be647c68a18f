import { isDeepStrictEqual } from 'node:util';
import protobuf from 'protobufjs';
import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import { type Codec, Reader, WireError, Writer, preencoded } from '../../../src/base/wire.ts';
import * as kv from '../../../src/gen/kv.ts';
import * as rpc from '../../../src/gen/rpc.ts';
import * as services from '../../../src/gen/services.ts';
import { modules, type Plain, root } from '../../support/generated-modules.ts';

const random = new SeededRandom(20_261_124);

type AnyCodec = Codec<Plain>;

const codecs = new Map<string, AnyCodec>();
for (const [packageName, module] of modules) {
  for (const [name, value] of Object.entries(module)) {
    if (typeof value === 'object' && value !== null && 'decode' in value) {
      codecs.set(`${packageName}.${name}`, value as AnyCodec);
    }
  }
}

function messageTypes(namespace: protobuf.NamespaceBase): protobuf.Type[] {
  const types: protobuf.Type[] = namespace instanceof protobuf.Type ? [namespace] : [];
  for (const object of namespace.nestedArray) {
    if (object instanceof protobuf.Namespace) types.push(...messageTypes(object));
  }
  return types;
}
const types = messageTypes(root);

const fold = (name: string): string => name.replaceAll('_', '').toLowerCase();
const chance = (probability: number): boolean => random.next() < probability;

function randomText(): string {
  const alphabet = ['a', 'Z', '0', '\0', 'é', '漢', '😀'];
  return Array.from({ length: random.below(8) }, () => alphabet[random.below(7)]).join('');
}

function randomBytes(): Buffer {
  const length = chance(0.02) ? random.below(40_000) : random.below(40);
  return Buffer.from(Uint8Array.from({ length }, () => random.below(256)));
}

/** A 64-bit integer, with few and with many bits; small enough for a number if `safe`. */
function random64(signed: boolean, safe: boolean): bigint {
  const bits = random.bits64() >> BigInt(random.below(64));
  const value = safe ? bits >> 11n : signed ? BigInt.asIntN(64, bits) : bits;
  return signed && chance(0.3) ? BigInt.asIntN(64, -value) : value;
}

/** What one occurrence of a field holds: in our form, and in protobufjs's. */
function randomValue(field: protobuf.Field, depth: number): { ours: unknown; theirs: unknown } {
  const type = field.resolvedType;
  if (type instanceof protobuf.Type) return randomMessage(type, depth + 1);
  const one = (value: unknown): { ours: unknown; theirs: unknown } => ({
    ours: value,
    theirs: value,
  });
  if (type instanceof protobuf.Enum) return one(chance(0.1) ? 77 : random.below(3));
  switch (field.type) {
    case 'bytes':
      return one(randomBytes());
    case 'string':
      return one(randomText());
    case 'bool':
      return one(chance(0.5));
    case 'uint32':
      return one(Number(random.bits64() >> 32n));
    case 'int32':
      return one(Number(BigInt.asIntN(32, random.bits64())));
    case 'int64':
    case 'uint64': {
      const safe = field.options?.['jstype'] === 'JS_NUMBER';
      const value = random64(field.type === 'int64', safe);
      return { ours: safe ? Number(value) : value, theirs: String(value) };
    }
    default:
      throw new Error(`no random ${field.type}`);
  }
}

/** A message with its defaults filled in, as our decoder gives it, and as protobufjs takes it. */
function randomMessage(type: protobuf.Type, depth: number): { ours: Plain; theirs: Plain } {
  const codec = codecs.get(type.fullName.slice(1));
  if (codec === undefined) throw new Error(`no codec for ${type.fullName}`);
  const ours = codec.create();
  const theirs: Plain = {};
  const nameOf = (name: string): string => {
    const found = Object.keys(ours).find((key) => fold(key) === fold(name));
    if (found === undefined) throw new Error(`${type.fullName} has no ${name}`);
    return found;
  };
  const fill = (field: protobuf.Field): unknown => {
    const values = Array.from({ length: field.repeated ? random.below(5) : 1 }, () =>
      randomValue(field, depth),
    );
    theirs[field.name] = field.repeated ? values.map(({ theirs }) => theirs) : values[0]?.theirs;
    return field.repeated ? values.map(({ ours }) => ours) : values[0]?.ours;
  };
  for (const field of type.fieldsArray) {
    if (field.partOf !== null || chance(0.3)) continue;
    if (field.resolvedType instanceof protobuf.Type && depth > 4) continue;
    ours[nameOf(field.name)] = fill(field);
  }
  for (const oneof of type.oneofsArray) {
    const field = oneof.fieldsArray[random.below(oneof.fieldsArray.length)];
    if (field === undefined || depth > 4) continue;
    const kind = field.name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
    ours[nameOf(oneof.name)] = { case: kind, value: fill(field) };
  }
  return { ours, theirs };
}

const plain = (type: protobuf.Type, message: protobuf.Message): Plain =>
  type.toObject(message, { longs: String, defaults: true, oneofs: true });

/** As toEqual, which takes long over large byte arrays; it is asked only to show a difference. */
function expectSame(actual: unknown, expected: unknown): void {
  if (!isDeepStrictEqual(actual, expected)) expect(actual).toEqual(expected);
}

describe('generated codecs', () => {
  test('there is one for every message', () => {
    expect([...codecs.keys()].toSorted()).toEqual(
      types.map((type) => type.fullName.slice(1)).toSorted(),
    );
  });

  test.each(types.map((type) => [type.fullName.slice(1), type] as const))(
    '%s agrees with protobufjs on random messages',
    (name, type) => {
      const codec = codecs.get(name);
      if (codec === undefined) throw new Error('no codec');
      for (let round = 0; round < 60; round++) {
        const { ours, theirs } = randomMessage(type, 0);
        const message = type.fromObject(theirs);
        const encoded = type.encode(message).finish();
        expectSame(codec.decode(encoded), ours);
        const again = codec.encode(ours);
        expectSame(plain(type, type.decode(again)), plain(type, message));
      }
    },
  );

  test('no field is shared by two messages decoded from the same bytes', () => {
    const bytes = rpc.RangeResponse.encode(
      rpc.RangeResponse.create({ kvs: [kv.KeyValue.create()] }),
    );
    expect(rpc.RangeResponse.decode(bytes).kvs).not.toBe(rpc.RangeResponse.decode(bytes).kvs);
  });

  test('one result stays as it is while others are encoded', () => {
    const request = (i: number): rpc.PutRequest =>
      rpc.PutRequest.create({ key: Buffer.from(`key ${i}`), value: Buffer.alloc(i * 7 + 1, i) });
    const encoded = Array.from({ length: 400 }, (_, i) => rpc.PutRequest.encode(request(i)));
    encoded.forEach((bytes, i) => {
      expectSame(rpc.PutRequest.decode(bytes), request(i));
    });
  });

  test('a failed encoding leaves nothing behind', () => {
    const broken = rpc.PutRequest.create({
      key: Buffer.from('k'),
      lease: 'x' as unknown as bigint,
    });
    expect(() => rpc.PutRequest.encode(broken)).toThrow();
    expect(rpc.HashRequest.encode({})).toHaveLength(0);
  });

  test('a message carries its own encoding under the symbol', () => {
    const pair = kv.KeyValue.create({ key: Buffer.from('k'), value: Buffer.alloc(500, 1) });
    const ready = { ...kv.KeyValue.create(), [preencoded]: kv.KeyValue.encode(pair) };
    expect(kv.KeyValue.decode(kv.KeyValue.encode(ready))).toEqual(pair);
    const event = kv.Event.create({ kv: ready, prevKv: pair });
    const readyEvent = { ...kv.Event.create(), [preencoded]: kv.Event.encode(event) };
    const response = rpc.WatchResponse.create({ watchId: 3, events: [event, readyEvent] });
    const expected = kv.Event.create({ kv: pair, prevKv: pair });
    expect(rpc.WatchResponse.decode(rpc.WatchResponse.encode(response)).events).toEqual([
      expected,
      expected,
    ]);
  });

  test('a nested message that came in two parts is merged', () => {
    const part = (header: Partial<rpc.ResponseHeader>): Uint8Array =>
      rpc.PutResponse.encode(rpc.PutResponse.create({ header: rpc.ResponseHeader.create(header) }));
    const both = Buffer.concat([part({ revision: 5 }), part({ raftTerm: 7 })]);
    expect(rpc.PutResponse.decode(both).header).toMatchObject({ revision: 5, raftTerm: 7 });
  });

  test('repeated numbers are read packed and one by one', () => {
    const packed = rpc.WatchCreateRequest.encode(
      rpc.WatchCreateRequest.create({ filters: [0, 1] }),
    );
    expect(Buffer.from(packed)).toEqual(Buffer.from([0x2a, 2, 0, 1]));
    const single = Buffer.from([0x28, 0, 0x28, 1]);
    expect(rpc.WatchCreateRequest.decode(single).filters).toEqual([0, 1]);
  });

  test('services name their methods as etcd does', () => {
    const { KV, Watch, Lease } = services;
    expect(KV.methods.range.path).toBe('/etcdserverpb.KV/Range');
    expect(KV.methods.rangeStream).toMatchObject({ requestStream: false, responseStream: true });
    expect(Watch.methods.watch).toMatchObject({ requestStream: true, responseStream: true });
    expect(Lease.methods.leaseKeepAlive.request).toBe(rpc.LeaseKeepAliveRequest);
  });
});

describe('numbers', () => {
  const { RangeRequest, ResponseHeader } = rpc;
  const encodeRevision = (value: bigint): Uint8Array => {
    const writer = new Writer();
    writer.bigint(32, value);
    return writer.finish();
  };

  test.each([
    [2n ** 63n - 1n, Number.MAX_SAFE_INTEGER],
    [2n ** 53n, Number.MAX_SAFE_INTEGER],
    [2n ** 53n - 1n, Number.MAX_SAFE_INTEGER],
    [2n ** 53n - 2n, Number.MAX_SAFE_INTEGER - 1],
    [2n ** 32n, 2 ** 32],
    [2n ** 31n, 2 ** 31],
    [0n, 0],
    [-1n, -1],
    [-(2n ** 32n), -(2 ** 32)],
    [-(2n ** 53n) + 1n, Number.MIN_SAFE_INTEGER],
    [-(2n ** 53n), Number.MIN_SAFE_INTEGER],
    [-(2n ** 63n), Number.MIN_SAFE_INTEGER],
  ])('%d is read as %d', (wire, expected) => {
    expect(RangeRequest.decode(encodeRevision(wire)).revision).toBe(expected);
    const unsigned = ResponseHeader.decode(encodeRevision(wire)).raftTerm;
    expect(unsigned).toBe(wire < 0n ? Number.MAX_SAFE_INTEGER : expected);
  });

  test.each([0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 32n])(
    'lease %d survives',
    (lease) => {
      expect(
        rpc.PutRequest.decode(rpc.PutRequest.encode(rpc.PutRequest.create({ lease }))),
      ).toEqual(rpc.PutRequest.create({ lease }));
    },
  );
});

describe('malformed input', () => {
  const refuse = (
    codec: { decode(bytes: Uint8Array): unknown },
    bytes: readonly number[],
  ): void => {
    expect(() => codec.decode(Uint8Array.from(bytes))).toThrow(WireError);
  };

  test('is refused wherever a message is cut', () => {
    for (const type of types) {
      const codec = codecs.get(type.fullName.slice(1));
      const { theirs } = randomMessage(type, 0);
      const bytes = type.encode(type.fromObject(theirs)).finish().subarray(0, 400);
      for (let length = 0; length < bytes.length; length++) {
        try {
          codec?.decode(bytes.subarray(0, length));
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }
    }
    const put = rpc.PutRequest.encode(rpc.PutRequest.create({ key: Buffer.from('key') }));
    for (let length = 1; length < put.length; length++)
      refuse(rpc.PutRequest, [...put.subarray(0, length)]);
  });

  test('random bytes decode or are refused, never anything else', () => {
    for (let round = 0; round < 5000; round++) {
      const bytes = randomBytes().subarray(0, 60);
      for (const codec of [rpc.TxnRequest, rpc.WatchResponse]) {
        try {
          codec.decode(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }
    }
  });

  test('a varint of more than 64 bits', () => {
    refuse(rpc.RangeRequest, [0x18, ...Array<number>(10).fill(0xff), 1]);
    refuse(rpc.RangeRequest, [0x18, ...Array<number>(9).fill(0xff), 2]);
  });

  test('a length past the end, of 2^32, and of a nested message past its parent', () => {
    refuse(rpc.PutRequest, [0x0a, 5, 1]);
    refuse(rpc.PutRequest, [0x0a, 0x80, 0x80, 0x80, 0x80, 0x10]);
    refuse(rpc.PutResponse, [0x0a, 2, 0x08, 0x80, 0x01]);
  });

  test('field number 0 and wire types 6 and 7', () => {
    refuse(rpc.PutRequest, [0x00, 0]);
    refuse(rpc.PutRequest, [0x07]);
    refuse(rpc.PutRequest, [0x0e]);
    refuse(rpc.PutRequest, [0x0f]);
  });

  test('strings that are not UTF-8', () => {
    const name = (bytes: readonly number[]): number[] => [0x0a, bytes.length, ...bytes];
    refuse(rpc.AuthUserGetRequest, name([0xff]));
    refuse(rpc.AuthUserGetRequest, name([0x61, 0xc3]));
    refuse(rpc.AuthUserGetRequest, name([0xed, 0xa0, 0x80]));
    const fine = Uint8Array.from(name([0x61, 0xc3, 0xa9]));
    expect(rpc.AuthUserGetRequest.decode(fine).name).toBe('aé');
  });

  test('nesting is allowed to the limit and refused beyond it', () => {
    const nest = (levels: number): Uint8Array => {
      let request = rpc.TxnRequest.create();
      for (let level = 0; level < levels; level++) {
        request = rpc.TxnRequest.create({
          success: [{ request: { case: 'requestTxn', value: request } }],
        });
      }
      return rpc.TxnRequest.encode(request);
    };
    expect(rpc.TxnRequest.decode(nest(500)).success).toHaveLength(1);
    expect(() => rpc.TxnRequest.decode(nest(501))).toThrow(WireError);
    refuse(rpc.PutRequest, Array<number>(2000).fill(0x7b));
  });

  test('unknown fields of every wire type are stepped over', () => {
    const unknown = [0x78, 0x96, 0x01, 0x79, 1, 2, 3, 4, 5, 6, 7, 8, 0x7a, 2, 0x61, 0x62];
    const group = [0x7b, 0x08, 1, 0x13, 0x14, 0x7c];
    const bytes = Uint8Array.from([...unknown, 0x0a, 1, 0x6b, ...group, 0x7d, 1, 2, 3, 4]);
    expect(rpc.PutRequest.decode(bytes)).toEqual(rpc.PutRequest.create({ key: Buffer.from('k') }));
    refuse(rpc.PutRequest, [0x7b, 0x08, 1, 0x84, 0x01]);
    refuse(rpc.PutRequest, [0x7c]);
  });

  test('a field of another wire type is refused', () => {
    const decode = (bytes: number[]) => () => rpc.PutRequest.decode(Uint8Array.from(bytes));
    expect(decode([0x08, 1])).toThrow('proto: wrong wireType = 0 for field Key');
    expect(decode([0x1a, 1, 0x61])).toThrow('proto: wrong wireType = 2 for field Lease');
    // Numbers of a list may come one by one or together.
    const filters = [0x28, 1, 0x2a, 2, 0, 1];
    expect(rpc.WatchCreateRequest.decode(Uint8Array.from(filters)).filters).toEqual([1, 0, 1]);
    refuse(rpc.WatchCreateRequest, [0x2d, 0, 0, 0, 0]);
  });
});

describe('Writer', () => {
  test('fixed-size fields read back', () => {
    const writer = new Writer();
    writer.fixed32(0x0d, 0xdead_beef);
    writer.fixed64(0x11, 2n ** 64n - 2n);
    writer.double(0x19, -0.1);
    const reader = new Reader(writer.finish());
    expect([reader.tag(), reader.fixed32()]).toEqual([0x0d, 0xdead_beef]);
    expect([reader.tag(), reader.fixed64()]).toEqual([0x11, 2n ** 64n - 2n]);
    expect([reader.tag(), reader.double()]).toEqual([0x19, -0.1]);
  });

  test('a part of bytes is written as these bytes, however little room there was', () => {
    const source = Buffer.from('..0123456789..').subarray(1);
    for (const roomBytes of [0, 3, 100]) {
      const [writer, expected] = [new Writer(roomBytes), new Writer()];
      writer.part(0x0a, source, 1, 11);
      writer.part(0x12, source, 4, 4);
      expected.bytes(0x0a, Buffer.from('0123456789'));
      expected.bytes(0x12, Buffer.alloc(0));
      expect(writer.sizeBytes).toBe(14);
      expect(writer.finish()).toEqual(expected.finish());
      expect(writer.sizeBytes).toBe(0);
    }
  });

  test.each([0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])(
    'a nested message of %d bytes gets the shortest length',
    (length) => {
      const writer = new Writer();
      const opened = writer.open(0x0a);
      writer.raw(Buffer.alloc(length, 7));
      writer.close(opened);
      const expected = protobuf.Writer.create()
        .uint32(0x0a)
        .bytes(Buffer.alloc(length, 7))
        .finish();
      expect(Buffer.compare(writer.finish(), expected)).toBe(0);
    },
  );
});
