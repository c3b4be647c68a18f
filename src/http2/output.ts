/**
 * What a connection sends in one turn, in few pieces. All of it is copied: whoever gave the bytes
 * may use them again at once, and so may the pieces be, as the system usually takes them at once.
 */
import type { Socket } from 'node:net';

const pieceBytes = 64 * 1024;
/** So much may wait for the system to take it; then what is to be sent waits where it came from. */
const maxWaitingBytes = 256 * 1024;
/** Of a piece that is emptier than that, a copy waits instead. */
const wellFilledBytes = 32 * 1024;
/** Pieces that are kept for later. */
const maxIdlePieces = 64;

/** Of all connections. */
const idle: Buffer[] = [];

function takePiece(): Buffer {
  return idle.pop() ?? Buffer.allocUnsafeSlow(pieceBytes);
}

function giveBack(piece: Buffer): void {
  if (idle.length < maxIdlePieces) idle.push(piece);
}

/** Counts memory of what waits to be sent. */
export interface OutputMemory {
  add(bytes: number): void;
  release(bytes: number): void;
}

export class Output {
  readonly #socket: Socket;
  readonly #memory: OutputMemory;
  readonly #taken: () => void;
  #piece: Buffer | undefined;
  #at = 0;
  #isClosed = false;
  /**
   * For each write whose end was not told, the piece that it is of, if the system may need that
   * still.
   */
  #writes: (Buffer | undefined)[] = [];
  /** Bytes that wait with the socket, as they are counted. */
  #waitingBytes = 0;
  readonly #written = (error?: Error | null): void => this.#ended(error);

  /** @param taken called when the system has taken some of what it could not take at once */
  constructor(socket: Socket, memory: OutputMemory, taken: () => void) {
    this.#socket = socket;
    this.#memory = memory;
    this.#taken = taken;
  }

  /** Whether nothing more should be written before the socket's `drain`. */
  get isFull(): boolean {
    return this.#socket.writableLength >= maxWaitingBytes;
  }

  /** Whether the system has taken everything. */
  get isTaken(): boolean {
    return this.#at === 0 && this.#socket.writableLength === 0;
  }

  /** Memory for so many bytes, no more than a frame has, which begins at {@link at}. */
  room(bytes: number): Buffer {
    if (this.#at + bytes > pieceBytes) this.send();
    this.#piece ??= takePiece();
    return this.#piece;
  }

  get at(): number {
    return this.#at;
  }

  /** So many bytes have been written to the memory. */
  wrote(bytes: number): void {
    this.#at += bytes;
  }

  write(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length; from += pieceBytes) {
      const part = bytes.subarray(from, from + pieceBytes);
      this.room(part.length).set(part, this.#at);
      this.#at += part.length;
    }
  }

  /** Hands over to the system what was written. */
  send(): void {
    const piece = this.#piece;
    const length = this.#at;
    if (piece === undefined || length === 0) return;
    this.#at = 0;
    this.#piece = undefined;
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) {
      giveBack(piece);
      return;
    }
    const isCopied = socket.writableLength > 0 && length < wellFilledBytes;
    const bytes = piece.subarray(0, length);
    socket.write(isCopied ? Buffer.from(bytes) : bytes, this.#written);
    // A socket that has nothing left after a write has handed it to the system already.
    const isNeeded = !isCopied && socket.writableLength > 0;
    this.#writes.push(isNeeded ? piece : undefined);
    if (!isNeeded) giveBack(piece);
    if (socket.writableLength > 0) this.#count();
  }

  /** Nothing more is sent. */
  close(): void {
    if (this.#piece !== undefined) giveBack(this.#piece);
    this.#piece = undefined;
    this.#at = 0;
    // Of a socket that is cut off the system may still have some.
    this.#writes = [];
    this.#memory.release(this.#waitingBytes);
    this.#waitingBytes = 0;
    this.#isClosed = true;
  }

  /** Writes end in their order. */
  #ended(error: Error | null | undefined): void {
    const piece = this.#writes.shift();
    if (piece !== undefined && !error) giveBack(piece);
    if (this.#waitingBytes === 0) return;
    this.#count();
    if (!error) this.#taken();
  }

  #count(): void {
    if (this.#isClosed) return;
    const more = this.#socket.writableLength - this.#waitingBytes;
    this.#waitingBytes += more;
    if (more > 0) this.#memory.add(more);
    else if (more < 0) this.#memory.release(-more);
  }
}
