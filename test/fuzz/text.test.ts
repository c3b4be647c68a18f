/** What people write: flags, variables and configuration files, command lines and transactions. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { parseDurationMs, parseInteger } from '../../src/base/go-values.ts';
import { bytesOf, textOf } from '../../src/cli/byte-text.ts';
import { parseCommandLine } from '../../src/cli/command-line.ts';
import { ExitError } from '../../src/cli/exit.ts';
import { quote, scanQuoted, splitWords, unquote } from '../../src/cli/go-text.ts';
import { readEnvironment } from '../../src/cli/global-flags.ts';
import { program } from '../../src/cli/program.ts';
import { Terminal } from '../../src/cli/terminal.ts';
import { parseCompare, parseOperation } from '../../src/cli/txn-grammar.ts';
import { keysFrom, watchTarget } from '../../src/cli/watch-grammar.ts';
import { parseAddress } from '../../src/client/address.ts';
import type { FlagDefinition } from '../../src/config/flag.ts';
import { flagsByName } from '../../src/config/flag-table.ts';
import { environmentName, parseConfig } from '../../src/config/parse.ts';
import { parseInitialCluster, parseUrls, splitHostPort } from '../../src/config/urls.ts';
import { Compare, RequestOp } from '../../src/gen/rpc.ts';
import { decoded, expectSame, fuzz, type Verdict } from './fuzz.ts';
import { edits, mutateText, type Edit } from './mutation.ts';

const anyText = fc.string({ unit: 'binary', maxLength: 20 });
const someTexts = (...texts: readonly string[]): fc.Arbitrary<string> => fc.constantFrom(...texts);

/** Texts that are right for some flag, and damaged ones. */
const valueText = fc
  .tuple(
    someTexts(
      ...['true', 'false', '0', '1', '-1', '100000', '0x1F', '0b101', '0o17', '1_000'],
      ...['18446744073709551615', '1h15m30.5s', '100ms', '-2us', '.5s', 'new', 'existing'],
      ...['http://127.0.0.1:2379', 'https://[::1]:2380,unix:///tmp/x', '*', 'a', 'periodic'],
      ...['a=http://10.0.0.1:2380,b=http://10.0.0.2:2380', 'TLS1.3', 'json', 'info', 'default'],
    ),
    fc.oneof(fc.constant<readonly Edit[]>([]), edits),
  )
  .map(([text, changes]) => mutateText(text, changes));

describe('values', () => {
  const attempt = (text: string): Verdict => {
    const parsed = [
      parseInteger(text, -(2n ** 63n), 2n ** 63n - 1n),
      parseInteger(text, 0n, 2n ** 32n - 1n),
      parseDurationMs(text),
      parseUrls(text),
      parseInitialCluster(text),
    ];
    splitHostPort(text);
    const address = decoded(() => parseAddress(text), RangeError);
    return address !== undefined || parsed.some((each) => 'value' in each) ? 'accepted' : 'refused';
  };
  fuzz('numbers, durations, URLs', fc.oneof(valueText, anyText), attempt, { weight: 3 });
});

const flagList = [...flagsByName.values()].filter(({ name }) => name !== 'config-file');
const flag: fc.Arbitrary<FlagDefinition> = fc.constantFrom(...flagList);

const serverArguments = fc
  .array(
    fc.oneof(
      fc.tuple(flag, valueText).map(([{ name }, text]) => [`--${name}=${text}`]),
      fc.tuple(flag, valueText).map(([{ name }, text]) => [`-${name}`, text]),
      fc.tuple(flag, edits).map(([{ name }, changes]) => [mutateText(`--${name}`, changes)]),
    ),
    { maxLength: 4 },
  )
  .map((words) => words.flat());
const environment = fc
  .array(fc.tuple(flag, valueText), { maxLength: 3 })
  .map((list) => Object.fromEntries(list.map(([{ name }, text]) => [environmentName(name), text])));

describe('flags and variables of the server', () => {
  const attempt = ([words, variables]: [string[], Record<string, string>]): Verdict => {
    const result = parseConfig(
      words.filter((word) => !/^--?config-file/.test(word)),
      variables,
    );
    if (result.kind === 'start' || result.kind === 'print') return 'accepted';
    expect(result.message).not.toBe('');
    return 'refused';
  };
  fuzz('command line', fc.tuple(serverArguments, environment), attempt);
});

