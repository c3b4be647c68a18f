/**
 * Finds the end of a JSON value in bytes that come in pieces, and checks its grammar on the way:
 * what it has passed can be read without looking for mistakes. The words of refusals are those of
 * Go's encoding/json, with which etcd's gateway reads.
 */
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

/** Input that is no JSON. */
export class JsonSyntaxError extends Error {
  override readonly name = 'JsonSyntaxError';
}

/** Arrays and objects within one another (encoding/json's limit). */
const nestingMax = 10_000;

const Place = {
  value: 0,
  valueOrClose: 1,
  nameOrClose: 2,
  name: 3,
  colon: 4,
  /** After a value inside an array or object. */
  next: 5,
  string: 6,
  escape: 7,
  hex: 8,
  word: 9,
  /** After the sign, where a digit must follow. */
  sign: 10,
  /** After a leading zero. */
  zero: 11,
  integer: 12,
  point: 13,
  fraction: 14,
  exponent: 15,
  exponentSign: 16,
  exponentDigits: 17,
} as const;
type Place = (typeof Place)[keyof typeof Place];

const minus = 0x2d;
const plus = 0x2b;
const dot = 0x2e;
const zero = 0x30;

const isDigit = (byte: number): boolean => byte >= zero && byte <= 0x39;
const isExponent = (byte: number): boolean => byte === 0x65 || byte === 0x45;
const isHex = (byte: number): boolean =>
  isDigit(byte) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66);

/** `"`, `\`, `/`, b, f, n, r, t */
const escapes = new Set([quote, backslash, 0x2f, 0x62, 0x66, 0x6e, 0x72, 0x74]);
const unicodeEscape = 0x75;

const words: Readonly<Record<number, string>> = { 0x74: 'true', 0x66: 'false', 0x6e: 'null' };

export class JsonScanner {
  #place: Place = Place.value;
  /** Whether each open array or object is an object. */
  readonly #open: boolean[] = [];
  /** Whether the string that is open is a name. */
  #isName = false;
  #word = '';
  /** Letters of the word, or digits of the escape, that have come. */
  #passed = 0;
  #begun = false;

  /** Whether a value has begun and not ended. */
  get isInside(): boolean {
    return this.#begun;
  }

  /**
   * Takes bytes from `at` on. Returns the index after the value's last byte and is ready for the
   * next value, or undefined if the value does not end here.
   * @throws JsonSyntaxError
   */
  scan(bytes: Uint8Array, at: number): number | undefined {
    for (let i = at; i < bytes.length; i++) {
      if (this.#place === Place.string) {
        i = endOfPlain(bytes, i);
        if (i === bytes.length) return undefined;
      }
      const byte = bytes[i] as number;
      if (!this.#begun) {
        if (isSpace(byte)) continue;
        this.#begun = true;
      }
      // A number at the top ends before the byte that does not belong to it.
      if (this.#open.length === 0 && this.#endsNumber(byte)) return this.#ended(i);
      if (this.#step(byte) && this.#open.length === 0) return this.#ended(i + 1);
    }
    return undefined;
  }

  /**
   * No more bytes come. Returns whether that ends a value: a number at the top has no other end.
   * @throws JsonSyntaxError in the middle of a value
   */
  end(): boolean {
    if (!this.#begun) return false;
    if (this.#open.length > 0 || !this.#endsNumber(0x20)) {
      throw new JsonSyntaxError('unexpected EOF');
    }
    this.#ended(0);
    return true;
  }

  #ended(at: number): number {
    this.#begun = false;
    this.#place = Place.value;
    return at;
  }

  /** Whether a number is complete and `byte` is not part of it. */
  #endsNumber(byte: number): boolean {
    switch (this.#place) {
      case Place.zero:
        return byte !== dot && !isExponent(byte);
      case Place.integer:
        return !isDigit(byte) && byte !== dot && !isExponent(byte);
      case Place.fraction:
        return !isDigit(byte) && !isExponent(byte);
      case Place.exponentDigits:
        return !isDigit(byte);
      default:
        return false;
    }
  }

  /** Takes one byte. Returns whether it ends a value. */
  #step(byte: number): boolean {
    if (this.#endsNumber(byte)) this.#place = Place.next;
    switch (this.#place) {
      case Place.value:
      case Place.valueOrClose:
        return this.#inValue(byte);
      case Place.nameOrClose:
      case Place.name:
        return this.#inName(byte);
      case Place.colon:
        if (isSpace(byte)) return false;
        if (byte !== colon) throw unexpected(byte, 'after object key');
        this.#place = Place.value;
        return false;
      case Place.next:
        return this.#inNext(byte);
      case Place.string:
      case Place.escape:
      case Place.hex:
        return this.#inString(byte);
      case Place.word:
        return this.#inWord(byte);
      default:
        this.#inNumber(byte);
        return false;
    }
  }

  #inValue(byte: number): boolean {
    if (isSpace(byte)) return false;
    if (byte === closeArray && this.#place === Place.valueOrClose) return this.#close();
    const word = words[byte];
    if (word !== undefined) {
      this.#word = word;
      this.#passed = 1;
      this.#place = Place.word;
    } else if (byte === openObject || byte === openArray) {
      if (this.#open.length >= nestingMax) throw new JsonSyntaxError('exceeded max depth');
      this.#open.push(byte === openObject);
      this.#place = byte === openObject ? Place.nameOrClose : Place.valueOrClose;
    } else if (byte === quote) {
      this.#isName = false;
      this.#place = Place.string;
    } else if (byte === minus) {
      this.#place = Place.sign;
    } else if (byte === zero) {
      this.#place = Place.zero;
    } else if (isDigit(byte)) {
      this.#place = Place.integer;
    } else {
      throw unexpected(byte, 'looking for beginning of value');
    }
    return false;
  }

  #inName(byte: number): boolean {
    if (isSpace(byte)) return false;
    if (byte === closeObject && this.#place === Place.nameOrClose) return this.#close();
    if (byte !== quote) throw unexpected(byte, 'looking for beginning of object key string');
    this.#isName = true;
    this.#place = Place.string;
    return false;
  }

  #inNext(byte: number): boolean {
    if (isSpace(byte)) return false;
    const isObject = this.#open.at(-1) === true;
    if (byte === comma) {
      this.#place = isObject ? Place.name : Place.value;
      return false;
    }
    if (byte !== (isObject ? closeObject : closeArray)) {
      throw unexpected(byte, isObject ? 'after object key:value pair' : 'after array element');
    }
    return this.#close();
  }

  #close(): boolean {
    this.#open.pop();
    this.#place = Place.next;
    return true;
  }

