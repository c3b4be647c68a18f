import { describe, expect, test } from 'vitest';
import { type Argument, parseTrace } from './system-calls.ts';

function parse(...lines: string[]): ReturnType<typeof parseTrace> {
  return parseTrace(Buffer.from(lines.map((line) => `${line}\n`).join(''), 'latin1'));
}

/** Arguments in short: strings as text, lists in brackets. */
function short(args: readonly Argument[]): unknown[] {
  return args.map((argument) => {
    if (argument.kind === 'list') return short(argument.items);
    return argument.kind === 'text' ? argument.text : `'${argument.bytes.toString('latin1')}'`;
  });
}

describe('lines of strace', () => {
  test('a call with its arguments, result and time', () => {
    const { calls, moments, timesMs } = parse(
      '12 1.500000 openat(AT_FDCWD, "/d/f", O_WRONLY|O_CREAT, 0600) = 7',
    );
    expect(short(calls[0]?.arguments ?? [])).toEqual([
      'AT_FDCWD',
      "'/d/f'",
      'O_WRONLY|O_CREAT',
      '0600',
    ]);
    expect(calls[0]).toMatchObject({ name: 'openat', result: 7, begin: 0, end: 2 });
    expect(moments).toBe(2);
    expect([...timesMs]).toEqual([1500]);
  });

  test('an error is a negative result', () => {
    const { calls } = parse('12 1.5 mkdir("/d", 0755) = -1 EEXIST (File exists)');
    expect(calls[0]?.result).toBe(-1);
  });

  test('every byte can be written', () => {
    const all = Array.from({ length: 256 }, (_, i) => i);
    const named = new Map([
      ...Object.entries({ n: 10, t: 9, r: 13, v: 11, f: 12 }).map(
        ([letter, byte]) => [byte, `\\${letter}`] as const,
      ),
      [34, '\\"'] as const,
      [92, '\\\\'] as const,
    ]);
    // Before a digit three digits are needed, before anything else as few as there are.
    const shortest = all.map((byte) => named.get(byte) ?? `\\${byte.toString(8)}`);
    const text = shortest.map((each) => `${each}x`).join('');
    const long = all.map((byte) => `\\${byte.toString(8).padStart(3, '0')}7`).join('');
    const { calls } = parse(
      `1 1.0 write(3, "${text}", 512) = 512`,
      `1 1.0 write(3, "${long}", 9) = 9`,
    );
    const bytes = calls.map((call) => short(call.arguments)[1]);
    expect(bytes).toEqual([
      `'${all.map((byte) => `${String.fromCharCode(byte)}x`).join('')}'`,
      `'${all.map((byte) => `${String.fromCharCode(byte)}7`).join('')}'`,
    ]);
  });

  test('brackets, commas and what strace itself writes may be in a string', () => {
    const { calls } = parse('1 1.0 write(3, ") = 5, [{<unfinished ...>", 22 <unfinished ...>');
    expect(short(calls[0]?.arguments ?? [])).toEqual(['3', "') = 5, [{<unfinished ...>'", '22']);
    expect(calls[0]?.end).toBe(Infinity);
  });

  test('vectors and messages', () => {
    const { calls } = parse(
      '1 1.0 writev(9, [{iov_base="a, b", iov_len=4}, {iov_base="]", iov_len=1}], 2) = 5',
      '1 1.0 sendmsg(9, {msg_name=NULL, msg_iov=[{iov_base="x", iov_len=1}], msg_flags=0}, 0) = 1',
      '1 1.0 mmap(NULL, 40 /* pages */, PROT_READ, MAP_PRIVATE, 3, 0) = 0x7f0012340000',
    );
    expect(calls.map((call) => short(call.arguments))).toEqual([
      [
        '9',
        [
          ["'a, b'", 'iov_len=4'],
          ["']'", 'iov_len=1'],
        ],
        '2',
      ],
      ['9', ['msg_name=NULL', [["'x'", 'iov_len=1']], 'msg_flags=0'], '0'],
      ['NULL', '40 /* pages */', 'PROT_READ', 'MAP_PRIVATE', '3', '0'],
    ]);
    expect(calls[2]?.result).toBe(0x7f0012340000);
  });

  test('calls of threads overlap', () => {
    const { calls, moments } = parse(
      '10 1.0 fsync(3 <unfinished ...>',
      '11 1.1 write(4, "a", 1 <unfinished ...>',
      '10 1.2 <... fsync resumed>) = 0',
      '12 1.3 close(5) = 0',
      '11 1.4 <... write resumed>) = 1',
      '11 1.5 +++ exited with 0 +++',
      '10 1.6 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER} ---',
    );
    expect(calls.map(({ name, begin, end }) => [name, begin, end])).toEqual([
      ['fsync', 0, 6],
      ['write', 2, 10],
      ['close', 6, 8],
    ]);
    expect(moments).toBe(14);
  });

  test('a process that is killed leaves calls without an end', () => {
    const { calls } = parse(
      '10 1.0 fsync(3 <unfinished ...>',
      '11 1.1 fdatasync(4) = ?',
      '10 1.2 +++ killed by SIGKILL +++',
    );
    expect(calls.map(({ result, end }) => [result, end])).toEqual([
      [undefined, Infinity],
      [undefined, Infinity],
    ]);
  });

  test('a last line without an end is not there', () => {
    expect(parseTrace(Buffer.from('1 1.0 close(3) = 0\n1 1.0 write(3, "ab')).calls.length).toBe(1);
  });

  test.each([
    ['1 1.0 write(3, "abc"..., 10) = 10', /-s is too small/],
    ['strace: something went wrong', /not a line of strace/],
    ['1 1.0 <... fsync resumed>) = 0', /nothing to resume/],
  ])('refused: %s', (line, message) => {
    expect(() => parse(line)).toThrow(message);
  });
});
