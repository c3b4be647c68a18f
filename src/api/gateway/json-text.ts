/** JSON as it is written: in pieces of a bounded size, so that a large answer is never one text. */

/** From this size on a piece is passed on. */
const pieceBytes = 64 * 1024;
/** Where a piece begins to grow from: most answers are small. */
const firstBytes = 512;

export class JsonText {
  #piece: Buffer = Buffer.allocUnsafeSlow(firstBytes);
  #length = 0;
  #ready: Buffer[] = [];

  /** Whether there is a piece to take. */
  get isFull(): boolean {
    return this.#ready.length > 0;
  }

  /** Text of the latin1 alphabet below 0x80: punctuation, digits, names, base64. */
  ascii(text: string): void {
    this.#room(text.length);
    this.#length += this.#piece.write(text, this.#length, 'latin1');
  }

  /** A string in quotes. */
  string(text: string): void {
    const quoted = JSON.stringify(text);
    this.#room(Buffer.byteLength(quoted));
    this.#length += this.#piece.write(quoted, this.#length, 'utf8');
  }

  /** What is ready to be passed on. */
  take(): Buffer[] {
    const ready = this.#ready;
    this.#ready = [];
    return ready;
  }

  /** What is left at the end. */
  finish(): Buffer[] {
    this.#flush();
    return this.take();
  }

  #room(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#piece.length) return;
    if (needed > pieceBytes) {
      this.#flush();
      this.#piece = Buffer.allocUnsafeSlow(Math.max(pieceBytes, bytes));
      return;
    }
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#piece.length));
    this.#piece.copy(grown, 0, 0, this.#length);
    this.#piece = grown;
  }

  #flush(): void {
    if (this.#length === 0) return;
    this.#ready.push(this.#piece.subarray(0, this.#length));
    this.#length = 0;
    this.#piece = Buffer.alloc(0);
  }
}
