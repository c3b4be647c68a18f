/** A data directory while a member has it. */
import { assert, present } from '../base/assert.ts';
import { reach } from '../base/fault-point.ts';
import type { SnapshotMetadata } from '../raft/index.ts';
import { Backend, type BackendOptions } from './backend.ts';
import type { DataDirectoryOptions } from './directory-options.ts';
import {
  isDamaged,
  logDirectory,
  stateDirectoryName,
  type DirectoryStore,
} from './directory-store.ts';
import type { Completion } from './engine.ts';
import { CorruptionError } from './errors.ts';
import type { FoundingRecord } from './founding-file.ts';
import type { Identity } from './identity.ts';
import type { LogSnapshot, RaftLog } from './raft-log.ts';
import { StateSink, StateSource } from './snapshot-stream.ts';

/** Received states kept until the core takes one: it may be busy with another message. */
const receivedLimit = 2;

/** How this member opens a state. */
export function backendOptions(
  options: DataDirectoryOptions,
  log: RaftLog,
): Omit<BackendOptions, 'engine'> {
  const { clock, logger, flushIntervalMs } = options;
  return { clock, logger, log, ...(flushIntervalMs === undefined ? {} : { flushIntervalMs }) };
}

export interface DirectoryParts {
  readonly raftLog: RaftLog;
  readonly backend: Backend;
  /** Name of the backend's directory. */
  readonly stateName: string;
  readonly identity: Identity;
  readonly store: DirectoryStore;
}

/** A data directory that is open, until {@link close}. */
export class DataDirectory {
  readonly identity: Identity;
  readonly raftLog: RaftLog;
  readonly #options: DataDirectoryOptions;
  readonly #store: DirectoryStore;
  #backend: Backend;
  #stateName: string;
  /** A state that a snapshot replaced, open for those who still read it. */
  #replaced: { readonly backend: Backend; readonly name: string } | undefined;
  #receiving: StateSink | undefined;
  /** Complete states that the log does not name yet. */
  #received: StateSink[] = [];
  /** The one that the log names, until it is installed. */
  #named: StateSink | undefined;
  #installing = false;
  /** Waits until no state is being installed any more. */
  #onInstalled: (() => void) | undefined;
  /** Databases that were set aside may be there. */
  #keepsDamaged = true;
  #removingDamaged = false;
  /** States that are being closed and removed. */
  readonly #leaving = new Set<string>();
  /** Waits until nothing is received or removed any more. */
  #onSettled: (() => void) | undefined;

  constructor(options: DataDirectoryOptions, parts: DirectoryParts) {
    this.#options = options;
    this.#store = parts.store;
    this.identity = parts.identity;
    this.raftLog = parts.raftLog;
    this.#backend = parts.backend;
    this.#stateName = parts.stateName;
    // What is durable in the log is noted in the state as well, so that its loss is noticed.
    this.raftLog.onWrite(() => {
      this.#backend.noteLogWrite();
      this.#removeDamaged();
    });
    this.#backend.noteLogWrite();
    this.#removeDamaged();
  }

  /** The current state; another object after {@link install}. */
  get backend(): Backend {
    return this.#backend;
  }

  /**
   * Nothing was founded, appended or applied: this is a first start, or everything was lost and the
   * member begins anew from what the cluster was founded with.
   */
  get fresh(): boolean {
    const { appliedIndex, confState } = this.#backend;
    const used = this.raftLog.lastIndex() > 0 || appliedIndex > 0;
    return !used && confState.voters.length === 0;
  }

  /** Nothing on this disk was ever decided: no term, no entry, no state, and nothing was lost. */
  get unused(): boolean {
    const { hardState, repairTerm } = this.raftLog;
    const empty = this.raftLog.lastIndex() === 0 && this.#backend.appliedIndex === 0;
    return empty && hardState.term === 0 && repairTerm === undefined;
  }

