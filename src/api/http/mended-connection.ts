/**
 * A connection whose client does not know what an authority is. It names the authority by its place
 * in the table of headers only until other headers have pushed it out of there, after some hundred
 * calls; so every frame of headers is looked at, and that costs only those who need it.
 */
import type { Socket } from 'node:net';
import { pipeline, Transform } from 'node:stream';
import { connectedPair } from './connected-pair.ts';
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

/**
 * A connection that stands for `socket`, from its first bytes on, where the HTTP/2 library expects
 * one. It is a real one: over a stream of JavaScript, Node's HTTP/2 fails an assertion, and so ends
 * the process, when a client breaks off in the turn in which the session ends.
 *
 * @param opening what was received and needs no mending any more
 * @param unseen what was received after it
 * @returns undefined if the client has gone meanwhile
 * @throws what `connectedPair` throws; the socket is closed then
 */
export async function mendedConnection(
  socket: Socket,
  opening: Buffer,
  unseen: Buffer,
): Promise<Socket | undefined> {
  socket.on('error', () => socket.destroy());
  let pair;
  try {
    pair = await connectedPair();
  } catch (error) {
    socket.destroy();
    throw error;
  }
  const [near, far] = pair;
  if (socket.destroyed) {
    near.destroy();
    far.destroy();
    return undefined;
  }
  const mender = new FrameMender();
  near.write(Buffer.concat([opening, ...mender.take(unseen)]));
  const mend = new Transform({
    transform(received: Buffer, _encoding, done) {
      for (const bytes of mender.take(received)) this.push(bytes);
      done();
    },
  });
  // However either end ends, the other does too, which is all that there is to do.
  pipeline(socket, mend, near, () => socket.destroy());
  pipeline(near, socket, () => near.destroy());
  return far;
}
