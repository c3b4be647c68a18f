/** One direction of a connection between two members, and the link that it runs over. */
import type { Socket } from 'node:net';

/** Bytes held for one direction; above it the sender is not read, as with a full TCP window. */
const heldLimitBytes = 1024 * 1024;

/** What holds for all bytes from one member to another. */
export class Link {
  readonly from: string;
  readonly to: string;
  readonly #changed = new Set<() => void>();
  #cut = false;
  #delay: () => number = () => 0;

  constructor(from: string, to: string) {
    this.from = from;
    this.to = to;
  }

  get isCut(): boolean {
    return this.#cut;
  }

  /** Holds what is sent from now on, and what is still under way, until {@link mend}. */
  cut(): void {
    this.#cut = true;
  }

  mend(): void {
    this.#cut = false;
    for (const changed of [...this.#changed]) changed();
  }

  /** @param delay milliseconds of the way, asked for each piece; order is kept */
  slow(delay: () => number): void {
    this.#delay = delay;
  }

  dueMs(nowMs: number): number {
    return nowMs + this.#delay();
  }

  /** Returns how to stop listening. */
  onMended(changed: () => void): () => void {
    this.#changed.add(changed);
    return () => this.#changed.delete(changed);
  }
}

interface Piece {
  /** Undefined is the end of the connection, which travels like bytes. */
  readonly bytes: Buffer | undefined;
  readonly dueMs: number;
}

/** Moves bytes, and the end, from one socket to another under the rule of a link. */
export class Flow {
  readonly #source: Socket;
  readonly #sink: Socket;
  #link: Link | undefined;
  #stopListening: (() => void) | undefined;
  #pieces: Piece[] = [];
  #heldBytes = 0;
  #lastDueMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #draining = false;
  #over = false;

  constructor(source: Socket, sink: Socket) {
    this.#source = source;
    this.#sink = sink;
    // An error is followed by the close, which is all that the other end would learn.
    source.on('error', () => {});
    source.once('close', () => this.#add(undefined));
    sink.once('close', () => this.stop());
  }

  /** Under the rule of `link` from now on. Before, everything passes at once. */
  set link(link: Link) {
    this.#link = link;
    this.#stopListening = link.onMended(() => this.#pump());
  }

  send(bytes: Buffer): void {
    this.#heldBytes += bytes.length;
    if (this.#heldBytes > heldLimitBytes) this.#source.pause();
    this.#add(bytes);
  }

  stop(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#stopListening?.();
    this.#pieces = [];
  }

  #add(bytes: Buffer | undefined): void {
    const nowMs = performance.now();
    this.#lastDueMs = Math.max(this.#lastDueMs, this.#link?.dueMs(nowMs) ?? nowMs);
    this.#pieces.push({ bytes, dueMs: this.#lastDueMs });
    this.#pump();
  }

  #pump(): void {
    clearTimeout(this.#timer);
    while (!this.#over && !this.#draining && this.#link?.isCut !== true) {
      const [piece] = this.#pieces;
      if (piece === undefined) return;
      const waitMs = piece.dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#pump(), Math.ceil(waitMs));
        return;
      }
      this.#pieces.shift();
      this.#deliver(piece.bytes);
    }
  }

  #deliver(bytes: Buffer | undefined): void {
    if (bytes === undefined) {
      this.#sink.destroy();
      return;
    }
    this.#heldBytes -= bytes.length;
    if (this.#heldBytes <= heldLimitBytes) this.#source.resume();
    if (this.#sink.write(bytes)) return;
    this.#draining = true;
    this.#sink.once('drain', () => {
      this.#draining = false;
      this.#pump();
    });
  }
}
