/** Texts as Go reads and writes them: quoted strings, numbers, durations, sizes. */
import { type Parsed } from '../base/go-values.ts';
import { escapeByte, escapedByte, normalize, textOf } from './byte-text.ts';

const namedEscapes: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
};

/** What Go's unicode.IsPrint holds to be printable. */
const printable = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;

function quoteCharacter(character: string): string {
  const named = namedEscapes[character];
  if (named !== undefined) return named;
  const byte = escapedByte(character);
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
  if (byte !== undefined) return `\\x${hex(byte, 2)}`;
  if (printable.test(character)) return character;
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x80) return `\\x${hex(code, 2)}`;
  return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
}

/** Go's %q. */
export function quote(text: string | Uint8Array): string {
  const characters = typeof text === 'string' ? text : textOf(text);
  return `"${Array.from(characters, quoteCharacter).join('')}"`;
}

const simpleEscapes: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
};

const escape =
  /\\(?:([abfnrtv\\"])|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{3}))/y;

/** The content of a Go string literal without its double quotes; undefined if it is none. */
export function unquote(body: string): string | undefined {
  let text = '';
  for (let at = 0; at < body.length;) {
    if (body[at] !== '\\') {
      if (body[at] === '\n') return undefined;
      text += body[at++] ?? '';
      continue;
    }
    escape.lastIndex = at;
    const match = escape.exec(body);
    if (match === null) return undefined;
    const [whole, simple, hexByte, short, long, octal] = match;
    const code = short ?? long;
    if (simple !== undefined) text += simpleEscapes[simple] ?? '';
    else if (hexByte !== undefined) text += escapeByte(parseInt(hexByte, 16));
    else if (code !== undefined) {
      const point = parseInt(code, 16);
      if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return undefined;
      text += String.fromCodePoint(point);
    } else {
      const byte = parseInt(octal ?? '', 8);
      if (byte > 255) return undefined;
      text += escapeByte(byte);
    }
    at += whole.length;
  }
  return normalize(text);
}

/** A quoted string at the start of `input` and what follows it, as Go's Sscanf reads `%q`. */
export function scanQuoted(input: string): { value: string; rest: string } | undefined {
  const match = /^\s*(?:"((?:[^"\\]|\\[^])*)"|`([^`]*)`)/.exec(input);
  if (match === null) return undefined;
  const value = match[2] ?? unquote(match[1] ?? '');
  return value === undefined ? undefined : { value, rest: input.slice(match[0].length) };
}

const int64Max = 2n ** 63n - 1n;
const int64Min = -(2n ** 63n);
const uint64Max = 2n ** 64n - 1n;

/** Go's strconv.ParseInt of 64 bits; an error comes in its words. */
export function parseInt64(text: string, base: 10 | 16): Parsed<bigint> {
  const failed = (reason: string): { error: string } => ({
    error: `strconv.ParseInt: parsing ${quote(text)}: ${reason}`,
  });
  const match = (base === 10 ? /^([+-]?)(\d+)$/ : /^([+-]?)([\da-fA-F]+)$/).exec(text);
  if (match === null) return failed('invalid syntax');
  const magnitude = BigInt(base === 10 ? (match[2] ?? '') : `0x${match[2] ?? ''}`);
  const value = match[1] === '-' ? -magnitude : magnitude;
  return value > int64Max || value < int64Min ? failed('value out of range') : { value };
}

/** Go's strconv.ParseUint of 64 bits, which allows no sign; an error comes in its words. */
export function parseUint64(text: string, base: 10 | 16): Parsed<bigint> {
  const failed = (reason: string): { error: string } => ({
    error: `strconv.ParseUint: parsing ${quote(text)}: ${reason}`,
  });
  if (!(base === 10 ? /^\d+$/ : /^[\da-fA-F]+$/).test(text)) return failed('invalid syntax');
  const value = BigInt(base === 10 ? text : `0x${text}`);
  return value > uint64Max ? failed('value out of range') : { value };
}

/** Go's %016x of a signed number: the sign takes one of the places. */
export function paddedHex(id: bigint): string {
  return id < 0n ? `-${(-id).toString(16).padStart(15, '0')}` : id.toString(16).padStart(16, '0');
}

/** For fields of messages that are numbers: beyond 2^53-1 lies only the far future. */
export function clampToNumber(value: bigint): number {
  const max = BigInt(Number.MAX_SAFE_INTEGER);
  return Number(value > max ? max : value < -max ? -max : value);
}

/** Digits after the point, without trailing zeros. */
function decimal(whole: bigint, fraction: bigint, digits: number): string {
  const text = fraction.toString().padStart(digits, '0').replace(/0+$/, '');
  return text === '' ? whole.toString() : `${whole}.${text}`;
}

/** A duration as Go writes it: `1.059267ms`, `12.5s`, `1m0.5s`. */
export function formatNanoseconds(nanoseconds: bigint): string {
  if (nanoseconds === 0n) return '0s';
  if (nanoseconds < 1000n) return `${nanoseconds}ns`;
  if (nanoseconds < 1_000_000n) {
    return `${decimal(nanoseconds / 1000n, nanoseconds % 1000n, 3)}µs`;
  }
  if (nanoseconds < 1_000_000_000n) {
    return `${decimal(nanoseconds / 1_000_000n, nanoseconds % 1_000_000n, 6)}ms`;
  }
  const allSeconds = nanoseconds / 1_000_000_000n;
  const seconds = `${decimal(allSeconds % 60n, nanoseconds % 1_000_000_000n, 9)}s`;
  const minutes = (allSeconds / 60n) % 60n;
  const hours = allSeconds / 3600n;
  if (hours > 0n) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0n ? `${minutes}m${seconds}` : seconds;
}

const sizeUnits = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'];

/** The nearest integer; of two that are equally near the even one, as Go prints. */
function halfToEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}

/** A size in powers of 1000, as etcdctl writes it: `20 kB`, `2.1 GB`. */
export function formatSize(bytes: number): string {
  // Go has unsigned sizes: that of no quota, which is -1, is the largest of all.
  let size = bytes < 0 ? bytes + 2 ** 64 : bytes;
  if (size < 10) return `${size} B`;
  let unit = 0;
  while (size >= 1000 && unit < sizeUnits.length - 1) {
    size /= 1000;
    unit++;
  }
  const rounded = Math.floor(size * 10 + 0.5) / 10;
  return `${rounded < 10 ? rounded.toFixed(1) : halfToEven(rounded)} ${sizeUnits[unit] ?? ''}`;
}

/** Bytes as `\x61\x62`, etcdctl's --hex. */
export function hexText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
}

/** Splits a line into words: quotes of both kinds group, escapes count in double ones only. */
export function splitWords(line: string): Parsed<readonly string[]> {
  const found =
    line.match(/"(?:[^"\\]|\\[^\n])*"|'[^']*'|[^'"\t\n\f\r ][^\t\n\f\r ]*[^'"\t\n\f\r ]?/g) ?? [];
  const words: string[] = [];
  for (const word of found) {
    if (word.startsWith("'")) words.push(word.slice(1, -1));
    else if (word.startsWith('"')) {
      const text = unquote(word.slice(1, -1));
      if (text === undefined) return { error: 'invalid syntax' };
      words.push(text);
    } else words.push(word);
  }
  return { value: words };
}
