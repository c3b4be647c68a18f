/** Flag values after their text was understood, from whichever source they came. */
import { assert, present, unreachable } from '../base/assert.ts';
import { parseFeatureGates } from './feature-gates.ts';
import type { FlagDefinition, FlagType } from './flag.ts';
import { flagsByName } from './flag-table.ts';
import type { Parsed } from '../base/go-values.ts';
import {
  PARSE_ERROR,
  parseBoolean,
  parseDurationMs,
  parseInteger,
  quote,
  RANGE_ERROR,
} from '../base/go-values.ts';
import { parseUrls } from './urls.ts';

export type FlagValue = string | number | boolean | readonly string[];

const MIN_INT64 = -(2n ** 63n);
const MAX_INT64 = 2n ** 63n - 1n;
const MAX_UINT64 = 2n ** 64n - 1n;
const MAX_UINT32 = 2n ** 32n - 1n;

/** Go's own parser of 32-bit values has words of its own. */
function parseUint32(text: string): Parsed<number> {
  const parsed = parseInteger(text, 0n, MAX_UINT32);
  if (!('error' in parsed)) return parsed;
  const reason = parsed.error === RANGE_ERROR ? RANGE_ERROR : 'invalid syntax';
  return { error: `strconv.ParseUint: parsing ${quote(text)}: ${reason}` };
}

/** Origins may be URLs or the word for all of them. */
function parseOrigins(text: string): Parsed<readonly string[]> {
  const parts = text.split(',').filter((part) => part !== '');
  const urls = parts.filter((part) => part !== '*');
  if (urls.length === 0) return { value: parts };
  const parsed = parseUrls(urls.join(','));
  return 'error' in parsed ? parsed : { value: [...parts.filter((p) => p === '*'), ...urls] };
}

function parseText(type: FlagType, text: string): Parsed<FlagValue> {
  switch (type) {
    case 'string':
      return { value: text };
    case 'boolean':
      return parseBoolean(text);
    case 'unsigned':
      return parseInteger(text, 0n, MAX_UINT64);
    case 'uint32':
      return parseUint32(text);
    case 'integer':
      return parseInteger(text, MIN_INT64, MAX_INT64);
    case 'duration':
      return parseDurationMs(text);
    case 'urls':
      return text === '' ? { value: [] } : parseUrls(text);
    case 'origins':
      return parseOrigins(text);
    case 'feature-gates':
      return parseFeatureGates(text);
    case 'cluster-state':
      return text === 'new' || text === 'existing' ? { value: text } : { error: 'invalid value' };
    default:
      return unreachable(type);
  }
}

/** Reads a flag's text; the error is the reason alone. */
export function parseFlag(flag: FlagDefinition, text: string): Parsed<FlagValue> {
  return parseText(flag.type, text);
}

const scalarTypes: readonly string[] = ['string', 'number', 'bigint', 'boolean'];

/**
 * Reads a value from a YAML file, where types come from the file: durations are numbers of
 * nanoseconds, lists may be lists.
 */
export function parseFileValue(flag: FlagDefinition, value: unknown): Parsed<FlagValue> {
  if (flag.type === 'boolean') {
    return typeof value === 'boolean' ? { value } : { error: 'expected true or false' };
  }
  if (flag.type === 'duration') {
    if (typeof value === 'number' && Number.isSafeInteger(value)) return { value: value / 1e6 };
    return { error: 'expected a whole number of nanoseconds' };
  }
  if (Array.isArray(value)) {
    // What else a list can hold has no text, or one that nobody wrote.
    if (!value.every((item) => scalarTypes.includes(typeof item))) {
      return { error: 'expected a list of plain values' };
    }
    return parseFlag(flag, value.map(String).join(','));
  }
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint') {
    const parsed = parseFlag(flag, String(value));
    const isNumber = flag.type === 'unsigned' || flag.type === 'integer' || flag.type === 'uint32';
    if (isNumber && 'error' in parsed && parsed.error === PARSE_ERROR) {
      return { error: 'expected a whole number' };
    }
    return parsed;
  }
  return { error: `expected a ${flag.type}` };
}

/** The value of every flag: what was given, or else the flag's default. */
export class FlagValues {
  readonly #given = new Map<string, FlagValue>();

  set(name: string, value: FlagValue): void {
    this.#given.set(name, value);
  }

  isSet(name: string): boolean {
    return this.#given.has(name);
  }

  get givenNames(): readonly string[] {
    return [...this.#given.keys()];
  }

  get(name: string): FlagValue {
    const given = this.#given.get(name);
    if (given !== undefined) return given;
    const flag = present(flagsByName.get(name), `flag --${name}`);
    const parsed = parseFlag(flag, flag.fallback);
    assert(!('error' in parsed), `the default of --${name} cannot be parsed`);
    return parsed.value;
  }

  string(name: string): string {
    const value = this.get(name);
    assert(typeof value === 'string', `--${name} is not a string`);
    return value;
  }

  number(name: string): number {
    const value = this.get(name);
    assert(typeof value === 'number', `--${name} is not a number`);
    return value;
  }

  boolean(name: string): boolean {
    const value = this.get(name);
    assert(typeof value === 'boolean', `--${name} is not a boolean`);
    return value;
  }

  list(name: string): readonly string[] {
    const value = this.get(name);
    assert(typeof value === 'object', `--${name} is not a list`);
    return value;
  }

  /** The parts of a comma-separated string, without duplicates. */
  words(name: string): readonly string[] {
    return [...new Set(this.string(name).split(','))].filter((word) => word !== '');
  }
}
