/**
 * Reads header blocks (RFC 7541). The same block comes with most requests: one that adds nothing to
 * the table is read once, and remembered until the table changes.
 */
import { decodeHuffman } from './huffman.ts';
import { ConnectionError, ErrorCode } from './frames.ts';
import { HeaderField, HeaderList, staticTable } from './header-fields.ts';

/** What both sides keep until something else is said (RFC 9113 section 6.5.2). */
export const defaultTableBytes = 4096;

/** More than an integer of a real block needs. */
const maxIntegerShift = 21;
/** Of one list. */
const maxFields = 128;
const rememberedBlocks = 4;
/** A longer block is hardly one of numbers only. */
const maxRememberedBytes = 64;

const nothing = new Uint8Array();

function broken(what: string): ConnectionError {
  return new ConnectionError(ErrorCode.compressionError, `header block: ${what}`);
}

interface Remembered {
  readonly block: Uint8Array;
  readonly list: HeaderList;
}

/** The fields that a connection has named so far, the newest first (section 2.3.2). */
class DynamicTable {
  /** The newest last. */
  #fields: HeaderField[] = [];
  /** Where the oldest one is in there. */
  #oldest = 0;
  #weight = 0;
  #maxWeight = defaultTableBytes;

  get length(): number {
    return this.#fields.length - this.#oldest;
  }

  /** @param age 0 for the newest */
  get(age: number): HeaderField | undefined {
    return age < this.length ? this.#fields[this.#fields.length - 1 - age] : undefined;
  }

  add(field: HeaderField): void {
    this.#fields.push(field);
    this.#weight += field.weight;
    this.#evict();
  }

  limit(maxWeight: number): void {
    this.#maxWeight = maxWeight;
    this.#evict();
  }

  #evict(): void {
    while (this.#weight > this.#maxWeight) {
      this.#weight -= this.#fields[this.#oldest++]?.weight ?? 0;
    }
    if (this.#oldest <= this.length) return;
    this.#fields = this.#fields.slice(this.#oldest);
    this.#oldest = 0;
  }
}

export class HeaderDecoder {
  readonly #maxListBytes: number;
  readonly #table = new DynamicTable();
  readonly #remembered: Remembered[] = [];
  /** Where the next one is remembered. */
  #turn = 0;
  #block: Uint8Array = nothing;
  #at = 0;
  #end = 0;

  /** @param maxListBytes a longer list is refused; it is read all the same, for the table */
  constructor(maxListBytes: number) {
    this.#maxListBytes = maxListBytes;
  }

  /**
   * The fields of a whole block; undefined if they are too many or too long.
   * @throws ConnectionError if it is no block: nothing that follows on the connection can be read
   */
  decode(block: Uint8Array, start: number, end: number): HeaderList | undefined {
    for (const remembered of this.#remembered) {
      if (isSame(remembered.block, block, start, end)) return remembered.list;
    }
    this.#block = block;
    this.#at = start;
    this.#end = end;
    const fields: HeaderField[] = [];
    let listBytes = 0;
    let changes = 0;
    while (this.#at < end) {
      const first = this.#block[this.#at] as number;
      if ((first & 0xe0) === 0x20) {
        if (listBytes > 0) throw broken('table size after a field');
        this.#limitTable();
        changes++;
        continue;
      }
      const field = this.#field(first);
      if ((first & 0xc0) === 0x40) {
        this.#table.add(field);
        changes++;
      }
      listBytes += field.weight;
      if (listBytes <= this.#maxListBytes && fields.length <= maxFields) fields.push(field);
    }
    this.#block = nothing;
    if (changes > 0) this.#forget();
    if (listBytes > this.#maxListBytes || fields.length > maxFields) return undefined;
    const list = new HeaderList(fields, listBytes);
    if (changes === 0) this.#remember(block, start, end, list);
    return list;
  }

  #forget(): void {
    this.#remembered.length = 0;
    this.#turn = 0;
  }

  #remember(block: Uint8Array, start: number, end: number, list: HeaderList): void {
    if (end - start > maxRememberedBytes) return;
    this.#remembered[this.#turn] = { block: Uint8Array.from(block.subarray(start, end)), list };
    this.#turn = (this.#turn + 1) % rememberedBlocks;
  }

  /** Section 6.3. */
  #limitTable(): void {
    const bytes = this.#integer(5);
    if (bytes > defaultTableBytes) throw broken('table larger than allowed');
    this.#table.limit(bytes);
  }

  /** Sections 6.1 and 6.2. */
  #field(first: number): HeaderField {
    if ((first & 0x80) !== 0) return this.#named(this.#integer(7));
    const index = this.#integer((first & 0x40) !== 0 ? 6 : 4);
    if (index === 0) return new HeaderField(this.#text(), this.#text());
    const named = this.#named(index);
    return new HeaderField(named.name, this.#text(), named);
  }

  #named(index: number): HeaderField {
    const { length } = staticTable;
    const field = index <= length ? staticTable[index - 1] : this.#table.get(index - length - 1);
    if (field === undefined) throw broken(`no field ${index}`);
    return field;
  }

  /** An integer whose first byte has so many bits for it (section 5.1). */
  #integer(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= maxIntegerShift; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return value;
    }
    throw broken('integer too large');
  }

  /** Section 5.2. */
  #text(): string {
    const isHuffman = this.#at < this.#end && ((this.#block[this.#at] as number) & 0x80) !== 0;
    const length = this.#integer(7);
    const from = this.#at;
    this.#at += length;
    if (this.#at > this.#end) throw broken('text cut short');
    if (!isHuffman) return latin1(this.#block, from, this.#at);
    const text = decodeHuffman(this.#block, from, this.#at);
    if (text === undefined) throw broken('text that is no Huffman code');
    return text;
  }

  #byte(): number {
    if (this.#at >= this.#end) throw broken('cut short');
    return this.#block[this.#at++] as number;
  }
}

function latin1(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('latin1');
}

function isSame(one: Uint8Array, other: Uint8Array, start: number, end: number): boolean {
  if (one.length !== end - start) return false;
  for (let i = 0; i < one.length; i++) if (one[i] !== other[start + i]) return false;
  return true;
}
