/**
 * Reads what strace wrote (`strace -f -ttt -s <large> -o <file>`): one line a system call, or two
 * where another thread's call came in between.
 */

/** An argument: a string with its bytes, a list or structure of arguments, or anything else. */
export type Argument =
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'list'; readonly items: readonly Argument[] }
  | { readonly kind: 'text'; readonly text: string };

export interface SystemCall {
  readonly name: string;
  readonly arguments: readonly Argument[];
  /** What it returned; undefined if the process ended in the middle of it. */
  readonly result: number | undefined;
  /** Moments in the trace: a call that begins at 8 and ends at 10 is under way at 9. */
  readonly begin: number;
  /** Infinity if it never ended. */
  readonly end: number;
}

export interface Trace {
  /** In the order in which they began. */
  readonly calls: readonly SystemCall[];
  /** Moments are from 0 up to this. */
  readonly moments: number;
  /** Wall clock of each line, in milliseconds; moment `m` belongs to line `m / 2`, rounded down. */
  readonly timesMs: Float64Array;
}

const code = {
  newline: 10,
  space: 32,
  quote: 34,
  opening: 40,
  closing: 41,
  comma: 44,
  point: 46,
  less: 60,
  openingBracket: 91,
  backslash: 92,
  closingBracket: 93,
  openingBrace: 123,
  closingBrace: 125,
} as const;

const escapes: ReadonlyMap<number, number> = new Map(
  Object.entries({ n: 10, t: 9, r: 13, v: 11, f: 12, b: 8, a: 7 }).map(([letter, byte]) => [
    letter.charCodeAt(0),
    byte,
  ]),
);
const unfinished = Buffer.from('<unfinished ...>');

/** Where a call stands whose end has not been read yet. */
interface Pending {
  readonly name: string;
  readonly arguments: readonly Argument[];
  readonly begin: number;
  readonly place: number;
}

export function parseTrace(bytes: Buffer): Trace {
  const calls: (SystemCall | undefined)[] = [];
  const pending = new Map<string, Pending>();
  const timesMs: number[] = [];
  for (let start = 0; start < bytes.length;) {
    const newline = bytes.indexOf(code.newline, start);
    // A last line without its end was cut off with the tracer: it is not there.
    if (newline < 0) break;
    const line = bytes.subarray(start, newline);
    start = newline + 1;
    readLine(line, timesMs, calls, pending);
  }
  for (const { place, ...call } of pending.values()) {
    calls[place] = { ...call, result: undefined, end: Infinity };
  }
  return {
    calls: calls.filter((call) => call !== undefined),
    moments: 2 * timesMs.length,
    timesMs: Float64Array.from(timesMs),
  };
}

function readLine(
  line: Buffer,
  timesMs: number[],
  calls: (SystemCall | undefined)[],
  pending: Map<string, Pending>,
): void {
  const head = /^(\d+) +(\d+\.\d+) (.)/.exec(line.toString('latin1', 0, 60));
  if (head === null) throw new Error(`not a line of strace: ${line.toString('latin1', 0, 200)}`);
  const [before, thread, time, first] = head as unknown as [string, string, string, string];
  const begin = 2 * timesMs.length;
  timesMs.push(Number(time) * 1000);
  // Signals and the ends of threads.
  if (first === '-' || first === '+') return;
  const at = before.length - 1;
  if (first === '<') {
    const waiting = pending.get(thread);
    if (waiting === undefined) throw new Error(`nothing to resume: ${line.toString('latin1')}`);
    pending.delete(thread);
    const { place, ...call } = waiting;
    calls[place] = { ...call, ...outcomeOf(line.toString('latin1', at), begin) };
    return;
  }
  const opening = line.indexOf(code.opening, at);
  if (opening < 0) throw new Error(`not a call: ${line.toString('latin1', 0, 200)}`);
  const reader = new ArgumentReader(line, opening + 1);
  const parsed = reader.list(code.closing);
  const name = line.toString('latin1', at, opening);
  const place = calls.length;
  calls.push(undefined);
  if (reader.ended) {
    pending.set(thread, { name, arguments: parsed, begin, place });
    return;
  }
  const rest = line.toString('latin1', reader.at);
  calls[place] = { name, arguments: parsed, begin, ...outcomeOf(rest, begin) };
}