describe('configuration files', () => {
  let directory = '';
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'quorate-fuzz-'));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  const attempt = (text: string): Verdict => {
    const path = join(directory, 'quorate.yaml');
    writeFileSync(path, text);
    const result = parseConfig([`--config-file=${path}`], {});
    if (result.kind === 'start') return 'accepted';
    expect(result.kind).toBe('invalid');
    return 'refused';
  };

  /** Names that every object of JavaScript has. */
  const odd = someTexts('toString', 'constructor', '__proto__', 'valueOf', 'hasOwnProperty');
  const key = fc.oneof(
    flag.map(({ name }) => name),
    someTexts('client-transport-security', 'peer-transport-security', 'cert-file', 'auto-tls'),
    odd,
  );
  const scalar = fc.oneof(valueText, fc.integer(), fc.double(), fc.boolean(), fc.constant(null));
  const tree = fc.letrec((tie) => ({
    value: fc.oneof(
      { weight: 4, arbitrary: scalar },
      { weight: 1, arbitrary: fc.array(tie('value'), { maxLength: 3 }) },
      {
        weight: 1,
        arbitrary: fc.array(fc.tuple(key, tie('value')), { maxLength: 3 }).map(mapping),
      },
    ),
  }));
  /** Object.fromEntries would lose the key __proto__. */
  function mapping(pairs: readonly (readonly [string, unknown])[]): unknown {
    const items = pairs.map(([name, value]) => `${JSON.stringify(name)}: ${yaml(value)}`);
    return { toJSON: () => undefined, text: `{${items.join(', ')}}` };
  }
  function yaml(value: unknown): string {
    if (Array.isArray(value)) return `[${value.map(yaml).join(', ')}]`;
    if (typeof value === 'object' && value !== null) return (value as { text: string }).text;
    return JSON.stringify(value);
  }
  const file = fc
    .array(fc.tuple(key, tree.value), { maxLength: 5 })
    .map((pairs) => pairs.map(([name, value]) => `${name}: ${yaml(value)}\n`).join(''));
  fuzz('files of flags', file, attempt, { weight: 0.3 });
  const damaged = fc.tuple(file, edits).map(([text, changes]) => mutateText(text, changes));
  fuzz('damaged files', damaged, attempt, { weight: 0.3 });
  fuzz('any text', fc.oneof(anyText, fc.string({ unit: 'grapheme' })), attempt, { weight: 0.2 });
});

describe('text with any bytes', () => {
  const attempt = (bytes: Uint8Array): Verdict => {
    const text = textOf(bytes);
    expectSame(bytesOf(text), bytes);
    const quoted = quote(text);
    expect(unquote(quoted.slice(1, -1))).toBe(text);
    expect(scanQuoted(`  ${quoted} rest`)).toEqual({ value: text, rest: ' rest' });
    return 'accepted';
  };
  fuzz('bytes, quoted', fc.uint8Array({ maxLength: 40 }), attempt, { expects: ['accepted'] });

  const attemptText = (written: string): Verdict => {
    // As it comes from a terminal: as bytes.
    const text = textOf(Buffer.from(written));
    const value = unquote(text);
    const words = splitWords(text);
    scanQuoted(text);
    if (value !== undefined) expect(unquote(quote(value).slice(1, -1))).toBe(value);
    return value === undefined || 'error' in words ? 'refused' : 'accepted';
  };
  const literal = fc
    .tuple(someTexts('\\x61\\x62', '\\u00e9\\U0001f600', '"a b" \'c\' d\\"', '\\377\\n'), edits)
    .map(([text, changes]) => mutateText(text, changes));
  fuzz('quoted texts and words', fc.oneof(literal, anyText), attemptText);
});

const terminal = new Terminal({
  environment: {},
  input: (async function* () {})(),
  write: () => Promise.resolve(),
  warn: () => undefined,
});

