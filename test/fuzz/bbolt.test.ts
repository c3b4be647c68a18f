/** Databases of bbolt, which come from anywhere: whole ones, damaged. */
import { describe, expect } from 'vitest';
import { memorySource } from '../../src/bbolt/file-source.ts';
import { encodeMetaPage, InvalidDatabaseError, pageBytes } from '../../src/bbolt/format.ts';
import { DatabaseReader } from '../../src/bbolt/reader.ts';
import { contentsOf, numbered, writeDatabase } from '../support/bbolt.ts';
import { decoded, fuzz, type Verdict } from './fuzz.ts';
import { edits, mutate, type Edit } from './mutation.ts';

const large = ['y', 'x'.repeat(3 * pageBytes)] as const;
const contents = { key: [...numbered(400, 150), large], lease: [], meta: [['a', '1']] } as const;
const whole = writeDatabase(contents);

function attempt(file: Buffer): Verdict {
  const found = decoded(() => {
    const reader = new DatabaseReader(memorySource(file));
    reader.check();
    return contentsOf(reader);
  }, InvalidDatabaseError);
  if (found === undefined) return 'refused';
  // Pages have no checksums: what is still in order and in place may be other than it was.
  return JSON.stringify(found) === JSON.stringify(contents) ? 'unchanged' : 'accepted';
}

describe('databases', () => {
  const expects = ['refused', 'accepted'] as const;
  fuzz('any part', edits, (list) => attempt(mutate(whole, list)), { weight: 0.3, expects });

  // Headers and elements are where numbers are; most of the file is values.
  const heads = Array.from({ length: whole.length / pageBytes }, (_, page) => page * pageBytes);
  const inHeads = (list: readonly Edit[]): Buffer => {
    const file = Buffer.from(whole);
    for (const edit of list) {
      const at = heads[Math.floor(edit.to * heads.length)] ?? 0;
      const head = file.subarray(at, at + 256);
      mutate(head, [edit]).copy(head);
    }
    return file;
  };
  fuzz('heads of pages', edits, (list) => attempt(inHeads(list)), { weight: 0.5, expects });

  // A checksum does not keep out who can compute it.
  const withMeta = ([first]: readonly Edit[]): Buffer => {
    const file = Buffer.from(whole);
    const pages = whole.length / pageBytes;
    const { value, to } = first ?? { value: 0, to: 0 };
    const number = [0, 1, 2, pages - 1, pages, 2 ** 40][value % 6] ?? 0;
    const field = ['root', 'freelist', 'pages'][Math.floor(to * 3)] ?? 'root';
    const meta = { pageBytes, root: pages - 1, freelist: 2, pages, transaction: 9 };
    encodeMetaPage(1, { ...meta, [field]: number }).copy(file, pageBytes);
    return file;
  };
  fuzz('sealed metas', edits, (list) => attempt(withMeta(list)), {
    weight: 0.1,
    expects: ['refused', 'unchanged'],
  });

  expect(attempt(whole)).toBe('unchanged');
});
