import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConnectionError, ErrorCode } from '../../../src/http2/frames.ts';
import { HeaderDecoder } from '../../../src/http2/header-decoder.ts';
import type { HeaderList } from '../../../src/http2/header-fields.ts';

type Pair = readonly [name: string, value: string];

const enough = 64 * 1024;
/** The first index of the table that both sides fill; those below are the same for all. */
const newest = 62;

function hex(...texts: readonly string[]): Buffer {
  return Buffer.from(texts.join('').replaceAll(' ', ''), 'hex');
}

/** RFC 7541 section 5.1. */
function integer(flags: number, prefixBits: number, value: number): Buffer {
  const most = 2 ** prefixBits - 1;
  if (value < most) return Buffer.from([flags + value]);
  const out = [flags + most];
  let rest = value - most;
  for (; rest > 127; rest = Math.floor(rest / 128)) out.push(128 + (rest % 128));
  return Buffer.from([...out, rest]);
}

function text(value: string): Buffer {
  return Buffer.concat([integer(0, 7, value.length), Buffer.from(value, 'latin1')]);
}

/** A field that the table is to have. */
function added(name: string, value: string): Buffer {
  return Buffer.concat([hex('40'), text(name), text(value)]);
}

/** One that it is not to have. */
function literal(name: string, value: string): Buffer {
  return Buffer.concat([hex('00'), text(name), text(value)]);
}

function indexed(index: number): Buffer {
  return integer(0x80, 7, index);
}

function limit(bytes: number): Buffer {
  return integer(0x20, 5, bytes);
}

function decode(decoder: HeaderDecoder, ...parts: readonly Uint8Array[]): HeaderList | undefined {
  const block = Buffer.concat(parts);
  return decoder.decode(block, 0, block.length);
}

/** Why a block is none. */
function refusal(decoder: HeaderDecoder, ...parts: readonly Uint8Array[]): string {
  try {
    decode(decoder, ...parts);
  } catch (error) {
    if (!(error instanceof ConnectionError)) throw error;
    expect(error.code).toBe(ErrorCode.compressionError);
    return error.message.replace('header block: ', '');
  }
  return 'is a block';
}

function expectFields(list: HeaderList | undefined, pairs: readonly Pair[]): void {
  expect(pairs.map(([name]) => [name, list?.get(name)])).toEqual(pairs);
}

/** @param pairs the newest first */
function expectTable(decoder: HeaderDecoder, pairs: readonly Pair[]): void {
  for (const [age, pair] of pairs.entries()) {
    expectFields(decode(decoder, indexed(newest + age)), [pair]);
  }
  const next = newest + pairs.length;
  expect(refusal(decoder, indexed(next))).toBe(`no field ${next}`);
}

interface Example {
  readonly block: string;
  readonly fields: readonly Pair[];
  readonly table: readonly Pair[];
}

describe('the examples of RFC 7541 appendix C', () => {
  test.each<[string, string, Pair, boolean]>([
    [
      'C.2.1',
      '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572',
      ['custom-key', 'custom-header'],
      true,
    ],
    ['C.2.2', '040c 2f73 616d 706c 652f 7061 7468', [':path', '/sample/path'], false],
    ['C.2.3', '1008 7061 7373 776f 7264 0673 6563 7265 74', ['password', 'secret'], false],
    ['C.2.4', '82', [':method', 'GET'], false],
  ])('%s', (_section, block, pair, isAdded) => {
    const decoder = new HeaderDecoder(enough);
    expectFields(decode(decoder, hex(block)), [pair]);
    expectTable(decoder, isAdded ? [pair] : []);
  });

  const authority: Pair = [':authority', 'www.example.com'];
  const noCache: Pair = ['cache-control', 'no-cache'];
  const custom: Pair = ['custom-key', 'custom-value'];
  const get: readonly Pair[] = [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':path', '/'],
  ];
  const requests = (blocks: readonly [string, string, string]): readonly Example[] => [
    { block: blocks[0], fields: [...get, authority], table: [authority] },
    { block: blocks[1], fields: [...get, authority, noCache], table: [noCache, authority] },
    {
      block: blocks[2],
      fields: [[':method', 'GET'], [':scheme', 'https'], [':path', '/index.html'], custom],
      table: [custom, noCache, authority],
    },
  ];

  const found: Pair = [':status', '302'];
  const moved: Pair = [':status', '307'];
  const isPrivate: Pair = ['cache-control', 'private'];
  const date: Pair = ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'];
  const later: Pair = ['date', 'Mon, 21 Oct 2013 20:13:22 GMT'];
  const location: Pair = ['location', 'https://www.example.com'];
  const gzip: Pair = ['content-encoding', 'gzip'];
  const cookie: Pair = ['set-cookie', 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1'];
  /** Their tables have 256 bytes, which the first block has to say here. */
  const answers = (blocks: readonly [string, string, string]): readonly Example[] => [
    {
      block: `3fe101 ${blocks[0]}`,
      fields: [found, isPrivate, date, location],
      table: [location, date, isPrivate, found],
    },
    {
      block: blocks[1],
      fields: [moved, isPrivate, date, location],
      table: [moved, location, date, isPrivate],
    },
    {
      block: blocks[2],
      fields: [[':status', '200'], isPrivate, later, location, gzip, cookie],
      table: [cookie, gzip, later],
    },
  ];

  test.each([
    [
      'C.3',
      requests([
        '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
        '8286 84be 5808 6e6f 2d63 6163 6865',
        '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
      ]),
    ],
    [
      'C.4',
      requests([
        '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
        '8286 84be 5886 a8eb 1064 9cbf',
        '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
      ]),
    ],
    [
      'C.5',
      answers([
        '4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133' +
          '2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70' +
          '6c65 2e63 6f6d',
        '4803 3330 37c1 c0bf',
        '88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d' +
          '54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049' +
          '5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e' +
          '3d31',
      ]),
    ],
    [
      'C.6',
      answers([
        '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6' +
          '2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
        '4883 640e ffc1 c0bf',
        '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab' +
          '77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f' +
          '9587 3160 65c0 03ed 4ee5 b106 3d50 07',
      ]),
    ],
  ])('%s, block after block', (_section, examples) => {
    const decoder = new HeaderDecoder(enough);
    for (const { block, fields, table } of examples) {
      expectFields(decode(decoder, hex(block)), fields);
      expectTable(decoder, table);
    }
  });
});

