/** Databases written by our writer, read by our reader. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { memorySource } from '../../../src/bbolt/file-source.ts';
import { encodeMetaPage, InvalidDatabaseError, pageBytes } from '../../../src/bbolt/format.ts';
import { DatabaseReader } from '../../../src/bbolt/reader.ts';
import { contentsOf, numbered, writeDatabase, type Contents } from '../../support/bbolt.ts';

function check(contents: Contents): Buffer {
  const file = writeDatabase(contents);
  const reader = new DatabaseReader(memorySource(file));
  expect(() => reader.check()).not.toThrow();
  expect(contentsOf(reader)).toEqual(contents);
  expect(reader.sizeBytes).toBe(file.length);
  return file;
}

describe('a database', () => {
  test('without buckets is whole', () => {
    expect(check({}).length).toBe(4 * pageBytes);
  });

  test('keeps empty and small buckets within the bucket of buckets', () => {
    const file = check({ empty: [], small: [['key', 'value']] });
    expect(file.length).toBe(4 * pageBytes);
  });

  test('keeps buckets that came in any order', () => {
    const [one, two, three] = [numbered(10, 300), numbered(1, 3), numbered(500, 10)];
    const reader = new DatabaseReader(memorySource(writeDatabase({ c: one, a: two, b: three })));
    expect(reader.buckets).toEqual(['a', 'b', 'c']);
    expect(contentsOf(reader)).toEqual({ a: two, b: three, c: one });
  });

  // The second level of branches begins at some 14,000 pairs of this size.
  test.each([1, 2, 100, 5000, 40_000])('of %i pairs is read back', (count) => {
    check({ key: numbered(count, 280), meta: [['a', '1']] });
  });

  test('keeps pairs larger than a page', () => {
    const large = 'x'.repeat(3 * pageBytes);
    check({ key: [...numbered(50, 200), ['y', large], ['z', 'small'], ['zz', large]] });
  });

  test('keeps long keys in its branches', () => {
    const pairs = Array.from({ length: 9 }, (_, i) => {
      return [`${i}${'k'.repeat(3000)}`, 'value'] as const;
    });
    for (let count = 1; count <= pairs.length; count++) check({ key: pairs.slice(0, count) });
  });

  test('never has a branch with a single child', () => {
    // Around the sizes where one child more begins another page.
    for (let count = 1600; count < 1720; count++) {
      const file = writeDatabase({ key: numbered(count, 400) });
      for (let at = 3 * pageBytes; at < file.length; at += pageBytes) {
        const isBranch = file.readUInt16LE(at + 8) === 1;
        if (isBranch) expect(file.readUInt16LE(at + 10)).toBeGreaterThan(1);
      }
    }
  });

  test('of any pairs is read back', () => {
    const bytes = fc
      .uint8Array({ minLength: 1, maxLength: 600 })
      .map((array) => Buffer.from(array).toString('latin1'));
    const pairs = fc
      .uniqueArray(fc.tuple(bytes, fc.string({ unit: 'binary-ascii', maxLength: 6000 })), {
        selector: ([key]) => key,
        maxLength: 60,
        size: 'max',
      })
      .map((list) => list.toSorted(([a], [b]) => (a < b ? -1 : 1)));
    fc.assert(
      fc.property(pairs, pairs, (key, lease) => {
        check({ key, lease });
      }),
      { numRuns: 200 },
    );
  });
});

describe('a reader', () => {
  const file = writeDatabase({ key: numbered(2000, 300), meta: [['a', '1']] });
  const refusal = (change: (copy: Buffer) => Buffer): string => {
    try {
      new DatabaseReader(memorySource(change(Buffer.from(file)))).check();
    } catch (error) {
      if (error instanceof InvalidDatabaseError) return error.message;
      throw error;
    }
    return '';
  };

  test('takes the meta page that is whole', () => {
    for (const damaged of [0, 1]) {
      expect(refusal((copy) => copy.fill(0, damaged * pageBytes, damaged * pageBytes + 40))).toBe(
        '',
      );
    }
    expect(refusal((copy) => copy.fill(0, 0, 2 * pageBytes))).toBe(
      'invalid database: none of its meta pages is whole',
    );
  });

  test('takes the newer of two whole meta pages', () => {
    const meta = { pageBytes, root: 3, freelist: 2, pages: 4, transaction: 3 };
    expect(
      refusal((copy) => {
        encodeMetaPage(1, meta).copy(copy, pageBytes);
        return copy;
      }),
    ).toMatch(/^invalid database: /);
  });

  test('reads pages of other sizes', () => {
    // Nothing but metas, an empty freelist and an empty root, in pages of 1 KiB.
    const small = Buffer.alloc(4096);
    const meta = { pageBytes: 1024, root: 3, freelist: undefined, pages: 4, transaction: 1 };
    for (const number of [0, 1]) encodeMetaPage(number, meta).copy(small, number * 1024);
    small.writeUInt32LE(3, 3 * 1024);
    small.writeUInt16LE(2, 3 * 1024 + 8);
    const reader = new DatabaseReader(memorySource(small));
    reader.check();
    expect(reader.buckets).toEqual([]);
  });

  test('refuses files that end early', () => {
    for (const length of [0, 15, 80, pageBytes, 2 * pageBytes, file.length - 1]) {
      expect(refusal((copy) => copy.subarray(0, length))).toMatch(/^invalid database: /);
    }
  });

  test('refuses a page that is used twice, and one that nobody uses', () => {
    const child = 3 * pageBytes;
    expect(file.readUInt16LE(child + 8)).toBe(2);
    const pages = file.length / pageBytes;
    const withRoot = (copy: Buffer, change: Partial<{ pages: number }>): Buffer => {
      const meta = { pageBytes, root: pages - 1, freelist: 2, pages, transaction: 4, ...change };
      encodeMetaPage(0, meta).copy(copy);
      return copy;
    };
    expect(refusal((copy) => withRoot(copy, {}))).toBe('');
    expect(
      refusal((copy) =>
        withRoot(Buffer.concat([copy, copy.subarray(child)]), { pages: pages + 1 }),
      ),
    ).toBe(`invalid database: page ${pages} is neither used nor free`);
    expect(
      refusal((copy) => {
        // The freelist names the first leaf.
        copy.writeUInt16LE(1, 2 * pageBytes + 10);
        copy.writeUInt32LE(3, 2 * pageBytes + 16);
        return copy;
      }),
    ).toBe('invalid database: page 3 is used twice');
  });
});
