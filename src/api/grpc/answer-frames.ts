/**
 * The answers of a stream as gRPC frames them, one behind the other. They are encoded into memory
 * that all streams use in turn: each answer would else be two pieces of memory of its own.
 */
import { type Codec, Writer } from '../../base/wire.ts';

/** Of more frames the memory itself is handed on, instead of a copy. */
const maxCopiedBytes = 64 * 1024;

const shared = new Writer();
/** Whose frames are in there. */
let owner: AnswerFrames | undefined;

function giveSharedTo(frames: AnswerFrames): void {
  if (owner === frames) return;
  owner?.leaveShared();
  owner = frames;
}

export class AnswerFrames {
  #pieces: Uint8Array[] = [];
  #messages = 0;
  #bytes = 0;

  /** Messages that wait to be taken. */
  get messages(): number {
    return this.#messages;
  }

  /** Of these messages, without their prefixes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Returns the length of the message, without its prefix. */
  add<T>(codec: Codec<T>, message: T): number {
    giveSharedTo(this);
    const opened = shared.openFrame();
    try {
      codec.write(shared, message);
    } catch (error) {
      shared.cancelFrame(opened);
      throw error;
    }
    const length = shared.closeFrame(opened);
    this.#messages++;
    this.#bytes += length;
    return length;
  }

  /** Everything that was added: one piece, or more if others have used the memory meanwhile. */
  take(): Uint8Array[] {
    if (owner === this) this.leaveShared();
    const pieces = this.#pieces;
    this.clear();
    return pieces;
  }

  /** Nobody will take them. */
  clear(): void {
    if (owner === this) this.leaveShared();
    this.#pieces = [];
    this.#messages = 0;
    this.#bytes = 0;
  }

  /** Leaves the shared memory to the next. */
  leaveShared(): void {
    owner = undefined;
    this.#pieces.push(shared.sizeBytes > maxCopiedBytes ? shared.finish() : shared.copy());
  }
}
