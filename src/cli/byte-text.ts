/**
 * Text that may hold any bytes, as Go's strings do. A byte that is not part of valid UTF-8 stands
 * as a lone low surrogate, U+DC00 plus the byte, which no valid text contains.
 */
import { isUtf8 } from 'node:buffer';
import { buffer, fromUtf8, utf8 } from '../base/bytes.ts';

const escapeBase = 0xdc00;

/** Length of the UTF-8 sequence that starts with `lead`; 0 if none does. */
function sequenceLength(lead: number): number {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

/** Characters of `bytes` one by one; an invalid byte comes as its escape. */
function* charactersOf(bytes: Uint8Array): Generator<string> {
  for (let at = 0; at < bytes.length;) {
    const lead = bytes[at] as number;
    const length = sequenceLength(lead);
    const sequence = bytes.subarray(at, at + length);
    if (length > 0 && sequence.length === length && isUtf8(sequence)) {
      yield fromUtf8(sequence);
      at += length;
    } else {
      yield String.fromCharCode(escapeBase + lead);
      at += 1;
    }
  }
}

export function textOf(bytes: Uint8Array): string {
  // A decoder would drop a byte order mark, which is part of the key or value.
  if (isUtf8(bytes)) return buffer(bytes).toString('utf8');
  return [...charactersOf(bytes)].join('');
}

/** The byte that an escape stands for; undefined for every other character. */
export function escapedByte(character: string): number | undefined {
  const unit = character.charCodeAt(0);
  const isEscape = character.length === 1 && unit >= escapeBase + 0x80 && unit <= escapeBase + 0xff;
  return isEscape ? unit - escapeBase : undefined;
}

/** Matches a low surrogate that follows no high one. */
const escapes = /(?<![\ud800-\udbff])[\udc80-\udcff]/;

export function bytesOf(text: string): Uint8Array {
  if (!escapes.test(text)) return utf8(text);
  const parts: Uint8Array[] = [];
  for (const character of text) {
    const byte = escapedByte(character);
    parts.push(byte === undefined ? utf8(character) : Uint8Array.of(byte));
  }
  return Buffer.concat(parts);
}

/** An escape of `byte` inside a text. */
export function escapeByte(byte: number): string {
  return byte < 0x80 ? String.fromCharCode(byte) : String.fromCharCode(escapeBase + byte);
}

/** Joins escapes that together are valid UTF-8, e.g. of `\xc3\xa9`. */
export function normalize(text: string): string {
  return escapes.test(text) ? textOf(bytesOf(text)) : text;
}
