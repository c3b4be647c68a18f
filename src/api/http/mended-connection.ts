/**
 * A connection whose client does not know what an authority is. It names the authority by its place
 * in the table of headers only until other headers have pushed it out of there, after some hundred
 * calls; so every frame of headers is looked at, and that costs only those who need it.
 */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import {
  FrameType,
  frameBytesMax,
  frameHeaderBytes,
  frameLength,
  mendHeadersFrame,
} from './http2-frames.ts';

/** Mends the frames of headers in what a client sends after its first request. */
export class FrameMender {
  /** Holds less than one frame of headers, or less than the header of a frame. */
  #begun: Buffer = Buffer.alloc(0);
  /** What is left of a frame that is passed on as it is. */
  #passingBytes = 0;

  /** @returns what can be passed on, in pieces */
  take(received: Buffer): Buffer[] {
    let bytes = this.#begun.length === 0 ? received : Buffer.concat([this.#begun, received]);
    const out: Buffer[] = [];
    for (;;) {
      const passed = Math.min(this.#passingBytes, bytes.length);
      if (passed > 0) out.push(bytes.subarray(0, passed));
      this.#passingBytes -= passed;
      bytes = bytes.subarray(passed);
      if (bytes.length < frameHeaderBytes) break;
      const frameBytes = frameLength(bytes);
      const isMendable =
        bytes[3] === FrameType.headers && frameBytes <= frameHeaderBytes + frameBytesMax;
      if (!isMendable) {
        this.#passingBytes = frameBytes;
        continue;
      }
      if (bytes.length < frameBytes) break;
      const frame = bytes.subarray(0, frameBytes);
      out.push(mendHeadersFrame(frame) ?? frame);
      bytes = bytes.subarray(frameBytes);
    }
    this.#begun = bytes;
    return out;
  }
}

/** Stands for `socket`, from its first bytes on, where the HTTP/2 library expects a connection. */
export class MendedConnection extends Duplex {
  readonly #socket: Socket;
  readonly #mender = new FrameMender();

  /**
   * @param opening what was received and needs no mending any more
   * @param unseen what was received after it
   */
  constructor(socket: Socket, opening: Buffer, unseen: Buffer) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    this.push(opening);
    for (const bytes of this.#mender.take(unseen)) this.push(bytes);
    socket.on('data', (received: Buffer) => {
      let hasRoom = true;
      for (const bytes of this.#mender.take(received)) hasRoom = this.push(bytes);
      if (!hasRoom) socket.pause();
    });
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(bytes: Buffer, _encoding: unknown, done: (error?: Error | null) => void): void {
    this.#socket.write(bytes, done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}
