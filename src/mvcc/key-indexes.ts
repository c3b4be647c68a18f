/**
 * What the index knows of each key, in columns of numbers: millions of objects would cost the
 * garbage collector pauses above 100 ms, and twice the memory.
 */

/** Keys of one piece of the columns. */
const chunkShift = 12;
const chunkKeys = 1 << chunkShift;
const chunkMask = chunkKeys - 1;
/** Columns of revisions and positions, which may be beyond 2^32, and of what never is. */
const wideColumns = 4;
const narrowColumns = 3;

/** One piece of all columns; a key has the same place in each. */
export class KeyIndexChunk {
  readonly mains: Float64Array;
  readonly createRevisions: Float64Array;
  readonly versions: Float64Array;
  readonly positions: Float64Array;
  readonly subs: Int32Array;
  readonly sizes: Int32Array;
  readonly digests: Int32Array;
  /** Revisions before the newest, of keys that have some; all of it undefined if none has. */
  #olders: (number[] | undefined)[] | undefined;
  #keysWithOlder = 0;

  constructor() {
    const { BYTES_PER_ELEMENT: wideBytes } = Float64Array;
    const { BYTES_PER_ELEMENT: narrowBytes } = Int32Array;
    const keyBytes = wideColumns * wideBytes + narrowColumns * narrowBytes;
    const memory = new ArrayBuffer(chunkKeys * keyBytes);
    let at = 0;
    const wide = (): Float64Array => {
      const column = new Float64Array(memory, at, chunkKeys);
      at += column.byteLength;
      return column;
    };
    const narrow = (): Int32Array => {
      const column = new Int32Array(memory, at, chunkKeys);
      at += column.byteLength;
      return column;
    };
    this.mains = wide();
    this.createRevisions = wide();
    this.versions = wide();
    this.positions = wide();
    this.subs = narrow();
    this.sizes = narrow();
    this.digests = narrow();
  }

  olderAt(place: number): number[] | undefined {
    return this.#olders?.[place];
  }

  setOlder(place: number, older: number[] | undefined): void {
    const had = this.#olders?.[place] !== undefined;
    if (older === undefined && !had) return;
    this.#olders ??= new Array<number[] | undefined>(chunkKeys).fill(undefined);
    this.#olders[place] = older;
    if (older === undefined) this.#keysWithOlder--;
    else if (!had) this.#keysWithOlder++;
    if (this.#keysWithOlder === 0) this.#olders = undefined;
  }
}

/**
 * The columns. A key is known by a number, which is given to another key once it is free; columns
 * never shrink.
 */
export class KeyIndexes {
  readonly #chunks: KeyIndexChunk[] = [];
  readonly #free: number[] = [];
  #next = 0;

  /** A number that no key has. */
  allocate(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if ((this.#next & chunkMask) === 0) this.#chunks.push(new KeyIndexChunk());
    return this.#next++;
  }

  release(key: number): void {
    this.chunkOf(key).setOlder(this.placeOf(key), undefined);
    this.#free.push(key);
  }

  chunkOf(key: number): KeyIndexChunk {
    return this.#chunks[key >>> chunkShift] as KeyIndexChunk;
  }

  placeOf(key: number): number {
    return key & chunkMask;
  }

  /** Whether the key exists at its newest revision. */
  isLive(key: number): boolean {
    return (this.chunkOf(key).versions[this.placeOf(key)] as number) > 0;
  }
}
