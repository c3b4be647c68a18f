/** Which fields and lists are a request's (RFC 9113 section 8), and those of Node's client. */
import { connect, type OutgoingHttpHeaders, sensitiveHeaders } from 'node:http2';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { preface } from '../../../src/http2/frames.ts';
import { HeaderDecoder } from '../../../src/http2/header-decoder.ts';
import { HeaderField, HeaderList, staticTable } from '../../../src/http2/header-fields.ts';
import { Flag, frame, FrameType, settings } from '../../support/http2-bytes.ts';

type Pair = readonly [name: string, value: string];

const everyByte = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));
const pseudoHeaders: readonly Pair[] = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/etcdserverpb.KV/Put'],
  [':authority', 'localhost:2379'],
];

function faultOf(name: string, value = 'value'): string | undefined {
  return new HeaderField(name, value).fault;
}

function listOf(...pairs: readonly Pair[]): HeaderList {
  return new HeaderList(
    pairs.map(([name, value]) => new HeaderField(name, value)),
    0,
  );
}

function without(name: string): readonly Pair[] {
  return pseudoHeaders.filter((pair) => pair[0] !== name);
}

describe('the name of a field', () => {
  const valid = "abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~";

  test('has only small letters, digits and some punctuation', () => {
    for (const character of everyByte) {
      const fault = valid.includes(character) ? undefined : 'invalid field name';
      expect([character, faultOf(`a${character}b`)]).toEqual([character, fault]);
      expect([character, faultOf(character)]).toEqual([character, fault]);
    }
  });

  test.each(['Content-Type', 'X', 'tE', ':Path', 'grpc-Timeout'])('is not %s', (name) => {
    expect(faultOf(name)).toBe('invalid field name');
  });

  test.each(['', ':', '::path', 'a:', 'a:b', ' a', 'a ', 'a\n', '\na', 'é'])('nor %j', (name) => {
    expect(faultOf(name)).toBe('invalid field name');
  });

  test('begins with a colon if it is a pseudo-header', () => {
    for (const [name] of pseudoHeaders) expect(faultOf(name)).toBeUndefined();
  });
});

describe('the value of a field', () => {
  test('has all bytes but those that ended lines and texts in HTTP/1', () => {
    for (const character of everyByte) {
      const fault = ['\0', '\r', '\n'].includes(character) ? 'invalid field value' : undefined;
      expect([character, faultOf('a', `b${character}c`)]).toEqual([character, fault]);
    }
  });

  test.each(['\0', 'a\n', '\ra', 'one\r\ntwo: three', 'a\0'])('is not %j', (value) => {
    expect(faultOf('a', value)).toBe('invalid field value');
    expect(faultOf(':path', value)).toBe('invalid field value');
  });

  test('may be empty', () => {
    expect(faultOf('a', '')).toBeUndefined();
  });
});

describe('fields of connections over HTTP/1', () => {
  test.each(['connection', 'proxy-connection', 'keep-alive', 'transfer-encoding', 'upgrade'])(
    '%s is refused',
    (name) => {
      expect(faultOf(name)).toBe('field of a connection');
      expect(faultOf(name, '')).toBe('field of a connection');
      expect(listOf(...pseudoHeaders, [name, 'value']).fault).toBe('field of a connection');
    },
  );

  test('te says that there may be trailers, and nothing else', () => {
    expect(faultOf('te', 'trailers')).toBeUndefined();
    for (const value of ['', 'gzip', 'Trailers', 'trailers, gzip', 'trailers ', ' trailers']) {
      expect(faultOf('te', value)).toBe('te other than trailers');
    }
  });

  test('names that only begin or end like them are fine', () => {
    for (const name of ['connections', 'x-connection', 'upgrade-insecure-requests', 'ten']) {
      expect(faultOf(name)).toBeUndefined();
    }
  });
});

test('a field weighs its bytes and 32 more', () => {
  expect(new HeaderField('custom-key', 'custom-header').weight).toBe(55);
  expect(new HeaderField(':status', '302').weight).toBe(42);
  expect(new HeaderField('a', '').weight).toBe(33);
  // A byte each, as what stands for one in Latin-1.
  expect(new HeaderField('a', 'é\xff').weight).toBe(35);
});

test('the table that all know has 61 fields, and none that is no field', () => {
  expect(staticTable).toHaveLength(61);
  const faults = staticTable.filter(({ fault }) => fault !== undefined);
  expect(faults.map(({ name, fault }) => [name, fault])).toEqual([
    ['transfer-encoding', 'field of a connection'],
  ]);
});