  /** How far the member has come in founding; undefined if it does not found, or did so earlier. */
  get founding(): FoundingRecord | undefined {
    return this.#store.readFounding(this.identity.memberId);
  }

  /** Durable when it returns. @throws DataDirectoryError if it cannot be written */
  saveFounding(record: FoundingRecord): void {
    this.#store.writeFounding(this.identity.memberId, record);
  }

  /** Bytes on disk of the state and of the log: what a volume must have room for. */
  get diskBytes(): { readonly state: number; readonly log: number } {
    const store = this.#store;
    return { state: store.sizeBytes(this.#stateName), log: store.sizeBytes(logDirectory) };
  }

  /** Whether the database of that name is in use. */
  reliesOn(name: string): boolean {
    return name === logDirectory || name === this.#stateName;
  }

  /** The newest flushed state, for sending; undefined before there is one. */
  openSnapshot(): StateSource | undefined {
    const view = this.#backend.view();
    const { index } = view.metadata;
    // While an installed snapshot is awaited, the log is ahead of the old state.
    if (index === 0 || index < this.raftLog.anchor.index || index > this.raftLog.lastIndex()) {
      view.close();
      return undefined;
    }
    return new StateSource(view, this.raftLog.chainAt(index), this.#options.clock);
  }

  /**
   * Begins to receive a state; undefined while another is received, or if it is here already or not
   * yet gone.
   */
  receiveSnapshot(metadata: SnapshotMetadata): StateSink | undefined {
    if (this.#receiving !== undefined || this.#named !== undefined) return undefined;
    const name = stateDirectoryName(metadata.index, metadata.term);
    if (name === this.#stateName || name === this.#replaced?.name) return undefined;
    if (this.#leaving.has(name)) return undefined;
    // Received before, but the core did not take it: the new transfer replaces it.
    const same = this.#received.find((each) => each.name === name);
    this.#received = this.#received.filter((each) => each !== same);
    const sink = new StateSink({
      store: this.#store,
      clock: this.#options.clock,
      metadata,
      replaces: same,
      onEnd: (ended, ok) => {
        this.#receiving = undefined;
        if (ok) this.#keep(ended);
        this.#settle();
      },
    });
    this.#receiving = sink;
    return sink;
  }

  /** A complete received state, to be named by {@link RaftLog.append}; kept from now on. */
  received(metadata: SnapshotMetadata): LogSnapshot | undefined {
    const name = stateDirectoryName(metadata.index, metadata.term);
    const sink = this.#received.find((each) => each.name === name);
    if (sink === undefined) return undefined;
    this.#received = this.#received.filter((each) => each !== sink);
    this.#named = sink;
    return { metadata, stateDirectory: name, chain: sink.chain };
  }

  /** Removes a complete received state that the core did not take. */
  dropReceived({ index, term }: SnapshotMetadata): void {
    const name = stateDirectoryName(index, term);
    const sink = this.#received.find((each) => each.name === name);
    if (sink !== undefined) this.#drop(sink);
  }

  /**
   * Opens the state that the log names by now. The old one stays open for those who read it, until
   * {@link removeReplaced}; after a crash the next start removes it.
   */
  install(
    metadata: SnapshotMetadata,
    done: (error: Error | undefined, backend: Backend | undefined) => void,
  ): void {
    const sink = present(this.#named, 'a received snapshot');
    assert(this.raftLog.stateDirectory === sink.name, 'the log names another state');
    reach('snapshot-install-named');
    const options = { engine: sink.engine, ...backendOptions(this.#options, this.raftLog) };
    const finish = (error: Error | undefined, backend: Backend | undefined): void => {
      this.#installing = false;
      done(error, backend);
      const installed = this.#onInstalled;
      this.#onInstalled = undefined;
      installed?.();
    };
    this.#installing = true;
    this.removeReplaced(() => {
      Backend.open(options, (error, backend) => {
        if (backend === undefined) {
          finish(error, undefined);
          return;
        }
        const { appliedIndex, appliedTerm } = backend;
        if (appliedIndex !== metadata.index || appliedTerm !== metadata.term) {
          const found = `index ${appliedIndex}, term ${appliedTerm}`;
          finish(new CorruptionError(`the received state is of ${found}`), undefined);
          return;
        }
        this.#replaced = { backend: this.#backend, name: this.#stateName };
        this.#backend = backend;
        this.#stateName = sink.name;
        this.#named = undefined;
        backend.noteLogWrite();
        reach('snapshot-install-opened');
        finish(undefined, backend);
      });
    });
  }

  /** Closes and deletes the state that a snapshot replaced, once nobody reads it any more. */
  removeReplaced(done: Completion = () => {}): void {
    const replaced = this.#replaced;
    this.#replaced = undefined;
    if (replaced === undefined) {
      this.#options.clock.defer(() => done(undefined));
      return;
    }
    const { backend, name } = replaced;
    this.#leaving.add(name);
    backend.discard((error) => {
      this.#store.remove(name, (other) => {
        reach('snapshot-install-removed');
        this.#left(name);
        done(error ?? other);
      });
    });
  }

  /** Writes what is pending, closes everything and gives the directory back. */
  close(done: Completion): void {
    this.#receiving?.abort();
    for (const sink of this.#received) this.#drop(sink);
    // Which states are open, and which of them goes, is certain only then.
    if (this.#installing) this.#onInstalled = () => this.#closeAll(done);
    else this.#closeAll(done);
  }

  #closeAll(done: Completion): void {
    let failure: Error | undefined;
    const also =
      (next: () => void): Completion =>
      (error) => {
        failure ??= error;
        next();
      };
    const closeNamed = (): void => {
      // The log may name it: the next start opens it.
      const named = this.#named;
      const closeStore = also(() => {
        // Whoever opens the directory next must find nothing of it still open.
        this.#onSettled = () => this.#store.close(also(() => done(failure)));
        this.#settle();
      });
      if (named === undefined) closeStore(undefined);
      else named.engine.close(closeStore);
    };
    this.removeReplaced(
      also(() => this.#backend.close(also(() => this.raftLog.close(also(closeNamed))))),
    );
  }

  /**
   * Once the member has got back, durably, all that it had lost, nobody needs what was left of it.
   * What cannot be removed only takes up room: the next start tries again.
   */
  #removeDamaged(): void {
    if (!this.#keepsDamaged || this.raftLog.repairTerm !== undefined) return;
    this.#keepsDamaged = false;
    const names = this.#store.databases().filter(isDamaged);
    if (names.length === 0) return;
    reach('repair-complete');
    this.#removingDamaged = true;
    const { logger } = this.#options;
    const next = (): void => {
      const directory = names.pop();
      if (directory === undefined) {
        this.#removingDamaged = false;
        this.#settle();
        return;
      }
      this.#store.remove(directory, (error) => {
        if (error === undefined) logger.info({ directory }, 'removed what was damaged: it is back');
        else logger.warn({ directory, error: error.message }, 'removing what was damaged failed');
        next();
      });
    };
    next();
  }

  #keep(sink: StateSink): void {
    this.#received.push(sink);
    const oldest = this.#received[0];
    if (this.#received.length > receivedLimit && oldest !== undefined) this.#drop(oldest);
  }

  #drop(sink: StateSink): void {
    this.#received = this.#received.filter((each) => each !== sink);
    this.#leaving.add(sink.name);
    sink.discard((error) => {
      if (error !== undefined) {
        this.#options.logger.warn({ error: error.message }, 'removing a received state failed');
      }
      this.#left(sink.name);
    });
  }

  #left(name: string): void {
    this.#leaving.delete(name);
    this.#settle();
  }

  #settle(): void {
    if (this.#receiving !== undefined || this.#leaving.size > 0 || this.#removingDamaged) return;
    const settled = this.#onSettled;
    this.#onSettled = undefined;
    settled?.();
  }
}
