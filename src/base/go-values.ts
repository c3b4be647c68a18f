/** Values in the notation of Go's flag package, which etcd's flags use. */

/** Go's wording for a value that does not have the flag's type. */
export const PARSE_ERROR = 'parse error';
export const RANGE_ERROR = 'value out of range';

/** A value or the reason why there is none. */
export type Parsed<T> = { readonly value: T } | { readonly error: string };

const nanosecondsPerUnit: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  '\u00b5s': 1e3,
  '\u03bcs': 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Go's int64 nanoseconds end here: about 292 years. */
const MAX_DURATION_MS = Number((2n ** 63n - 1n) / 1_000_000n);

/** Parses a duration such as `1h15m30.5s` to milliseconds. Only `0` may come without a unit. */
export function parseDurationMs(text: string): Parsed<number> {
  const match = /^([+-]?)(.*)$/s.exec(text);
  const sign = match?.[1] === '-' ? -1 : 1;
  const body = match?.[2] ?? '';
  if (body === '0') return { value: 0 };
  if (!/^((\d+(?:\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h))+$/.test(body)) {
    return { error: PARSE_ERROR };
  }
  let nanoseconds = 0;
  for (const [, amount, unit] of body.matchAll(/(\d+(?:\.\d*)?|\.\d+)([a-z\u00b5\u03bc]+)/g)) {
    nanoseconds += Number(amount) * (nanosecondsPerUnit[unit ?? ''] ?? NaN);
  }
  const milliseconds = nanoseconds / 1e6;
  if (milliseconds > MAX_DURATION_MS) return { error: PARSE_ERROR };
  return { value: sign * milliseconds };
}

/** Writes a duration as Go does for the common cases: `10m0s`, `1.5s`, `100ms`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  if (ms < 0) return `-${formatDuration(-ms)}`;
  if (ms < 1) return `${ms * 1000}\u00b5s`;
  if (ms < 1000) return `${ms}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / 60_000);
  const seconds = (ms % 60_000) / 1000;
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}

const trueWords = new Set(['1', 't', 'T', 'true', 'TRUE', 'True']);
const falseWords = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False']);

export function parseBoolean(text: string): Parsed<boolean> {
  if (trueWords.has(text)) return { value: true };
  if (falseWords.has(text)) return { value: false };
  return { error: PARSE_ERROR };
}

/** A sign, and digits of one of four bases; `_` only between digits and behind a prefix. */
const integerPattern = new RegExp(
  '^([+-]?)' +
    '(0[xX](?:_?[\\da-fA-F])+|0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0(?:_?[0-7])*|[1-9](?:_?\\d)*)$',
);

/**
 * Parses an integer in Go's base-0 notation: decimal, 0x, 0o or 0b, with `_` between digits.
 * Values beyond 2^53-1 are clamped when `max` allows them: no limit of ours is that large.
 */
export function parseInteger(text: string, min: bigint, max: bigint): Parsed<number> {
  const match = integerPattern.exec(text);
  const digits = match?.[2]?.replaceAll('_', '');
  if (match === null || digits === undefined || (match[1] !== '' && min >= 0n)) {
    return { error: PARSE_ERROR };
  }
  const octal = /^0[0-7]+$/.test(digits);
  const magnitude = BigInt(octal ? `0o${digits.slice(1)}` : digits);
  const value = match[1] === '-' ? -magnitude : magnitude;
  if (value < min || value > max) return { error: RANGE_ERROR };
  const limit = BigInt(Number.MAX_SAFE_INTEGER);
  return { value: Number(value > limit ? limit : value < -limit ? -limit : value) };
}

/** Quotes a string as Go's %q does for printable text. */
export function quote(text: string): string {
  return JSON.stringify(text);
}
