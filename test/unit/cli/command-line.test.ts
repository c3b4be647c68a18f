import { describe, expect, test } from 'vitest';
import { parseCommandLine, pathName } from '../../../src/cli/command-line.ts';
import { ExitError } from '../../../src/cli/exit.ts';
import { program } from '../../../src/cli/program.ts';

const words = (line: string): string[] => line.split(' ').filter((word) => word !== '');

function refusal(line: string): { message: string; hint: string | undefined; code: number } {
  try {
    parseCommandLine(program, words(line));
  } catch (error) {
    if (error instanceof ExitError) {
      return { message: error.message, hint: error.hint, code: error.code };
    }
    throw error;
  }
  throw new Error(`'${line}' is understood`);
}

describe('commands', () => {
  test.each([
    ['get a', 'kvctl get'],
    ['g a', 'kvctl get'],
    ['compact 1', 'kvctl compaction'],
    ['compactio 1', 'kvctl compaction'],
    ['endpoint status', 'kvctl endpoint status'],
    ['en s', 'kvctl endpoint status'],
    ['el a b', 'kvctl elect'],
    ['-w json member list', 'kvctl member list'],
    ['--prefix get a', 'kvctl get'],
    ['', 'kvctl'],
    ['member', 'kvctl member'],
    ['help endpoint health', 'kvctl endpoint health'],
  ])('%j is %s', (line, name) => {
    expect(pathName(parseCommandLine(program, words(line)).path)).toBe(name);
  });

  test.each([
    ['gt', 'unknown command "gt" for "kvctl"', /Did you mean this\?\n\tget\n\tput\n/],
    ['comp 1', 'unknown command "comp" for "kvctl"', /compaction\n\tcompletion/],
    ['xyzzy', 'unknown command "xyzzy" for "kvctl"', /^Run 'kvctl --help' for usage\.$/],
    ['endpoint stats', 'unknown command "stats" for "kvctl endpoint"', /status/],
  ])('%j is refused with advice', (line, message, hint) => {
    expect(refusal(line)).toEqual({ message, hint: expect.stringMatching(hint), code: 1 });
  });
});

describe('flags', () => {
  test('may stand anywhere, in every notation of pflag', () => {
    for (const line of [
      '-w json get a --limit 3 --prefix',
      'get -w=json --limit=3 a --prefix=true',
      'get a -wjson --prefix=T --limit=0x3',
      '--write-out json get --limit 3 --prefix=1 a',
    ]) {
      const { flags, operands } = parseCommandLine(program, words(line));
      expect([flags.text('write-out'), flags.number('limit'), flags.boolean('prefix')]).toEqual([
        'json',
        3,
        true,
      ]);
      expect(operands).toEqual(['a']);
    }
  });

  test('have their defaults until they are set; the last value counts, lists grow', () => {
    const { flags } = parseCommandLine(program, words('get a --limit 1 --limit 2'));
    expect(flags.number('limit')).toBe(2);
    expect(flags.list('endpoints')).toEqual(['127.0.0.1:2379']);
    expect(flags.number('command-timeout')).toBe(5000);
    const some = parseCommandLine(program, ['--endpoints=a,b', '--endpoints', '"c,d"', 'get', 'a']);
    expect(some.flags.list('endpoints')).toEqual(['a', 'b', 'c,d']);
    const none = parseCommandLine(program, ['--endpoints=', 'get', 'a']);
    expect(none.flags.list('endpoints')).toEqual([]);
  });

  test('end at --, which is remembered', () => {
    const line = parseCommandLine(program, words('watch a --rev 3 -- sh -c x'));
    expect(line.operands).toEqual(['a', 'sh', '-c', 'x']);
    expect(line.terminatedAt).toBe(1);
    expect(parseCommandLine(program, words('get -')).operands).toEqual(['-']);
  });

  test.each([
    ['get a --nope', 'unknown flag: --nope'],
    ['get a --limi 3', 'unknown flag: --limi'],
    ['put a --prefix', 'unknown flag: --prefix'],
    ['--prev-kv get a', 'unknown flag: --prev-kv'],
    ['get a -z', "unknown shorthand flag: 'z' in -z"],
    ['put a -1', "unknown shorthand flag: '1' in -1"],
    ['get a --=x', 'bad flag syntax: --=x'],
    ['get a --limit', 'flag needs an argument: --limit'],
    ['get a -w', "flag needs an argument: 'w' in -w"],
    [
      'get a --limit x',
      'invalid argument "x" for "--limit" flag: strconv.ParseInt: parsing "x": invalid syntax',
    ],
    [
      'get a --prefix=yes',
      'invalid argument "yes" for "--prefix" flag: ' +
        'strconv.ParseBool: parsing "yes": invalid syntax',
    ],
    [
      'get a --dial-timeout 5',
      'invalid argument "5" for "--dial-timeout" flag: time: missing unit in duration "5"',
    ],
    [
      'get a --dial-timeout 1m5x',
      'invalid argument "1m5x" for "--dial-timeout" flag: ' +
        'time: unknown unit "x" in duration "1m5x"',
    ],
    [
      'get a --dial-timeout s',
      'invalid argument "s" for "--dial-timeout" flag: time: invalid duration "s"',
    ],
  ])('%j is refused', (line, message) => expect(refusal(line)).toMatchObject({ message, code: 1 }));

  test('a typo gets a proposal, a negative number the way around', () => {
    expect(refusal('get a --prefx').hint).toContain('Did you mean --prefix?');
    expect(refusal('put a -5').hint).toContain("goes behind '--'");
  });
});
