/** Reads JSON that a {@link JsonScanner} has passed, piece by piece. */
import { isUtf8 } from 'node:buffer';
import {
  backslash,
  closeArray,
  closeObject,
  colon,
  comma,
  isSpace,
  openArray,
  openObject,
  quote,
} from './json-bytes.ts';

/** JSON that is not the message that it should be; the words are those of Go's protojson. */
export class JsonMessageError extends Error {
  override readonly name = 'JsonMessageError';
}

/** Kinds of values, told by the byte with which they begin. */
export type ValueKind = 'object' | 'array' | 'string' | 'number' | 'true' | 'false' | 'null';

const kinds: Readonly<Record<number, ValueKind>> = {
  [openObject]: 'object',
  [openArray]: 'array',
  [quote]: 'string',
  0x74: 'true',
  0x66: 'false',
  0x6e: 'null',
};

const lineFeed = 0x0a;
/** Bytes of a value that a refusal repeats. */
const shownBytesMax = 100;

const loneSurrogate = /\p{Surrogate}/u;

/** Whether a number or word ends before this byte. */
function isDelimiter(byte: number): boolean {
  return byte === comma || byte === closeArray || byte === closeObject || isSpace(byte);
}

export class JsonCursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** The kind of the next value, and where it begins. */
  peek(): { readonly kind: ValueKind; readonly at: number } {
    this.#skipSpace();
    return { kind: kinds[this.#bytes[this.#at] ?? 0] ?? 'number', at: this.#at };
  }

  /** Enters an object or array. */
  open(): void {
    this.#at++;
  }

  /** Moves to the next element of the array or name of the object; false at its end. */
  next(): boolean {
    this.#skipSpace();
    if (this.#bytes[this.#at] === comma) {
      this.#at++;
      this.#skipSpace();
    }
    const byte = this.#bytes[this.#at];
    if (byte !== closeArray && byte !== closeObject) return true;
    this.#at++;
    return false;
  }

  /** The name before a value, and the colon. */
  name(): string {
    const name = this.string();
    this.#skipSpace();
    if (this.#bytes[this.#at] === colon) this.#at++;
    return name;
  }

  /** @throws JsonMessageError if the text is not Unicode */
  string(): string {
    const begin = this.#at;
    const hasEscapes = this.#skipString();
    const raw = this.#bytes.subarray(begin + 1, this.#at - 1);
    if (!isUtf8(raw)) throw this.#syntaxError(begin, 'invalid UTF-8 in string');
    if (!hasEscapes) return raw.toString('utf8');
    const text = JSON.parse(this.#bytes.toString('utf8', begin, this.#at)) as string;
    if (loneSurrogate.test(text)) {
      throw this.#syntaxError(begin, 'invalid escape code in string');
    }
    return text;
  }

  /** The text of a number. */
  number(): string {
    const begin = this.#at;
    this.#skipWord();
    return this.#bytes.toString('latin1', begin, this.#at);
  }

  /** Steps over the next value, whatever it is. */
  skip(): void {
    this.#skipSpace();
    let depth = 0;
    do {
      const byte = this.#bytes[this.#at];
      if (byte === quote) {
        this.#skipString();
      } else if (byte === openArray || byte === openObject) {
        depth++;
        this.#at++;
      } else if (byte === closeArray || byte === closeObject) {
        depth--;
        this.#at++;
      } else if (byte === comma || byte === colon) {
        this.#at++;
      } else {
        this.#skipWord();
      }
      if (depth > 0) this.#skipSpace();
    } while (depth > 0);
  }

  /** What stands at `at`: a whole string, number or word, or a bracket; cut if it is long. */
  shown(at: number): string {
    const end = this.#at;
    this.#at = at;
    const { kind } = this.peek();
    if (kind === 'object' || kind === 'array') this.#at++;
    else this.skip();
    const bytes = this.#bytes.subarray(at, this.#at);
    this.#at = end;
    if (bytes.length <= shownBytesMax) return bytes.toString('utf8');
    return `${bytes.toString('utf8', 0, shownBytesMax)}…`;
  }

  error(at: number, reason: string): JsonMessageError {
    return new JsonMessageError(`proto: ${this.#position(at)}: ${reason}`);
  }

  /** A value of a kind that cannot stand here. */
  unexpected(at: number): JsonMessageError {
    return this.#syntaxError(at, `unexpected token ${this.shown(at)}`);
  }

  #syntaxError(at: number, reason: string): JsonMessageError {
    return new JsonMessageError(`proto: syntax error ${this.#position(at)}: ${reason}`);
  }

  /** Line and column, counted from one, the column in characters. */
  #position(at: number): string {
    let line = 1;
    let begin = 0;
    for (let end = this.#bytes.indexOf(lineFeed); end >= 0 && end < at; line++) {
      begin = end + 1;
      end = this.#bytes.indexOf(lineFeed, begin);
    }
    const column = Array.from(this.#bytes.toString('utf8', begin, at)).length + 1;
    return `(line ${line}:${column})`;
  }

  #skipSpace(): void {
    while (isSpace(this.#bytes[this.#at] ?? 0)) this.#at++;
  }

  #skipWord(): void {
    const bytes = this.#bytes;
    while (this.#at < bytes.length && !isDelimiter(bytes[this.#at] as number)) this.#at++;
  }

  /** Returns whether the string has escapes. */
  #skipString(): boolean {
    const bytes = this.#bytes;
    let hasEscapes = false;
    let at = this.#at + 1;
    for (; bytes[at] !== quote; at++) {
      if (bytes[at] !== backslash) continue;
      hasEscapes = true;
      at++;
    }
    this.#at = at + 1;
    return hasEscapes;
  }
}