/** What comes after the arguments: ` = 12`, ` = -1 ENOENT (...)`, ` = ?`. */
function outcomeOf(text: string, line: number): { result: number | undefined; end: number } {
  const found = /= (-?\d+|0x[0-9a-f]+|\?)(?: [^"]*)?$/.exec(text);
  if (found === null) throw new Error(`no result: ${text}`);
  const value = found[1] as string;
  if (value === '?') return { result: undefined, end: Infinity };
  return { result: Number(value), end: line + 2 };
}

class ArgumentReader {
  readonly #line: Buffer;
  at: number;
  /** The line ended before the call did. */
  ended = false;

  constructor(line: Buffer, at: number) {
    this.#line = line;
    this.at = at;
  }

  /** Arguments up to a closing bracket, which is read as well. */
  list(closing: number): Argument[] {
    const items: Argument[] = [];
    while (this.at < this.#line.length) {
      const byte = this.#line[this.at];
      if (byte === closing) {
        this.at += 1;
        return items;
      }
      if (byte === code.comma || byte === code.space) {
        this.at += 1;
      } else if (this.#startsWith(unfinished)) {
        this.at = this.#line.length;
      } else {
        items.push(this.#argument());
      }
    }
    this.ended = true;
    return items;
  }

  #argument(): Argument {
    const byte = this.#line[this.at];
    if (byte === code.quote) return { kind: 'bytes', bytes: this.#quoted() };
    if (byte === code.openingBracket || byte === code.openingBrace) {
      this.at += 1;
      const closing = byte === code.openingBracket ? code.closingBracket : code.closingBrace;
      return { kind: 'list', items: this.list(closing) };
    }
    return this.#text();
  }

  /** Plain text; `name=value` with a string or structure for a value is that value. */
  #text(): Argument {
    const from = this.at;
    for (let depth = 0; this.at < this.#line.length; this.at++) {
      const byte = this.#line[this.at];
      if (byte === code.quote || byte === code.openingBracket || byte === code.openingBrace) {
        if (this.#line[this.at - 1] === 61) return this.#argument();
      }
      if (byte === code.opening) depth += 1;
      if (depth === 0 && this.#endsText(byte)) break;
      if (byte === code.closing) depth -= 1;
    }
    return { kind: 'text', text: this.#line.toString('latin1', from, this.at).trim() };
  }

  #endsText(byte: number | undefined): boolean {
    return (
      byte === code.comma ||
      byte === code.closing ||
      byte === code.closingBracket ||
      byte === code.closingBrace ||
      (byte === code.less && this.#startsWith(unfinished))
    );
  }

  #startsWith(text: Buffer): boolean {
    return text.equals(this.#line.subarray(this.at, this.at + text.length));
  }

  /** A string as C writes it. */
  #quoted(): Buffer {
    const line = this.#line;
    const bytes = Buffer.allocUnsafe(line.length - this.at);
    let length = 0;
    let at = this.at + 1;
    for (; line[at] !== code.quote; at++) {
      let byte = line[at];
      if (byte === undefined) throw new Error('a string without an end');
      if (byte === code.backslash) {
        at += 1;
        const escaped = line[at] ?? 0;
        if (escaped >= 48 && escaped < 56) {
          byte = 0;
          const limit = at + 3;
          for (; at < limit && isOctal(line[at]); at++) byte = byte * 8 + (line[at] ?? 0) - 48;
          at -= 1;
        } else {
          byte = escapes.get(escaped) ?? escaped;
        }
      }
      bytes[length++] = byte;
    }
    this.at = at + 1;
    if (line[this.at] === code.point) throw new Error('strace cut off a string: -s is too small');
    // The memory of a line is let go, that of its bytes kept: copied, so that it is no longer.
    return Buffer.from(bytes.subarray(0, length));
  }
}

function isOctal(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 48 && byte < 56;
}
