/** Turns what a member has decided into a Ready. */
import type { Core } from './core.ts';
import { settleReads } from './read-index.ts';
import type { Message } from './message.ts';
import type { Persist, Ready } from './ready.ts';
import { settleAppends } from './replication.ts';
import type { Entry, HardState, SoftState } from './types.ts';

const nothing: readonly never[] = [];

/** Remembers what was handed out last. */
export class Output {
  readonly #core: Core;
  #hardState: HardState;
  #softState: SoftState;

  constructor(core: Core) {
    this.#core = core;
    // The stored state is known to the host; a commit index raised by what was applied is not.
    this.#hardState = core.config.storage.initialState().hardState;
    this.#softState = core.softState();
  }

  has(): boolean {
    const core = this.#core;
    return (
      core.messages.length > 0 ||
      core.messagesAfterPersist.length > 0 ||
      core.appendsDue ||
      core.log.tail.hasNew() ||
      core.log.hasCommitted(core.config.committedSizeLimitBytes) ||
      core.readStates.length > 0 ||
      core.droppedReads.length > 0 ||
      core.reads.needsRound() ||
      this.#hardStateChanged() ||
      this.#softStateChanged()
    );
  }

  take(): Ready {
    const core = this.#core;
    settleAppends(core);
    settleReads(core);
    const committedEntries = core.log.takeCommitted(core.config.committedSizeLimitBytes);
    this.#countCommitted(committedEntries);
    const persist = this.#takePersist();
    const messages = core.messages.length > 0 ? core.messages : nothing;
    const readStates = core.readStates.length > 0 ? core.readStates : nothing;
    const droppedReads = core.droppedReads.length > 0 ? core.droppedReads : nothing;
    // What was handed out must not grow any more: a message would leave before its time.
    if (messages !== nothing) core.messages = [];
    if (readStates !== nothing) core.readStates = [];
    if (droppedReads !== nothing) core.droppedReads = [];
    let softState: SoftState | undefined;
    if (this.#softStateChanged()) {
      softState = core.softState();
      this.#softState = softState;
    }
    return { softState, messages, persist, committedEntries, readStates, droppedReads };
  }

  /** Only entries of this term were counted as uncommitted: older ones are somebody else's. */
  #countCommitted(entries: readonly Entry[]): void {
    const core = this.#core;
    if (core.role !== 'leader' || core.uncommittedBytes === 0) return;
    let payload = 0;
    for (const entry of entries) if (entry.term === core.term) payload += entry.data.length;
    core.uncommittedBytes -= payload;
  }

  #takePersist(): Persist | undefined {
    const core = this.#core;
    const { log } = core;
    const { entries, snapshot } = log.tail.hasNew()
      ? log.tail.takeNew()
      : { entries: nothing, snapshot: undefined };
    let hardState: HardState | undefined;
    let mustSync = entries.length > 0 || snapshot !== undefined;
    if (this.#hardStateChanged()) {
      mustSync ||= core.term !== this.#hardState.term || core.vote !== this.#hardState.vote;
      hardState = core.hardState();
      this.#hardState = hardState;
    }
    let after: readonly Message[] = nothing;
    if (core.messagesAfterPersist.length > 0) {
      after = core.messagesAfterPersist;
      core.messagesAfterPersist = [];
      if (!mustSync && !log.writes.syncing) {
        // What they promise is durable already.
        for (const message of after) core.messages.push(message);
        after = nothing;
      }
    }
    if (hardState === undefined && !mustSync && after.length === 0) return undefined;
    const ack = log.writes.add(core.term, entries, snapshot, mustSync);
    return { hardState, mustSync, entries, snapshot, messages: after, ack };
  }

  #hardStateChanged(): boolean {
    const { term, vote, log } = this.#core;
    const last = this.#hardState;
    return log.committed !== last.commit || term !== last.term || vote !== last.vote;
  }

  #softStateChanged(): boolean {
    const { leader, role } = this.#core;
    return role !== this.#softState.role || leader !== this.#softState.leader;
  }
}
