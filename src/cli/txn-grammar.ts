/**
 * What `txn` reads: comparisons such as `mod("key") > "0"`, an empty line, operations for when all
 * of them hold, an empty line, operations for when one does not, an empty line.
 */
import { Compare, CompareResult, CompareTarget, type RequestOp } from '../gen/rpc.ts';
import { bytesOf } from './byte-text.ts';
import { parseCommandLine } from './command-line.ts';
import type { CommandDefinition } from './command.ts';
import { delCommand, deleteRequest } from './commands/del.ts';
import { getCommand, getRequest } from './commands/get.ts';
import { putCommand, putRequest } from './commands/put.ts';
import { ExitCode, ExitError } from './exit.ts';
import { clampToNumber, parseInt64, quote, scanQuoted, splitWords } from './go-text.ts';
import type { Terminal } from './terminal.ts';

function invalidInput(message: string, hint?: string): ExitError {
  return new ExitError(ExitCode.invalidInput, message, hint);
}

const results: Readonly<Record<string, CompareResult>> = {
  '=': CompareResult.equal,
  '!=': CompareResult.notEqual,
  '>': CompareResult.greater,
  '<': CompareResult.less,
};

const comparisonHint = 'A comparison reads like mod("key") > "0", quotes and spaces included.';

/** The three parts behind the parenthesis, as far as they can be read. */
function scanComparison(input: string): {
  readonly key: string;
  readonly operator: string;
  readonly value: string;
  readonly isComplete: boolean;
} {
  const key = scanQuoted(input);
  if (key === undefined) return { key: '', operator: '', value: '', isComplete: false };
  const operator = /^\)\s+(\S+)/.exec(key.rest);
  if (operator === null) return { key: key.value, operator: '', value: '', isComplete: false };
  const behind = key.rest.slice(operator[0].length);
  const value = /^\s/.test(behind) ? scanQuoted(behind) : undefined;
  return {
    key: key.value,
    operator: operator[1] ?? '',
    value: value?.value ?? '',
    isComplete: value !== undefined,
  };
}

type Condition = Pick<Compare, 'target' | 'targetUnion'>;

/** What is compared, and with what; undefined if the value is not of that kind. */
function conditionOf(target: string, text: string, line: string): Condition | undefined {
  const number = (base: 10 | 16): bigint | undefined => {
    const parsed = parseInt64(text, base);
    return 'error' in parsed ? undefined : parsed.value;
  };
  switch (target) {
    case 'ver':
    case 'version':
    case 'c':
    case 'create':
    case 'm':
    case 'mod': {
      const parsed = number(10);
      if (parsed === undefined) return undefined;
      const value = clampToNumber(parsed);
      if (target.startsWith('v')) {
        return { target: CompareTarget.version, targetUnion: { case: 'version', value } };
      }
      return target.startsWith('c')
        ? { target: CompareTarget.create, targetUnion: { case: 'createRevision', value } }
        : { target: CompareTarget.mod, targetUnion: { case: 'modRevision', value } };
    }
    case 'val':
    case 'value':
      return {
        target: CompareTarget.value,
        targetUnion: { case: 'value', value: bytesOf(text) },
      };
    case 'lease': {
      const value = number(16);
      if (value === undefined) return undefined;
      return { target: CompareTarget.lease, targetUnion: { case: 'lease', value } };
    }
    default:
      throw invalidInput(
        `malformed comparison: ${line} (unknown target ${target})`,
        'Targets are version (ver), create (c), mod (m), value (val) and lease.',
      );
  }
}

/** @throws ExitError in etcdctl's words */
export function parseCompare(line: string): Compare {
  const parenthesis = line.indexOf('(');
  if (parenthesis < 0) throw invalidInput(`malformed comparison: ${line}`, comparisonHint);
  const target = line.slice(0, parenthesis);
  const { key, operator, value, isComplete } = scanComparison(line.slice(parenthesis + 1));
  if (!isComplete) {
    const got = `${target}(${quote(key)}) ${operator} ${quote(value)}`;
    throw invalidInput(`malformed comparison: ${line}; got ${got}`, comparisonHint);
  }
  const condition = conditionOf(target, value, line);
  if (condition === undefined) throw invalidInput(`invalid txn compare request: ${line}`);
  const result = Object.hasOwn(results, operator) ? results[operator] : undefined;
  if (result === undefined) {
    throw invalidInput(
      `malformed comparison: ${line} (unknown operator ${operator})`,
      'Operators are =, !=, < and >.',
    );
  }
  return Compare.create({ ...condition, key: bytesOf(key), result });
}

const operations: CommandDefinition = {
  name: 'txn',
  usage: '',
  summary: '',
  flags: [],
  commands: [getCommand, putCommand, delCommand],
};

const noInput = (): Promise<Uint8Array> => Promise.resolve(new Uint8Array());

/** @throws ExitError in etcdctl's words */
export async function parseOperation(line: string, terminal: Terminal): Promise<RequestOp> {
  const words = splitWords(line);
  if ('error' in words) throw invalidInput(words.error);
  if (words.value.length < 2) throw invalidInput(`invalid txn compare request: ${line}`);
  let parsed;
  try {
    parsed = parseCommandLine(operations, words.value);
  } catch (error) {
    const hint = error instanceof Error ? `${error.message}.` : undefined;
    throw invalidInput(`invalid txn request: ${line}`, hint);
  }
  const { path, operands, flags, wantsHelp } = parsed;
  if (wantsHelp) throw invalidInput(`invalid txn request: ${line}`);
  switch (path.at(-1)) {
    case getCommand:
      return { request: { case: 'requestRange', value: getRequest(operands, flags) } };
    case putCommand: {
      // What standard input still has is the rest of the transaction.
      const value = await putRequest(operands, flags, noInput);
      return { request: { case: 'requestPut', value } };
    }
    case delCommand: {
      const value = await deleteRequest(operands, flags, terminal);
      return { request: { case: 'requestDeleteRange', value } };
    }
    default:
      // Words behind `--` are arguments, of no command.
      throw invalidInput(`invalid txn request: ${line}`);
  }
}