describe('integers', () => {
  test('of C.1: 10 and 1337 in five bits', () => {
    const small = new HeaderDecoder(enough);
    decode(small, hex('2a'), added('a', 'b'));
    expectTable(small, []);
    const decoder = new HeaderDecoder(enough);
    const exact: Pair = ['a', 'b'.repeat(1337 - 32 - 1)];
    decode(decoder, hex('3f9a0a'), added(...exact));
    expectTable(decoder, [exact]);
    decode(decoder, added('a', 'b'.repeat(1337 - 32)));
    expectTable(decoder, []);
  });

  test('are lengths of any text', () => {
    const decoder = new HeaderDecoder(enough);
    for (const length of [0, 1, 126, 127, 128, 254, 255, 256, 16_510, 16_511, 16_512, 40_000]) {
      const pair: Pair = ['x'.repeat(Math.max(1, length % 300)), 'v'.repeat(length)];
      expectFields(decode(decoder, literal(...pair)), [pair]);
    }
  });

  test('may be longer than they need to be', () => {
    expectFields(decode(new HeaderDecoder(enough), hex('00 01 61 7f 80 00'), Buffer.alloc(127)), [
      ['a', '\0'.repeat(127)],
    ]);
  });

  test.each([
    'ff ffff ffff 0f',
    'ff ffff ffff ffff ffff 7f',
    'ff 8080 8080 8080 8080 8080 00',
    '00 7f ffff ffff 0f',
    '00 01 61 7f ffff ffff 0f',
    '7f ffff ffff 0f',
    '0f ffff ffff 0f',
    '3f ffff ffff 0f',
  ])('%s is too large', (block) => {
    expect(refusal(new HeaderDecoder(enough), hex(block))).toBe('integer too large');
  });

  test('larger than anything there is are an index of nothing, or a text that is not there', () => {
    const decoder = new HeaderDecoder(enough);
    expect(refusal(decoder, indexed(2 ** 28))).toBe(`no field ${2 ** 28}`);
    expect(refusal(decoder, hex('00'), integer(0, 7, 2 ** 28))).toBe('text cut short');
  });

  test('do not go on where the block ends', () => {
    for (const whole of [
      indexed(newest + 300),
      integer(0x40, 6, 200),
      integer(0, 4, 200),
      limit(1337),
      Buffer.concat([hex('00'), integer(0, 7, 300)]),
    ]) {
      const cut = whole.subarray(0, -1);
      expect(refusal(new HeaderDecoder(enough), cut)).toBe('cut short');
      // What stands behind the block is none of its bytes.
      expect(() => new HeaderDecoder(enough).decode(whole, 0, cut.length)).toThrow('cut short');
    }
  });
});

