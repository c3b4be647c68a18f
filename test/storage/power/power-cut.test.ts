/** The model of the disk itself: what it takes away, what it leaves, and that it is merciless. */
import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import { chooseSurvival, type DirectoryImage, imageAfterCut, type Survival } from './power-cut.ts';
import { RecordedDisk } from './recorded-disk.ts';
import { parseTrace } from './system-calls.ts';

/** One line each, without thread and time. */
function recorded(...calls: string[]): RecordedDisk {
  const disk = new RecordedDisk('/d');
  disk.replay(parseTrace(Buffer.from(calls.map((call) => `1 1.0 ${call}\n`).join(''))));
  return disk;
}

/** Names with contents; directories end in a slash. */
function describeImage(image: DirectoryImage, prefix = ''): string {
  const parts = [...image.entries].map(([name, entry]) =>
    entry.kind === 'directory'
      ? `${prefix}${name}/ ${describeImage(entry, `${prefix}${name}/`)}`.trim()
      : `${prefix}${name}=${entry.bytes.toString('latin1').replaceAll('\0', '0')}`,
  );
  return parts.sort().join(' ');
}

/** All that can be left after a cut, as far as many tries show. */
function possible(disk: RecordedDisk, moment = disk.moments, survival?: Survival): string[] {
  const random = new SeededRandom(moment + 1);
  const found = new Set<string>();
  for (let i = 0; i < 600; i++) {
    const chosen = survival ?? chooseSurvival(random);
    found.add(describeImage(imageAfterCut(disk, moment, chosen, random)));
  }
  return [...found].sort();
}

const create = (name: string, number: number): string =>
  `openat(AT_FDCWD, "/d/${name}", O_WRONLY|O_CREAT|O_TRUNC, 0666) = ${number}`;
const write = (number: number, text: string): string =>
  `write(${number}, "${text}", ${text.length}) = ${text.length}`;
const syncDirectory = ['openat(AT_FDCWD, "/d", O_RDONLY) = 90', 'fsync(90) = 0', 'close(90) = 0'];

