/** What is watched: arguments of `watch`, of its interactive lines, and of the environment. */
import { fromKeyEnd, prefixEnd } from '../client/range-end.ts';
import type { WatchOptions } from '../client/index.ts';
import { bytesOf } from './byte-text.ts';
import type { CommandLine } from './command.ts';
import { badArguments } from './exit.ts';
import type { FlagValues } from './flags.ts';
import { quote } from './go-text.ts';
import type { Environment } from './terminal.ts';

const badNumber = 'bad number of arguments';

export interface WatchTarget {
  readonly request: WatchOptions;
  /** The command to run for each event, empty if there is none. */
  readonly command: readonly string[];
}

/** Keys from the environment, for those who have the command line in a file. */
export function keysFrom(environment: Environment): readonly string[] {
  const key = environment['ETCDCTL_WATCH_KEY'] ?? '';
  const end = environment['ETCDCTL_WATCH_RANGE_END'] ?? '';
  if (key === '' && end !== '') {
    throw badArguments(`ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END=${quote(end)}`);
  }
  if (key === '') return [];
  return end === '' ? [key] : [key, end];
}

/** Keys and command; `environmentKeys` stand in for keys of the line, and exclude them. */
function splitArguments(
  { operands, terminatedAt }: Pick<CommandLine, 'operands' | 'terminatedAt'>,
  environmentKeys: readonly string[],
): { readonly keys: readonly string[]; readonly command: readonly string[] } {
  const written = operands.slice(0, terminatedAt);
  const command = terminatedAt === undefined ? [] : operands.slice(terminatedAt);
  if (terminatedAt !== undefined && command.length === 0) {
    throw badArguments(`${badNumber} (found separator --, but no commands)`);
  }
  if (environmentKeys.length > 0 && written.length > 0) {
    throw badArguments(`${badNumber} (found conflicting environment key)`);
  }
  const keys = environmentKeys.length > 0 ? environmentKeys : written;
  if (keys.length === 0) throw badArguments(badNumber);
  return { keys, command };
}

function watchRequest(keys: readonly string[], flags: FlagValues): WatchOptions {
  const [key = '', end] = keys;
  const start = bytesOf(key);
  const isPrefix = flags.boolean('prefix');
  if (isPrefix && keys.length === 2) {
    throw badArguments('`range_end` and `--prefix` are mutually exclusive');
  }
  // As etcdctl, more arguments than two name one key.
  const rangeEnd = keys.length === 2 ? bytesOf(end ?? '') : new Uint8Array();
  const range =
    isPrefix && key === ''
      ? { key: fromKeyEnd, rangeEnd: fromKeyEnd }
      : { key: start, rangeEnd: isPrefix ? prefixEnd(start) : rangeEnd };
  return {
    ...range,
    startRevision: flags.number('rev'),
    prevKv: flags.boolean('prev-kv'),
    progressNotify: flags.boolean('progress-notify'),
  };
}

export function watchTarget(
  line: Pick<CommandLine, 'operands' | 'terminatedAt' | 'flags'>,
  environmentKeys: readonly string[],
): WatchTarget {
  const { keys, command } = splitArguments(line, environmentKeys);
  return { request: watchRequest(keys, line.flags), command };
}
