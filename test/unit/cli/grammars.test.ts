/** What txn and watch read beyond what is compared with etcdctl in test/compat. */
import { describe, expect, test } from 'vitest';
import { fromUtf8 } from '../../../src/base/bytes.ts';
import { parseCommandLine } from '../../../src/cli/command-line.ts';
import { watchCommand } from '../../../src/cli/commands/watch.ts';
import { Terminal } from '../../../src/cli/terminal.ts';
import { parseCompare, parseOperation } from '../../../src/cli/txn-grammar.ts';
import { keysFrom, watchTarget } from '../../../src/cli/watch-grammar.ts';
import { CompareResult, CompareTarget } from '../../../src/gen/rpc.ts';

const terminal = new Terminal({
  environment: {},
  input: (async function* () {})(),
  write: async () => undefined,
  warn: () => undefined,
});

describe('comparisons', () => {
  test.each([
    ['ver("a") = "1"', CompareResult.equal, CompareTarget.version, 'version', 1],
    ['version("a") != "1"', CompareResult.notEqual, CompareTarget.version, 'version', 1],
    ['c("a") > "2"', CompareResult.greater, CompareTarget.create, 'createRevision', 2],
    ['create("a") < "-2"', CompareResult.less, CompareTarget.create, 'createRevision', -2],
    ['m("a") = "3"', CompareResult.equal, CompareTarget.mod, 'modRevision', 3],
    ['mod("a")  =  "3" more', CompareResult.equal, CompareTarget.mod, 'modRevision', 3],
    ['lease("a") = "1f"', CompareResult.equal, CompareTarget.lease, 'lease', 0x1fn],
  ] as const)('%s', (line, result, target, name, value) => {
    expect(parseCompare(line)).toMatchObject({
      result,
      target,
      targetUnion: { case: name, value },
    });
  });

  test('of values, with escapes', () => {
    const { key, targetUnion } = parseCompare('val("a\\x00\\xff") = "\\u00e9\\n"');
    expect([...key]).toEqual([0x61, 0, 0xff]);
    expect(targetUnion).toMatchObject({ case: 'value' });
    expect(fromUtf8(targetUnion?.value as Uint8Array)).toBe('é\n');
  });

  test.each([
    ['mod("a") >> "1"', 'malformed comparison: mod("a") >> "1" (unknown operator >>)'],
    ['x("a") = "1"', 'malformed comparison: x("a") = "1" (unknown target x)'],
    ['mod("a") = 1', 'malformed comparison: mod("a") = 1; got mod("a") = ""'],
    ['mod("a")= "1"', 'malformed comparison: mod("a")= "1"; got mod("a")  ""'],
    ['lease("a") = "xyz"', 'invalid txn compare request: lease("a") = "xyz"'],
  ])('%s is refused', (line, message) => {
    expect(() => parseCompare(line)).toThrow(expect.objectContaining({ message, code: 3 }));
  });
});

describe('operations', () => {
  test('put, get and del with their flags', async () => {
    const { request: put } = await parseOperation('put "k\\xff" \'a b\' --prev-kv', terminal);
    expect(put).toMatchObject({ case: 'requestPut', value: { prevKv: true } });
    const { request: get } = await parseOperation('get --prefix a --limit=2', terminal);
    expect(get).toMatchObject({ case: 'requestRange', value: { limit: 2 } });
    const { request: del } = await parseOperation('del a --from-key', terminal);
    expect(del).toMatchObject({ case: 'requestDeleteRange' });
    expect([...(del?.value as { rangeEnd: Uint8Array }).rangeEnd]).toEqual([0]);
  });

  test.each([
    ['put', 3, 'invalid txn compare request: put'],
    ['watch a', 3, 'invalid txn request: watch a'],
    ['get a --help', 3, 'invalid txn request: get a --help'],
    ['get a -w json', 3, 'invalid txn request: get a -w json'],
    ['get a --sort-by size', 4, 'bad sort target size'],
    ['del a b c', 128, expect.stringContaining('del command needs one argument')],
  ])('%s ends with code %i', async (line, code, message) => {
    await expect(parseOperation(line, terminal)).rejects.toMatchObject({ code, message });
  });

  test.each(['-- foo', '-- --rev', '--'])('%s names no command, least of all del', async (line) => {
    await expect(parseOperation(line, terminal)).rejects.toMatchObject({ code: 3 });
  });
});

describe('what to watch', () => {
  const target = (
    line: string,
    environment: Record<string, string> = {},
  ): ReturnType<typeof watchTarget> =>
    watchTarget(parseCommandLine(watchCommand, line.split(' ')), keysFrom(environment));

  test('a key, a range, a prefix, all', () => {
    const ends = ['a', 'a b', 'a --prefix', 'a b c'].map((line) => {
      const { rangeEnd } = target(line).request;
      return fromUtf8(rangeEnd as Uint8Array);
    });
    expect(ends).toEqual(['', 'b', 'b', '']);
    const all = watchTarget(parseCommandLine(watchCommand, ['', '--prefix']), []);
    expect([all.request.key, all.request.rangeEnd].map((b) => [...(b as Uint8Array)])).toEqual([
      [0],
      [0],
    ]);
  });

  test('a command, and keys from the environment', () => {
    const { request, command } = target('--rev 3 -- echo a', { ETCDCTL_WATCH_KEY: 'k' });
    expect(command).toEqual(['echo', 'a']);
    expect(request).toMatchObject({ startRevision: 3, prevKv: false, progressNotify: false });
    expect(fromUtf8(request.key as Uint8Array)).toBe('k');
  });
});
