/**
 * The one field of a header block that HTTP/2 servers reject and etcd does not (RFC 7541).
 *
 * Clients of etcd 3.4 put an endpoint's URL where its authority belongs when they call one
 * endpoint (`http://127.0.0.1:2379`), and 3.5.0 sent `#initially=[...]`. Go takes any text there;
 * nghttp2, which Node is built on, resets the stream.
 */

/** Index of `:authority` in the static table (RFC 7541 appendix A). */
const authorityIndex = 1;
/** More than an integer of a real block needs; a longer one is left to the HTTP/2 library. */
const integerShiftMax = 21;

/** Bits of each byte's code, in base 32 (RFC 7541 appendix B). The codes are canonical. */
const codeBits =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca' +
  'd67777777777777777777777878djde6f56565666577666567655677777fbeds' +
  'kmkkmmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmm' +
  'nqqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq';

interface CodesOfLength {
  /** The first code of this length, and the bytes of it and of those that follow. */
  readonly first: number;
  readonly bytes: readonly number[];
}

const codesByLength: readonly CodesOfLength[] = (() => {
  const lengths = Array.from(codeBits, (digit) => parseInt(digit, 32));
  let next = 0;
  return Array.from({ length: Math.max(...lengths) + 1 }, (_, bits) => {
    const bytes = lengths.flatMap((length, byte) => (length === bits ? [byte] : []));
    const first = next * 2;
    next = first + bytes.length;
    return { first, bytes };
  });
})();

/** Huffman-decoded text, or undefined if it is none. Padding is not checked. */
function decodeHuffman(encoded: Uint8Array): string | undefined {
  const decoded: number[] = [];
  let code = 0;
  let bits = 0;
  for (const octet of encoded) {
    for (let shift = 7; shift >= 0; shift--) {
      code = code * 2 + ((octet >> shift) & 1);
      const codes = codesByLength[++bits];
      if (codes === undefined) return undefined;
      const byte = codes.bytes[code - codes.first];
      if (byte === undefined) continue;
      decoded.push(byte);
      code = 0;
      bits = 0;
    }
  }
  return String.fromCharCode(...decoded);
}

/** Walks the representations of fields (RFC 7541 section 6); `failed` once they make no sense. */
class BlockReader {
  readonly #block: Uint8Array;
  at = 0;
  failed = false;

  constructor(block: Uint8Array) {
    this.#block = block;
  }

  get hasMore(): boolean {
    return !this.failed && this.at < this.#block.length;
  }

  peek(): number {
    return this.#block[this.at] ?? 0;
  }

  /** An integer whose first byte has so many bits for it. */
  integer(prefixBits: number): number {
    const mask = 2 ** prefixBits - 1;
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let shift = 0; ; shift += 7) {
      if (shift > integerShiftMax) {
        this.failed = true;
        return 0;
      }
      const byte = this.#byte();
      value += (byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return value;
    }
  }

  /** A string; undefined if it cannot be decoded. */
  text(): string | undefined {
    const isHuffman = (this.peek() & 0x80) !== 0;
    const length = this.integer(7);
    const from = this.at;
    this.at += length;
    if (this.at > this.#block.length) this.failed = true;
    if (this.failed) return undefined;
    const bytes = this.#block.subarray(from, this.at);
    return isHuffman ? decodeHuffman(bytes) : Buffer.from(bytes).toString('latin1');
  }

  #byte(): number {
    const byte = this.#block[this.at++];
    if (byte === undefined) this.failed = true;
    return byte ?? 0;
  }
}

/** What an authority may hold (RFC 3986 section 3.2, as nghttp2 reads it). */
const validAuthority = /^[A-Za-z0-9!$%&'()*+,\-.:;=@[\]_~]*$/;

/** The same without what may not be in it. Never longer, so that the client's table keeps fit. */
function repaired(authority: string): string {
  const withoutScheme = authority.replace(/^[A-Za-z][A-Za-z0-9+.-]*:\/\//, '');
  const valid = Array.from(withoutScheme).filter((character) => validAuthority.test(character));
  return valid.join('') || '-';
}

/** A string without Huffman coding (RFC 7541 section 5.2). */
function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const length: number[] = [];
  if (bytes.length < 0x7f) {
    length.push(bytes.length);
  } else {
    length.push(0x7f);
    let rest = bytes.length - 0x7f;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) length.push((rest & 0x7f) | 0x80);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}

/**
 * The block with an authority that nghttp2 takes, or undefined if there is nothing to mend. What
 * the block adds to the table that both sides keep stays in place: an entry that is shorter than
 * the client believes only lives longer.
 */
export function mendAuthority(block: Buffer): Buffer | undefined {
  const reader = new BlockReader(block);
  while (reader.hasMore) {
    const first = reader.peek();
    if ((first & 0x80) !== 0) {
      reader.integer(7);
    } else if ((first & 0xe0) === 0x20) {
      reader.integer(5);
    } else {
      const name = reader.integer((first & 0x40) !== 0 ? 6 : 4);
      if (name === 0) reader.text();
      const from = reader.at;
      const value = reader.text();
      if (name !== authorityIndex || reader.failed) continue;
      if (value === undefined || validAuthority.test(value)) return undefined;
      return Buffer.concat([
        block.subarray(0, from),
        literal(repaired(value)),
        block.subarray(reader.at),
      ]);
    }
  }
  return undefined;
}