describe('the list of a request', () => {
  test('has a method, a scheme and a path', () => {
    const list = listOf(...pseudoHeaders, ['te', 'trailers']);
    expect(list.fault).toBeUndefined();
    expect([list.method, list.scheme, list.path]).toEqual(['POST', 'http', '/etcdserverpb.KV/Put']);
  });

  test('has its pseudo-headers in any order', () => {
    const list = listOf(...pseudoHeaders.toReversed(), ['a', 'b']);
    expect(list.fault).toBeUndefined();
    expect([list.method, list.scheme, list.path]).toEqual(['POST', 'http', '/etcdserverpb.KV/Put']);
  });

  test('needs no authority', () => {
    expect(listOf(...without(':authority')).fault).toBeUndefined();
  });

  test.each([':method', ':scheme', ':path'])('is none without %s', (name) => {
    expect(listOf(...without(name)).fault).toBe('pseudo-header missing');
    expect(listOf(...without(name), [name, '']).fault).toBe('pseudo-header missing');
    expect(listOf(...without(name), ['a', 'b']).fault).toBe('pseudo-header missing');
  });

  test('is none without anything', () => {
    const list = listOf();
    expect(list.fault).toBe('pseudo-header missing');
    expect([list.method, list.scheme, list.path]).toEqual(['', '', '']);
  });

  test.each([':method', ':scheme', ':path', ':authority'])('is none with %s twice', (name) => {
    const value = pseudoHeaders.find((pair) => pair[0] === name)![1];
    for (const again of [value, 'other', '']) {
      const list = listOf(...pseudoHeaders, [name, again]);
      expect(list.fault).toBe('unknown or repeated pseudo-header');
      // The first one holds.
      expect(list.get(name)).toBe(value);
      expect([list.method, list.scheme, list.path]).toEqual([
        'POST',
        'http',
        '/etcdserverpb.KV/Put',
      ]);
    }
    const emptyFirst = listOf([name, ''], ...pseudoHeaders);
    expect(emptyFirst.fault).toBe('unknown or repeated pseudo-header');
  });

  test.each([':status', ':protocol', ':host', ':paths'])('is none with %s', (name) => {
    expect(listOf(...pseudoHeaders, [name, '200']).fault).toBe('unknown or repeated pseudo-header');
  });

  test.each(pseudoHeaders)('is none if %s comes after another field', (name, value) => {
    const list = listOf(...without(name), ['a', 'b'], [name, value]);
    expect(list.fault).toBe('pseudo-header after a field');
  });

  test('is none with a field that is none, wherever it stands', () => {
    const wrong = ['A', 'b'] as const;
    expect(listOf(...pseudoHeaders, wrong).fault).toBe('invalid field name');
    expect(listOf(...pseudoHeaders, ['a', 'b'], wrong, ['c', 'd']).fault).toBe(
      'invalid field name',
    );
    expect(listOf(...without(':path'), [':path', '/\0']).fault).toBe('invalid field value');
  });

  test('says the first thing that is wrong with it', () => {
    expect(listOf(['te', 'gzip'], ['A', 'b'], [':status', '200']).fault).toBe(
      'te other than trailers',
    );
    expect(listOf([':status', '200'], ['A', 'b']).fault).toBe('unknown or repeated pseudo-header');
  });

  test('gives the first value of a field by its name', () => {
    const list = listOf(...pseudoHeaders, ['a', '1'], ['b', ''], ['a', '2']);
    expect(list.get('a')).toBe('1');
    expect(list.get('b')).toBe('');
    expect(list.get(':authority')).toBe('localhost:2379');
    expect(list.get('c')).toBeUndefined();
    expect(list.get('A')).toBeUndefined();
  });
});

const last = Flag.endHeaders | Flag.endStream;
const status200 = Buffer.from([0x88]);

