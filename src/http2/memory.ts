/** Memory of connections that is not counted together with that of others. */
import type { FrameMemory } from './frame-reader.ts';
import type { OutputMemory } from './output.ts';

/** For what one connection may hold that has come in part. */
export function limitedMemory(limitBytes: number): FrameMemory {
  let heldBytes = 0;
  return {
    take(bytes) {
      if (heldBytes + bytes > limitBytes) return false;
      heldBytes += bytes;
      return true;
    },
    release(bytes) {
      heldBytes -= bytes;
    },
  };
}

/** For what waits to be sent where that has a limit of its own. */
export const uncountedMemory: OutputMemory = { add() {}, release() {} };
