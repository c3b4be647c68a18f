/** `get`: keys and values, now or at an earlier revision. */
import { fromKeyEnd, prefixEnd } from '../../client/range-end.ts';
import type { KeyValue } from '../../gen/kv.ts';
import { RangeRequest, RangeResponse, SortOrder, SortTarget } from '../../gen/rpc.ts';
import { bytesOf } from '../byte-text.ts';
import type { CommandDefinition, CommandLine } from '../command.ts';
import { ExitCode, ExitError, badArguments } from '../exit.ts';
import { type FlagDefinition, type FlagValues, off } from '../flags.ts';
import { quote } from '../go-text.ts';
import type { Session } from '../session.ts';

const sortOrders: Readonly<Record<string, SortOrder>> = {
  '': SortOrder.none,
  ASCEND: SortOrder.ascend,
  DESCEND: SortOrder.descend,
};

const sortTargets: Readonly<Record<string, SortTarget>> = {
  '': SortTarget.key,
  CREATE: SortTarget.create,
  KEY: SortTarget.key,
  MODIFY: SortTarget.mod,
  VALUE: SortTarget.value,
  VERSION: SortTarget.version,
};

function choose<T>(choices: Readonly<Record<string, T>>, text: string, what: string): T {
  const name = text.toUpperCase();
  const chosen = Object.hasOwn(choices, name) ? choices[name] : undefined;
  if (chosen !== undefined) return chosen;
  const known = Object.keys(choices).filter((choice) => choice !== '');
  throw new ExitError(
    ExitCode.badFeature,
    `bad sort ${what} ${text}`,
    `Known are ${known.join(', ')}.`,
  );
}

/** Whether `l` (linearizable) or `s` (serializable) is asked for. */
export function isSerializable(flags: FlagValues): boolean {
  const text = flags.text('consistency');
  if (text === 's' || text === 'l') return text === 's';
  throw new ExitError(
    ExitCode.badFeature,
    `unknown consistency flag ${quote(text)}`,
    'Known are l (linearizable) and s (serializable).',
  );
}

const zeroKey = Uint8Array.of(0);

/** What --prefix, --from-key and a second argument make of a key, for `get` and `del` alike. */
export function rangeOf(
  [key = '', end]: readonly string[],
  flags: FlagValues,
): { readonly key: Uint8Array; readonly rangeEnd?: Uint8Array } {
  const start = bytesOf(key);
  if (flags.boolean('from-key') || (flags.boolean('prefix') && key === '')) {
    return { key: key === '' ? zeroKey : start, rangeEnd: fromKeyEnd };
  }
  if (flags.boolean('prefix')) return { key: start, rangeEnd: prefixEnd(start) };
  return end === undefined ? { key: start } : { key: start, rangeEnd: bytesOf(end) };
}

export function checkRange(operands: readonly string[], flags: FlagValues): void {
  const [prefix, fromKey] = [flags.boolean('prefix'), flags.boolean('from-key')];
  if (prefix && fromKey) {
    throw badArguments('`--prefix` and `--from-key` cannot be set at the same time, choose one');
  }
  if (operands.length > 1 && (prefix || fromKey)) {
    throw badArguments(
      'too many arguments, only accept one argument when `--prefix` or `--from-key` is set',
    );
  }
}

function revisionBounds(
  flags: FlagValues,
  what: 'Create' | 'Mod',
): { readonly min: number; readonly max: number } {
  const name = what.toLowerCase();
  const min = Math.max(flags.number(`min-${name}-rev`), 0);
  const max = Math.max(flags.number(`max-${name}-rev`), 0);
  if (max > 0 && min > max) {
    throw new ExitError(
      ExitCode.badFeature,
      `getMin${what}Rev(=${min}) > getMax${what}Rev(=${max})`,
    );
  }
  return { min, max };
}