/** Takes requests apart; with each answer limits the client's table to what `tableBytes` has. */
function serve(
  socket: Socket,
  blocks: Buffer[],
  tableBytes: readonly (number | undefined)[],
): void {
  let held = Buffer.alloc(0);
  let at = preface.length;
  socket.write(settings());
  socket.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    while (held.length >= at + 9 && held.length >= at + 9 + held.readUIntBE(at, 3)) {
      const body = held.subarray(at + 9, at + 9 + held.readUIntBE(at, 3));
      const [type, flags] = [held[at + 3], held[at + 4]!];
      if (type === FrameType.settings && (flags & Flag.acknowledgement) === 0) {
        socket.write(frame(FrameType.settings, Flag.acknowledgement, 0));
      } else if (type === FrameType.headers) {
        const limited = tableBytes[blocks.push(Buffer.from(body)) - 1];
        if (limited !== undefined) socket.write(settings([[1, limited]]));
        socket.write(frame(FrameType.headers, last, held.readUInt32BE(at + 5), status200));
      }
      at += 9 + body.length;
    }
  });
}

/** The header blocks of requests that Node's client sends one after the other. */
async function blocksOf(
  requests: readonly OutgoingHttpHeaders[],
  tableBytes: readonly (number | undefined)[] = [],
): Promise<Buffer[]> {
  const blocks: Buffer[] = [];
  const server = createServer((socket) => serve(socket, blocks, tableBytes));
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  try {
    for (const request of requests) {
      const stream = session.request(request, { endStream: true });
      await new Promise((answered, failed) => stream.on('response', answered).on('error', failed));
    }
  } finally {
    session.destroy();
    server.close();
  }
  return blocks;
}

/** What is read of blocks that follow each other on a connection. */
function expectFields(blocks: readonly Buffer[], lists: readonly (readonly Pair[])[]): void {
  const decoder = new HeaderDecoder(64 * 1024);
  expect(blocks).toHaveLength(lists.length);
  for (const [i, block] of blocks.entries()) {
    const list = decoder.decode(block, 0, block.length);
    expect(list?.fault).toBeUndefined();
    expect(lists[i]!.map(([name]) => [name, list?.get(name)])).toEqual(lists[i]);
  }
}

describe("what Node's client sends", () => {
  /** Fields that clients may send, named by the table that all know; RFC 7541 appendix A. */
  const names =
    'accept-charset accept-encoding accept-language accept-ranges accept ' +
    'access-control-allow-origin age allow authorization cache-control content-disposition ' +
    'content-encoding content-language content-length content-location content-range ' +
    'content-type cookie date etag expect expires from host if-match if-modified-since ' +
    'if-none-match if-range if-unmodified-since last-modified link location max-forwards ' +
    'proxy-authenticate proxy-authorization range referer refresh retry-after server set-cookie ' +
    'strict-transport-security user-agent vary via www-authenticate';

  test('names all of the fields that have a number', async () => {
    const pairs = names.split(' ').map((name, i): Pair => [name, `${i}`]);
    const path: readonly Pair[] = [
      [':method', 'POST'],
      [':scheme', 'https'],
      [':path', '/index.html'],
    ];
    const gzip: Pair = ['accept-encoding', 'gzip, deflate'];
    const blocks = await blocksOf([
      { ...Object.fromEntries([...path, ...pairs]), [sensitiveHeaders]: ['cookie', 'via'] },
      Object.fromEntries([gzip]),
    ]);
    // No name is spelled: a number and a value have four bytes, for most names.
    expect(blocks[0]!.length).toBeLessThan(5 * names.split(' ').length + path.length);
    expectFields(blocks, [
      [...path, ...pairs],
      [[':method', 'GET'], [':path', '/'], gzip],
    ]);
  });

  const character = fc.oneof(
    fc.integer({ min: 0x20, max: 0x7e }),
    fc.integer({ min: 0x80, max: 0xff }),
  );
  const value = fc.string({ unit: character.map((c) => String.fromCharCode(c)), maxLength: 80 });
  const few = fc.constantFrom('application/grpc', 'trailers', 'a'.repeat(300), 'é'.repeat(200));
  const request = fc.dictionary(
    fc.constantFrom('x-one', 'x-two', 'x-three', 'authorization', 'user-agent', 'grpc-timeout'),
    fc.oneof(few, value),
  );
  const size = fc.constantFrom(undefined, undefined, 0, 60, 200, 500, 4096);

  test('is what was asked for, on connections of many requests and tables of any size', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(request, size), { minLength: 5 }), async (steps) => {
        const requests = steps.map(([fields]) => ({ ...fields }));
        const sizes = steps.map(([, bytes]) => bytes);
        const blocks = await blocksOf(requests, sizes);
        expectFields(
          blocks,
          requests.map((fields) => Object.entries(fields)),
        );
      }),
      { numRuns: 12 },
    );
  });
});
