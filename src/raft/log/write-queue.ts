/** Writes that the host has been given and has not acknowledged. */
import type { PersistAck } from '../ready.ts';
import type { Entry, SnapshotMetadata } from '../types.ts';

interface Write {
  readonly ack: PersistAck;
  readonly mustSync: boolean;
  /** Last entry of the write that later writes have not replaced. */
  validIndex: number;
}

/** What acknowledged writes made true, summed up. */
export interface Completed {
  readonly durableIndex: number;
  readonly snapshotIndex: number;
  /** The newest term whose hard state is now durable. */
  readonly term: number;
}

/**
 * The host writes in order, so acknowledging one write acknowledges those before it. When entries
 * are replaced while a write of them is under way, that write stops vouching for them: its
 * acknowledgement may arrive after the same index and term were written again and before that
 * second write is durable (the "ABA" case), so comparing index and term alone would not do.
 */
export class WriteQueue {
  #writes: Write[] = [];
  #nextSequence = 1;
  #unsynced = 0;

  /** Whether a write is under way that messages must wait for. */
  get syncing(): boolean {
    return this.#unsynced > 0;
  }

  get length(): number {
    return this.#writes.length;
  }

  /** Notes a write of `entries` and hands out what will acknowledge it. */
  add(
    term: number,
    entries: readonly Entry[],
    snapshot: SnapshotMetadata | undefined,
    mustSync: boolean,
  ): PersistAck {
    const last = entries.at(-1);
    const lastIndex = last === undefined ? 0 : last.index;
    const ack: PersistAck = {
      sequence: this.#nextSequence++,
      term,
      lastIndex,
      lastTerm: last === undefined ? 0 : last.term,
      snapshotIndex: snapshot === undefined ? 0 : snapshot.index,
    };
    this.#writes.push({ ack, mustSync, validIndex: lastIndex });
    if (mustSync) this.#unsynced++;
    return ack;
  }

  /** Entries from `index` on are no longer those that writes under way contain. */
  overwrittenFrom(index: number): void {
    for (const write of this.#writes) write.validIndex = Math.min(write.validIndex, index - 1);
  }

  /** Removes all writes up to the acknowledged one. Undefined if it was acknowledged before. */
  complete(ack: PersistAck): Completed | undefined {
    let durableIndex = 0;
    let snapshotIndex = 0;
    let term = 0;
    let done = 0;
    for (const write of this.#writes) {
      if (write.ack.sequence > ack.sequence) break;
      durableIndex = Math.max(durableIndex, write.validIndex);
      snapshotIndex = Math.max(snapshotIndex, write.ack.snapshotIndex);
      term = write.ack.term;
      if (write.mustSync) this.#unsynced--;
      done++;
    }
    if (done === 0) return undefined;
    this.#writes.splice(0, done);
    return { durableIndex, snapshotIndex, term };
  }
}