const lines = (...texts: readonly string[]): fc.Arbitrary<string> =>
  fc
    .tuple(someTexts(...texts), fc.oneof(fc.constant<readonly Edit[]>([]), edits))
    .map(([text, changes]) => mutateText(text, changes));

describe('transactions of kvctl', () => {
  const comparisons = lines(
    ...['mod("key") > "0"', 'create("k\\x00") = "12"', 'ver("a") != "1"', 'lease("l") = "1f"'],
    ...['value("a\\"b") < "c"', 'val(`raw`) = `raw`', 'c("k") > "9223372036854775807"'],
  );
  const compare = (line: string): Verdict => {
    const found = decoded(() => parseCompare(line), ExitError);
    if (found === undefined) return 'refused';
    expectSame(Compare.decode(Buffer.from(Compare.encode(found))), found);
    return 'accepted';
  };
  fuzz('comparisons', comparisons, compare);

  const operations = lines(
    ...['get key', 'put key "value with spaces"', 'del --prefix a', 'get --limit=3 a b'],
    ...["put 'k' --lease=12ab v", 'get "" --prefix --keys-only --order=DESCEND', 'del a --prev-kv'],
  );
  const operation = async (line: string): Promise<Verdict> => {
    const found = await parseOperation(line, terminal).catch((error: unknown) => {
      if (error instanceof ExitError) return undefined;
      throw error;
    });
    if (found === undefined) return 'refused';
    expectSame(RequestOp.decode(Buffer.from(RequestOp.encode(found))), found);
    return 'accepted';
  };
  /** Before it deletes a range that --range does not confirm, kvctl waits for two seconds. */
  const waits = (line: string): boolean => {
    const words = splitWords(line);
    if ('error' in words) return false;
    const [command = '', ...operands] = words.value.filter((word) => !word.startsWith('-'));
    return command.startsWith('d') && operands.length > 1;
  };
  const prompt = operations.filter((line) => !waits(line));
  fuzz('operations', prompt, operation, { timeMaxMs: 5000 });
});

describe('command lines of kvctl', () => {
  const examples = [
    ['get', 'a', '--prefix', '-w', 'json'],
    ['--endpoints=a:1,b:2', 'put', 'k', 'v', '--lease', '1f'],
    ['watch', 'a', 'b', '--rev=3', '--', 'echo', '-n'],
    ['endpoint', 'status', '--cluster', '--command-timeout=1.5s'],
    ['txn', '-i', '--write-out=table'],
    ['-d', 'example.com', '--insecure-discovery=false', 'member', 'list'],
    ['compaction', '10', '--physical', '--debug', '--user', 'a:b'],
  ];
  const words = fc
    .tuple(fc.constantFrom(...examples), fc.array(fc.tuple(fc.nat(9), edits), { maxLength: 2 }))
    .map(([example, changes]) => {
      const list = [...example];
      for (const [at, edit] of changes) {
        list[at % list.length] = mutateText(list[at % list.length] ?? '', edit);
      }
      return list;
    });
  const attempt = (list: readonly string[]): Verdict => {
    const line = decoded(() => parseCommandLine(program, list), ExitError);
    if (line === undefined) return 'refused';
    if (line.path.at(-1)?.name === 'watch' && !line.wantsHelp) {
      if (decoded(() => watchTarget(line, []), ExitError) === undefined) return 'refused';
    }
    return 'accepted';
  };
  fuzz('words', words, attempt);

  const names = [...program.flags.map(({ name }) => `ETCDCTL_${name.toUpperCase()}`)].map((name) =>
    name.replaceAll('-', '_'),
  );
  const variables = fc
    .array(fc.tuple(someTexts(...names, 'ETCDCTL_WATCH_KEY', 'ETCDCTL_X'), valueText))
    .map((pairs) => Object.fromEntries(pairs));
  const attemptVariables = (list: Readonly<Record<string, string>>): Verdict => {
    const warnings: string[] = [];
    const { flags } = parseCommandLine(program, ['version']);
    readEnvironment(list, flags, (line) => warnings.push(line));
    decoded(() => keysFrom(list), ExitError);
    return warnings.length > 0 ? 'refused' : 'accepted';
  };
  fuzz('variables', variables, attemptVariables);
});