test('a field that is cut short anywhere is refused', () => {
  for (const whole of [
    added('custom-key', 'custom-header'),
    literal('password', 'secret'),
    hex('4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf'),
    hex('418c f1e3 c2e5 f23a 6ba0 ab90 f4ff'),
    Buffer.concat([hex('00'), text('n'.repeat(200)), text('v'.repeat(200))]),
  ]) {
    expect(decode(new HeaderDecoder(enough), whole)).toBeDefined();
    for (let length = 1; length < whole.length; length++) {
      const cut = whole.subarray(0, length);
      expect(refusal(new HeaderDecoder(enough), cut)).toMatch(/^(text )?cut short$/);
      expect(() => new HeaderDecoder(enough).decode(whole, 0, length)).toThrow('cut short');
    }
  }
});

test('a text that is no Huffman code is refused, as a name and as a value', () => {
  // A whole byte of padding; padding that is not all ones; the end of a string.
  for (const wrong of ['82 1fff', '81 18', '84 ffff ffff']) {
    const decoder = new HeaderDecoder(enough);
    expect(refusal(decoder, hex('00', wrong, '00'))).toBe('text that is no Huffman code');
    expect(refusal(decoder, hex('00 01 61', wrong))).toBe('text that is no Huffman code');
  }
});

test('only the bytes from start to end are read', () => {
  const block = Buffer.concat([hex('82 87'), added('a', 'é')]);
  const around = Buffer.concat([hex('00ff'), block, hex('ff00')]);
  const decoder = new HeaderDecoder(enough);
  for (const bytes of [
    around,
    new Uint8Array(around),
    Uint8Array.from([0, ...around]).subarray(1),
  ]) {
    const list = decoder.decode(bytes, 2, 2 + block.length);
    expectFields(list, [
      [':method', 'GET'],
      [':scheme', 'https'],
      ['a', 'é'],
    ]);
  }
});

test('a list says what is wrong with it', () => {
  const decoder = new HeaderDecoder(enough);
  expect(decode(decoder, hex('82 86 84'))?.fault).toBeUndefined();
  expect(decode(decoder, hex('82 86 84'), literal('A', 'b'))?.fault).toBe('invalid field name');
  expect(decode(decoder, hex('82 86 84 82'))?.fault).toBe('unknown or repeated pseudo-header');
  expect(decode(decoder)?.fault).toBe('pseudo-header missing');
});

describe('the size of the table', () => {
  test('is said at the beginning of a block, once or more', () => {
    const decoder = new HeaderDecoder(enough);
    expectFields(decode(decoder, limit(0), limit(4096), added('a', 'b')), [['a', 'b']]);
    expectTable(decoder, [['a', 'b']]);
    decode(decoder, limit(100));
    expectTable(decoder, [['a', 'b']]);
  });

  test.each([
    ['one of the table', hex('82')],
    ['a new one', added('a', 'b')],
    ['one that is not kept', literal('a', 'b')],
  ])('is not said after a field: %s', (_kind, field) => {
    const decoder = new HeaderDecoder(enough);
    expect(refusal(decoder, field, limit(4096))).toBe('table size after a field');
    expect(refusal(decoder, limit(0), field, limit(100))).toBe('table size after a field');
  });

  test('is 4096 at most', () => {
    const decoder = new HeaderDecoder(enough);
    expectFields(decode(decoder, limit(4096), hex('82')), [[':method', 'GET']]);
    for (const bytes of [4097, 8192, 1_000_000]) {
      expect(refusal(decoder, limit(bytes), hex('82'))).toBe('table larger than allowed');
    }
  });

  test('is 4096 before it is said', () => {
    const decoder = new HeaderDecoder(enough);
    const whole: Pair = ['a', 'v'.repeat(4096 - 32 - 1)];
    decode(decoder, added(...whole));
    expectTable(decoder, [whole]);
  });
});

test('there is no field 0, and none past those of the table', () => {
  const decoder = new HeaderDecoder(enough);
  expect(refusal(decoder, hex('80'))).toBe('no field 0');
  expectFields(decode(decoder, indexed(61)), [['www-authenticate', '']]);
  expectTable(decoder, []);
  // Names are looked up in the same way.
  for (const name of [integer(0x40, 6, newest), integer(0, 4, newest), integer(0x10, 4, 500)]) {
    expect(refusal(decoder, name, text('value'))).toMatch(/^no field (62|500)$/);
  }
});

