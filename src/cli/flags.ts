/** Flags: what they are, and their values as pflag, the parser of etcdctl, reads them. */
import {
  RANGE_ERROR,
  formatDuration,
  parseBoolean,
  parseDurationMs,
  parseInteger,
  type Parsed,
} from '../base/go-values.ts';
import { quote } from './go-text.ts';

type FlagType = 'boolean' | 'string' | 'list' | 'integer' | 'duration';

export interface FlagDefinition {
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  readonly type: FlagType;
  /** In the notation of the command line. */
  readonly fallback: string;
  readonly help: string;
  /** Values that shells offer. */
  readonly choices?: readonly string[];
}

/** What switches have in common: they are off unless they are given. */
export const off = { type: 'boolean', fallback: 'false' } as const;

type Value = boolean | string | number | readonly string[];

const int64Max = 2n ** 63n - 1n;
const int64Min = -(2n ** 63n);

function durationError(text: string): string {
  if (/^[+-]?(\d+(?:\.\d*)?|\.\d+)$/.test(text))
    return `time: missing unit in duration ${quote(text)}`;
  const unit =
    /^[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|[smh]))*(?:\d+(?:\.\d*)?|\.\d+)([^\d.]+)/;
  const unknown = unit.exec(text)?.[1];
  return unknown === undefined
    ? `time: invalid duration ${quote(text)}`
    : `time: unknown unit ${quote(unknown)} in duration ${quote(text)}`;
}

/** Items of a list, separated by commas; one that holds a comma or quote is quoted as in CSV. */
function parseList(text: string): Parsed<readonly string[]> {
  if (text === '') return { value: [] };
  const items: string[] = [];
  const item = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;
  for (;;) {
    const match = item.exec(text);
    if (match === null) return { error: 'parse error: bare " in non-quoted field' };
    items.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? '');
    if (match[3] === '') return { value: items };
  }
}

function parseValue(type: FlagType, text: string): Parsed<Value> {
  switch (type) {
    case 'string':
      return { value: text };
    case 'list':
      return parseList(text);
    case 'boolean': {
      const parsed = parseBoolean(text);
      if (!('error' in parsed)) return parsed;
      return { error: `strconv.ParseBool: parsing ${quote(text)}: invalid syntax` };
    }
    case 'integer': {
      const parsed = parseInteger(text, int64Min, int64Max);
      if (!('error' in parsed)) return parsed;
      const reason = parsed.error === RANGE_ERROR ? 'value out of range' : 'invalid syntax';
      return { error: `strconv.ParseInt: parsing ${quote(text)}: ${reason}` };
    }
    case 'duration': {
      const parsed = parseDurationMs(text);
      return 'error' in parsed ? { error: durationError(text) } : parsed;
    }
  }
}

/** Values of flags by name. Asking for one that was never defined is a defect. */
export class FlagValues {
  readonly #definitions = new Map<string, FlagDefinition>();
  readonly #values = new Map<string, Value>();

  define(flags: readonly FlagDefinition[]): void {
    for (const flag of flags) this.#definitions.set(flag.name, flag);
  }

  /** Sets from text; an error comes in etcdctl's words. A list that is set twice grows. */
  set(flag: FlagDefinition, text: string): string | undefined {
    const parsed = parseValue(flag.type, text);
    if ('error' in parsed) {
      const name = flag.short === undefined ? '' : `-${flag.short}, `;
      return `invalid argument ${quote(text)} for "${name}--${flag.name}" flag: ${parsed.error}`;
    }
    const earlier = this.#values.get(flag.name);
    const grows = Array.isArray(parsed.value) && Array.isArray(earlier);
    this.#values.set(
      flag.name,
      grows ? [...(earlier as string[]), ...(parsed.value as string[])] : parsed.value,
    );
    return undefined;
  }

  isSet(name: string): boolean {
    return this.#values.has(name);
  }

  boolean(name: string): boolean {
    return this.#get(name) as boolean;
  }

  text(name: string): string {
    return this.#get(name) as string;
  }

  /** An integer, or a duration in milliseconds. */
  number(name: string): number {
    return this.#get(name) as number;
  }

  list(name: string): readonly string[] {
    return this.#get(name) as readonly string[];
  }

  /** As it is told to people. */
  shown(name: string): string {
    const value = this.#get(name);
    const isDuration = this.#definitions.get(name)?.type === 'duration';
    if (isDuration) return formatDuration(value as number);
    return Array.isArray(value) ? `[${value.join(',')}]` : value.toString();
  }

  #get(name: string): Value {
    const value = this.#values.get(name);
    if (value !== undefined) return value;
    const definition = this.#definitions.get(name);
    if (definition === undefined) throw new Error(`there is no flag --${name}`);
    const parsed = parseValue(definition.type, definition.fallback);
    if ('error' in parsed) throw new Error(`--${name}: bad default: ${parsed.error}`);
    return parsed.value;
  }
}