/** The request that arguments and flags of `get` mean, in a txn too. */
export function getRequest(operands: readonly string[], flags: FlagValues): RangeRequest {
  if (operands.length === 0) {
    throw badArguments(
      'get command needs one argument as key and an optional argument as range_end',
    );
  }
  const [keysOnly, countOnly] = [flags.boolean('keys-only'), flags.boolean('count-only')];
  const serializable = isSerializable(flags);
  if (keysOnly && countOnly) {
    throw badArguments(
      '`--keys-only` and `--count-only` cannot be set at the same time, choose one',
    );
  }
  checkRange(operands, flags);
  const sortOrder = choose(sortOrders, flags.text('order'), 'order');
  const sortTarget = choose(sortTargets, flags.text('sort-by'), 'target');
  const create = revisionBounds(flags, 'Create');
  const mod = revisionBounds(flags, 'Mod');
  return RangeRequest.create({
    ...rangeOf(operands, flags),
    limit: flags.number('limit'),
    revision: Math.max(flags.number('rev'), 0),
    // Sorting by key in no order is what the server does by itself.
    sortOrder,
    sortTarget,
    serializable,
    keysOnly,
    countOnly,
    minCreateRevision: create.min,
    maxCreateRevision: create.max,
    minModRevision: mod.min,
    maxModRevision: mod.max,
  });
}

/** The pieces of a streamed range as the one answer that they add up to. */
async function merge(pieces: AsyncIterable<RangeResponse>): Promise<RangeResponse> {
  const kvs: KeyValue[] = [];
  let last = RangeResponse.create();
  for await (const piece of pieces) {
    for (const kv of piece.kvs) kvs.push(kv);
    last = piece;
  }
  return { header: last.header, kvs, more: last.more, count: last.count };
}

async function run({ operands, flags }: CommandLine, session: Session): Promise<void> {
  const request = getRequest(operands, flags);
  const client = await session.client();
  const { printer } = await session.settings();
  if (request.countOnly && printer.format !== 'fields') {
    throw badArguments('--count-only is only for `--write-out=fields`');
  }
  if (flags.boolean('print-value-only')) {
    if (printer.format !== 'simple') {
      throw badArguments('print-value-only is only for `--write-out=simple`');
    }
    printer.valuesOnly = true;
  }
  const isStreamed = flags.boolean('stream');
  printer.range(
    isStreamed ? await merge(client.rangeStream(request)) : await client.range(request),
  );
}

const none = { type: 'integer', fallback: '0' } as const;

export const consistencyFlag: FlagDefinition = {
  name: 'consistency',
  type: 'string',
  fallback: 'l',
  help: 'l (linearizable): what the cluster has; s (serializable): what this member has',
  choices: ['l', 's'],
};

export const getCommand: CommandDefinition = {
  name: 'get',
  usage: '[options] <key> [range_end]',
  summary: 'Print a key or a range of keys',
  description: 'A range goes from <key> up to but without [range_end].',
  examples: [
    { line: 'get greeting', tells: 'one key and its value' },
    { line: 'get --prefix config/ --keys-only', tells: 'names of all keys below config/' },
    { line: "get --prefix '' --limit 10", tells: 'the first ten keys' },
    { line: 'get greeting --rev 7 --print-value-only', tells: 'a value as it was at revision 7' },
    { line: 'get greeting -w json', tells: 'with revisions, for programs' },
    { line: "get --prefix '' --count-only -w fields", tells: 'how many keys there are' },
  ],
  flags: [
    consistencyFlag,
    {
      name: 'order',
      type: 'string',
      fallback: '',
      help: 'order of results: ASCEND (as by default) or DESCEND',
      choices: ['ASCEND', 'DESCEND'],
    },
    {
      name: 'sort-by',
      type: 'string',
      fallback: '',
      help: 'what to sort by: CREATE, KEY, MODIFY, VALUE or VERSION',
      choices: ['CREATE', 'KEY', 'MODIFY', 'VALUE', 'VERSION'],
    },
    { ...none, name: 'limit', help: 'at most this many results; 0 is all' },
    { ...off, name: 'prefix', help: 'all keys that begin with <key>' },
    { ...off, name: 'from-key', help: 'all keys from <key> on, in the order of bytes' },
    { ...none, name: 'rev', help: 'as it was at this revision; 0 is now' },
    { ...off, name: 'keys-only', help: 'without values' },
    { ...off, name: 'count-only', help: 'only how many; with --write-out=fields' },
    { ...off, name: 'print-value-only', help: 'without keys; with --write-out=simple' },
    { ...none, name: 'min-create-rev', help: 'created at this revision or later' },
    { ...none, name: 'max-create-rev', help: 'created at this revision or earlier' },
    { ...none, name: 'min-mod-rev', help: 'changed last at this revision or later' },
    { ...none, name: 'max-mod-rev', help: 'changed last at this revision or earlier' },
    { ...off, name: 'stream', help: 'in pieces, for ranges that are large' },
  ],
  run,
};