describe('what survives a power cut', () => {
  test('a file whose name and content were synced', () => {
    const disk = recorded(create('a', 3), write(3, 'xyz'), 'fdatasync(3) = 0', ...syncDirectory);
    expect(possible(disk)).toEqual(['a=xyz']);
  });

  test('not surely a name, though the file was synced', () => {
    const disk = recorded(create('a', 3), write(3, 'xyz'), 'fsync(3) = 0');
    expect(possible(disk)).toEqual(['', 'a=xyz']);
  });

  test('not surely the content, though the name was synced', () => {
    const disk = recorded(create('a', 3), write(3, 'xyz'), ...syncDirectory);
    expect(possible(disk)).toEqual(['a=', 'a=0', 'a=00', 'a=000', 'a=x', 'a=xy', 'a=xyz']);
  });

  test('what was synced before, whatever was written since', () => {
    const disk = recorded(
      create('a', 3),
      write(3, 'safe'),
      'fdatasync(3) = 0',
      ...syncDirectory,
      write(3, 'xy'),
    );
    const all = possible(disk);
    expect(all).toEqual(expect.arrayContaining(['a=safe', 'a=safe0', 'a=safexy']));
    expect(all.every((each) => each.startsWith('a=safe'))).toBe(true);
  });

  test('a sync counts from its end on, for what was written before its beginning', () => {
    const disk = new RecordedDisk('/d');
    const lines = [
      `1 1.0 ${create('a', 3)}`,
      ...syncDirectory.map((call) => `1 1.0 ${call}`),
      '1 1.0 write(3, "x", 1 <unfinished ...>',
      '2 1.0 fsync(3 <unfinished ...>',
      '1 1.0 <... write resumed>) = 1',
      '2 1.0 <... fsync resumed>) = 0',
      '1 1.0 write(3, "y", 1) = 1',
      '2 1.0 fsync(3 <unfinished ...>',
      '2 1.0 <... fsync resumed>) = 0',
    ];
    disk.replay(parseTrace(Buffer.from(lines.map((line) => `${line}\n`).join(''))));
    expect(possible(disk, 16)).toContain('a=');
    expect(possible(disk, disk.moments - 1)).toContain('a=');
    expect(possible(disk)).toEqual(['a=xy']);
  });

  test('what a process sends when it is killed may have arrived, what it writes may be lost', () => {
    const disk = recorded(
      create('a', 3),
      'writev(5, [{iov_base="answer", iov_len=6}], 1) = ?',
      'write(3, "x", 1) = ?',
      '+++ killed by SIGKILL +++',
    );
    const sent = disk.sent.map(({ bytes, begin, end }) => [bytes.toString(), begin, end]);
    expect(sent).toEqual([['answer', 2, disk.moments]]);
    expect(possible(disk)).not.toContain('a=x');
  });

  test('sectors each for itself', () => {
    const sectors = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(512));
    const disk = recorded(create('a', 3), write(3, sectors.join('')), ...syncDirectory);
    const found = possible(disk, disk.moments, { names: 'all', content: 'sectors' });
    const whole = found.filter((each) => each.length === 2 + 2048);
    const pattern = (each: string): string =>
      [0, 1, 2, 3].map((i) => each[2 + 512 * i] ?? '').join('');
    expect(new Set(whole.map(pattern)).size).toBe(16);
    expect(new Set(whole).size).toBe(16);
  });

  test('a later write to another file rather than an earlier one', () => {
    const disk = recorded(
      ...[create('a', 3), create('b', 4), ...syncDirectory],
      ...[write(3, '1'), write(4, '2')],
    );
    expect(possible(disk)).toEqual(expect.arrayContaining(['a= b=2', 'a=1 b=', 'a=1 b=2']));
  });

  test('a rename as a whole', () => {
    const disk = recorded(
      ...[create('a', 3), write(3, 'old'), 'fsync(3) = 0'],
      ...[create('b', 4), write(4, 'new'), 'fsync(4) = 0', ...syncDirectory],
      'rename("/d/b", "/d/a") = 0',
    );
    expect(possible(disk)).toEqual(['a=new', 'a=old b=new']);
  });

  test('a later removal without the rename before it, but for a journal', () => {
    const disk = recorded(
      ...[create('a', 3), create('b', 4), create('c', 5), ...syncDirectory],
      ...['rename("/d/b", "/d/a") = 0', 'unlink("/d/c") = 0'],
    );
    expect(possible(disk)).toContain('a= b=');
    const journal = possible(disk, disk.moments, { names: 'earlier', content: 'all' });
    expect(journal).not.toContain('a= b=');
    expect(journal).toContain('a= c=');
  });

  test('nothing of a directory whose own name is lost', () => {
    const disk = recorded(
      ...['mkdir("/d/s", 0755) = 0', create('s/a', 3), write(3, 'x'), 'fsync(3) = 0'],
      ...['openat(AT_FDCWD, "/d/s", O_RDONLY) = 9', 'fsync(9) = 0', 'close(9) = 0'],
    );
    expect(possible(disk)).toEqual(['', 's/ s/a=x']);
  });

  test('the same from the same seed', () => {
    const disk = recorded(create('a', 3), write(3, 'x'.repeat(5000)), create('b', 4));
    expect(possible(disk)).toEqual(possible(disk));
  });
});

describe('what the recorder refuses', () => {
  test.each([
    [[create('a', 3), 'fallocate(3, 0, 0, 4096) = 0'], /fallocate/],
    [[create('a', 3), 'mmap(NULL, 9, PROT_WRITE, MAP_SHARED, 3, 0) = 0x1'], /through memory/],
    [[create('a', 3), 'lseek(3, 0, SEEK_SET) = 0'], /seeks/],
    [[create('a', 3), 'dup(3) = 4'], /dup/],
    [[create('a', 3), 'link("/d/a", "/d/b") = 0'], /link/],
    [[create('a', 3), 'rename("/d/a", "/e") = 0'], /out of it/],
    [['io_uring_setup(8, {}) = 3'], /io_uring_setup/],
  ])('%j', (calls, message) => {
    expect(() => recorded(...calls)).toThrow(message);
  });

  test('not what concerns other files', () => {
    const disk = recorded(
      'openat(AT_FDCWD, "/e/x", O_WRONLY|O_CREAT, 0666) = 3',
      'dup(3) = 4',
      write(3, 'sent'),
    );
    expect(disk.sent.map(({ bytes }) => bytes.toString())).toEqual(['sent']);
    expect(possible(disk)).toEqual(['']);
  });
});