describe('what falls out of the table', () => {
  test('is all of it for a field that is larger', () => {
    const decoder = new HeaderDecoder(enough);
    decode(decoder, limit(100), added('a', 'b'), added('c', 'd'));
    const large: Pair = ['e', 'f'.repeat(68)];
    expectFields(decode(decoder, added(...large)), [large]);
    expectTable(decoder, []);
    decode(decoder, added('g', 'h'));
    expectTable(decoder, [['g', 'h']]);
  });

  test('may be the field whose name the new one has', () => {
    const decoder = new HeaderDecoder(enough);
    decode(decoder, limit(70), added('name', 'old'));
    expectFields(decode(decoder, integer(0x40, 6, newest), text('new')), [['name', 'new']]);
    expectTable(decoder, [['name', 'new']]);
  });

  const action = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('add'), size: fc.nat(150) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('limit'), size: fc.nat(1000) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('limit'), size: fc.constant(4096) }) },
  );

  test('is the oldest ones for which there is no room', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60, size: 'max' }), (actions) => {
        const decoder = new HeaderDecoder(enough);
        let model: Pair[] = [];
        let room = 4096;
        for (const [i, { kind, size }] of actions.entries()) {
          const pair: Pair = [`field-${i}`, 'v'.repeat(size)];
          if (kind === 'limit') room = size;
          else model.unshift(pair);
          decode(decoder, kind === 'limit' ? limit(size) : added(...pair));
          let weight = 0;
          model = model.filter(([name, value]) => {
            weight += name.length + value.length + 32;
            return weight <= room;
          });
          expectTable(decoder, model);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('a list that is too long', () => {
  const first: Pair = ['first', 'x'.repeat(20)];
  const second: Pair = ['second', 'y'.repeat(20)];
  const weight = 57 + 58;

  test('is none, though its fields are known from then on', () => {
    const decoder = new HeaderDecoder(weight - 1);
    expect(decode(decoder, added(...first), added(...second))).toBeUndefined();
    expectTable(decoder, [second, first]);
    for (let i = 0; i < 2; i++) {
      expect(decode(decoder, indexed(newest), indexed(newest + 1))).toBeUndefined();
    }
  });

  test('is longer than what is allowed by a byte, if by no more', () => {
    const list = decode(new HeaderDecoder(weight), literal(...first), literal(...second));
    expectFields(list, [first, second]);
    const longer: Pair = ['second', 'y'.repeat(21)];
    const decoder = new HeaderDecoder(weight);
    expect(decode(decoder, literal(...first), literal(...longer))).toBeUndefined();
  });

  test('is read all the same, and what is no block is refused', () => {
    const decoder = new HeaderDecoder(10);
    expect(refusal(decoder, literal(...first), hex('80'))).toBe('no field 0');
  });
});

describe('a block that comes again', () => {
  test('gives the same list, wherever it stands', () => {
    const decoder = new HeaderDecoder(enough);
    decode(decoder, added('a', 'b'));
    const list = decode(decoder, hex('82 86 84 be'));
    expect(decode(decoder, hex('82 86 84 be'))).toBe(list);
    expect(decoder.decode(hex('ff 82 86 84 be ff'), 1, 5)).toBe(list);
    expect(decode(decoder, hex('82 86 84'))).not.toBe(list);
    expect(decode(decoder, hex('82 86 85 be'))).not.toBe(list);
    expect(decode(decoder, hex('82 86 84 be'))).toBe(list);
  });

  test('is known by its bytes, which may change where it stood', () => {
    const decoder = new HeaderDecoder(enough);
    const buffer = hex('82 86 84');
    const get = decoder.decode(buffer, 0, 3);
    buffer[0] = 0x83;
    expect(decoder.decode(buffer, 0, 3)?.method).toBe('POST');
    expect(decode(decoder, hex('82 86 84'))).toBe(get);
  });

  test('is read anew after a field was added, even if only to the table', () => {
    for (const maxListBytes of [enough, 40]) {
      const decoder = new HeaderDecoder(maxListBytes);
      decode(decoder, added('a', 'old'));
      expectFields(decode(decoder, indexed(newest)), [['a', 'old']]);
      decode(decoder, added('a', 'new'), literal('b', ''));
      expectFields(decode(decoder, indexed(newest)), [['a', 'new']]);
    }
  });

  test('is read anew after the size of the table has changed', () => {
    const decoder = new HeaderDecoder(enough);
    decode(decoder, added('a', 'b'));
    expectFields(decode(decoder, indexed(newest)), [['a', 'b']]);
    decode(decoder, limit(0), hex('82'));
    expect(refusal(decoder, indexed(newest))).toBe(`no field ${newest}`);
  });

  test('adds its fields to the table again', () => {
    const decoder = new HeaderDecoder(enough);
    for (let i = 0; i < 3; i++) decode(decoder, added('a', 'b'));
    expectTable(decoder, Array<Pair>(3).fill(['a', 'b']));
  });

  test('is told from many others', () => {
    const decoder = new HeaderDecoder(enough);
    for (let i = 0; i < 100; i++) {
      const pair: Pair = ['field', String((i * i) % 11)];
      expectFields(decode(decoder, literal(...pair)), [pair]);
      if (i % 17 === 0) decode(decoder, added('other', 'field'));
    }
  });
});
