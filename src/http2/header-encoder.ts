/**
 * Writes header blocks (RFC 7541). We say few different things: fields that repeat are put into the
 * other end's table once, and are a byte each from then on. Huffman coding would save little.
 */
import { defaultTableBytes } from './header-decoder.ts';
import { HeaderField, staticTable } from './header-fields.ts';

/** A field that we send. */
export class SentField extends HeaderField {
  /** Whether the other end's table is to have it. */
  readonly repeats: boolean;
  /** In the static table: of the whole field, or else of its name; 0 if it is not there. */
  readonly staticIndex: number;
  readonly staticNameIndex: number;

  private constructor(name: string, value: string, repeats: boolean) {
    super(name, value);
    this.repeats = repeats;
    const isSame = (field: HeaderField): boolean => field.name === name && field.value === value;
    this.staticIndex = staticTable.findIndex(isSame) + 1;
    this.staticNameIndex = staticTable.findIndex((field) => field.name === name) + 1;
  }

  /** One of few, which comes again. To be made once. */
  static repeated(name: string, value: string): SentField {
    return new SentField(name, value, true);
  }

  /** @param value bytes as Latin-1 */
  static once(name: string, value: string): SentField {
    return new SentField(name, value, false);
  }
}

export class HeaderEncoder {
  /** Fields that the other end's table has, the oldest first. None is ever pushed out. */
  readonly #repeated: SentField[] = [];
  #repeatedBytes = 0;
  #tableBytes = defaultTableBytes;
  /** The smallest size of the table since the last block, which the next block begins with. */
  #smallestBytes: number | undefined;
  #isTableLost = false;

  /** The other end's setting of the table's size has changed (RFC 9113 section 4.3.1). */
  limitTable(bytes: number): void {
    const tableBytes = Math.min(bytes, defaultTableBytes);
    if (tableBytes === this.#tableBytes) return;
    this.#tableBytes = tableBytes;
    this.#smallestBytes = Math.min(tableBytes, this.#smallestBytes ?? tableBytes);
  }

  encode(fields: readonly SentField[]): number[] {
    const out: number[] = [];
    if (this.#smallestBytes !== undefined) this.#sayTableSize(out, this.#smallestBytes);
    for (const field of fields) this.#field(out, field);
    return out;
  }

  /** RFC 7541 section 4.2: the smallest one since, then the one that holds. */
  #sayTableSize(out: number[], smallestBytes: number): void {
    this.#smallestBytes = undefined;
    integer(out, 0x20, 5, smallestBytes);
    if (this.#tableBytes > smallestBytes) integer(out, 0x20, 5, this.#tableBytes);
    if (smallestBytes >= this.#repeatedBytes) return;
    // What fell out of that table is not put there again: nobody changes his mind twice.
    this.#isTableLost = true;
    this.#repeated.length = 0;
    this.#repeatedBytes = 0;
  }

  #field(out: number[], field: SentField): void {
    if (field.staticIndex > 0) {
      out.push(0x80 | field.staticIndex);
      return;
    }
    const at = field.repeats ? this.#repeated.indexOf(field) : -1;
    if (at >= 0) {
      integer(out, 0x80, 7, staticTable.length + this.#repeated.length - at);
      return;
    }
    const isKept =
      field.repeats && !this.#isTableLost && this.#repeatedBytes + field.weight <= this.#tableBytes;
    if (isKept) integer(out, 0x40, 6, field.staticNameIndex);
    else integer(out, 0, 4, field.staticNameIndex);
    if (field.staticNameIndex === 0) text(out, field.name);
    text(out, field.value);
    if (!isKept) return;
    this.#repeated.push(field);
    this.#repeatedBytes += field.weight;
  }
}

/** RFC 7541 section 5.1. */
function integer(out: number[], flags: number, prefixBits: number, value: number): void {
  const mask = (1 << prefixBits) - 1;
  if (value < mask) {
    out.push(flags | value);
    return;
  }
  out.push(flags | mask);
  let rest = value - mask;
  for (; rest >= 0x80; rest >>>= 7) out.push((rest & 0x7f) | 0x80);
  out.push(rest);
}

/** Section 5.2. */
function text(out: number[], value: string): void {
  integer(out, 0, 7, value.length);
  for (let i = 0; i < value.length; i++) out.push(value.charCodeAt(i) & 0xff);
}
