/** Databases of bbolt in memory. */
import { latin1 } from '../../src/base/bytes.ts';
import type { DatabaseReader } from '../../src/bbolt/reader.ts';
import { DatabaseWriter, layoutBytes } from '../../src/bbolt/writer.ts';

/** Pairs in key order by bucket; one character for each byte. */
export type Contents = Readonly<Record<string, readonly (readonly [string, string])[]>>;

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

export function writeDatabase(contents: Contents): Buffer {
  const fill = (writer: DatabaseWriter): DatabaseWriter => {
    for (const [bucket, pairs] of Object.entries(contents)) {
      writer.beginBucket(bytes(bucket));
      for (const [key, value] of pairs) writer.put(bytes(key), bytes(value));
      writer.endBucket();
    }
    return writer;
  };
  const layout = fill(new DatabaseWriter()).finish();
  const pages: Buffer[] = [];
  fill(new DatabaseWriter(layout, (page) => pages.push(page))).finish();
  const file = Buffer.concat(pages);
  if (file.length !== layoutBytes(layout)) throw new Error('the file has another size than told');
  return file;
}

export function contentsOf(reader: DatabaseReader): Contents {
  return Object.fromEntries(
    reader.buckets.map((bucket) => [
      bucket,
      [...reader.pairs(bucket)].map(([key, value]) => [latin1(key), latin1(value)] as const),
    ]),
  );
}

/** Pairs with keys of a revision's length, in order. */
export function numbered(count: number, valueBytes: number): (readonly [string, string])[] {
  return Array.from({ length: count }, (_, i) => {
    return [String(i).padStart(17, '0'), `${i}`.padEnd(valueBytes, '.')] as const;
  });
}
