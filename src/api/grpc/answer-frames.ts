/**
 * The answers of a stream as gRPC frames them, one behind the other. They are encoded into memory
 * that all streams use in turn, and copied once: memory outside of the heap makes V8 collect all.
 */
import { type Codec, Writer } from '../../base/wire.ts';

/** What has grown beyond it is not used again. */
const maxKeptBytes = 1024 * 1024;

const shared = new Writer();
/** Whose frames are in there. */
let owner: AnswerFrames | undefined;

function giveSharedTo(frames: AnswerFrames): void {
  if (owner === frames) return;
  if (owner === undefined) shared.reset();
  else owner.leaveShared();
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

  /** Leaves the shared memory, which it owns, to the next. */
  leaveShared(): void {
    this.#pieces.push(shared.copy());
    // Not before: were there no memory for the copy, it would still be the owner's.
    owner = undefined;
    if (shared.capacityBytes > maxKeptBytes) shared.finish();
  }
}