  #inString(byte: number): boolean {
    if (this.#place === Place.hex) {
      if (!isHex(byte)) throw unexpected(byte, 'in \\u hexadecimal character escape');
      if (++this.#passed === 4) this.#place = Place.string;
    } else if (this.#place === Place.escape) {
      this.#passed = 0;
      if (byte === unicodeEscape) this.#place = Place.hex;
      else if (escapes.has(byte)) this.#place = Place.string;
      else throw unexpected(byte, 'in string escape code');
    } else if (byte === backslash) {
      this.#place = Place.escape;
    } else if (byte === quote) {
      this.#place = this.#isName ? Place.colon : Place.next;
      return !this.#isName;
    } else {
      throw unexpected(byte, 'in string literal');
    }
    return false;
  }

  #inWord(byte: number): boolean {
    const expected = this.#word[this.#passed] ?? '';
    if (byte !== expected.charCodeAt(0)) {
      throw unexpected(byte, `in literal ${this.#word} (expecting '${expected}')`);
    }
    if (++this.#passed < this.#word.length) return false;
    this.#place = Place.next;
    return true;
  }

  /** A byte that belongs to the number, because it does not end it. */
  #inNumber(byte: number): void {
    switch (this.#place) {
      case Place.sign:
        if (!isDigit(byte)) throw unexpected(byte, 'in numeric literal');
        this.#place = byte === zero ? Place.zero : Place.integer;
        break;
      case Place.point:
        if (!isDigit(byte)) throw unexpected(byte, 'after decimal point in numeric literal');
        this.#place = Place.fraction;
        break;
      case Place.exponent:
      case Place.exponentSign:
        if (this.#place === Place.exponent && (byte === plus || byte === minus)) {
          this.#place = Place.exponentSign;
          break;
        }
        if (!isDigit(byte)) throw unexpected(byte, 'in exponent of numeric literal');
        this.#place = Place.exponentDigits;
        break;
      default:
        if (byte === dot) this.#place = Place.point;
        else if (isExponent(byte)) this.#place = Place.exponent;
    }
  }
}

/** Where what needs no attention in a string ends. */
function endOfPlain(bytes: Uint8Array, at: number): number {
  let i = at;
  for (; i < bytes.length; i++) {
    const byte = bytes[i] as number;
    if (byte === quote || byte === backslash || byte < 0x20) break;
  }
  return i;
}

function unexpected(byte: number, place: string): JsonSyntaxError {
  return new JsonSyntaxError(`invalid character ${quoted(byte)} ${place}`);
}

/** A byte as Go quotes a character. */
function quoted(byte: number): string {
  if (byte === 0x27) return String.raw`'\''`;
  if (byte === quote) return `'"'`;
  const text = JSON.stringify(String.fromCharCode(byte)).slice(1, -1);
  if (byte >= 0x20 && byte < 0x7f) return `'${text}'`;
  if (text.length === 2) return `'${text}'`;
  return byte >= 0xa0 ? `'${text}'` : String.raw`'\x${byte.toString(16).padStart(2, '0')}'`;
}
