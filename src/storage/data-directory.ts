/** Everything a member keeps: whose it is, its log, its state, and states that come and go. */
import { assert, present } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { reach } from '../base/fault-point.ts';
import type { Logger } from '../base/logger.ts';
import type { SnapshotMetadata } from '../raft/index.ts';
import { Backend } from './backend.ts';
import { logDirectory, stateDirectoryName, type DirectoryStore } from './directory-store.ts';
import type { Completion, Engine } from './engine.ts';
import { asError, CorruptionError, DataDirectoryError } from './errors.ts';
import { idText, type Identity } from './identity.ts';
import { LevelDirectoryStore } from './level-directory.ts';
import { MemoryDirectoryStore, type MemoryDirectory } from './memory-directory.ts';
import { RaftLog, type LogSnapshot } from './raft-log.ts';
import { StateSink, StateSource } from './snapshot-stream.ts';

export { readIdentity } from './level-directory.ts';
export type { Identity } from './identity.ts';

/** Received states kept until the core takes one: it may be busy with another message. */
const receivedLimit = 2;

export interface DataDirectoryOptions {
  /** Where: a path, or memory in tests. */
  readonly path?: string | undefined;
  readonly memory?: MemoryDirectory | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whose it must be, or becomes at the first start. Without, it must be somebody's already. */
  readonly identity?: Identity | undefined;
  readonly flushIntervalMs?: number | undefined;
  /** Budget for log entries kept in memory. */
  readonly logCacheBytes?: number | undefined;
  /** In memory only: how long a write takes. */
  readonly memoryWriteDelayMs?: ((sync: boolean, bytes: number) => number) | undefined;
}

type Opened = (error: Error | undefined, directory: DataDirectory | undefined) => void;

/**
 * Opens a data directory and proves that it is whole; errors are {@link DataDirectoryError} in
 * words for the operator. Nothing in it is changed before it is known to be ours and undamaged.
 */
export function openDataDirectory(options: DataDirectoryOptions, done: Opened): void {
  const store = storeFor(options);
  const opening = new Opening(options, store, (error, directory) => {
    done(error === undefined ? undefined : explain(error, store), directory);
  });
  opening.start();
}

function storeFor(options: DataDirectoryOptions): DirectoryStore {
  const { path, memory, clock, logger } = options;
  if (memory !== undefined) {
    const writeDelayMs = options.memoryWriteDelayMs;
    return new MemoryDirectoryStore({ directory: memory, clock, writeDelayMs });
  }
  assert(path !== undefined, 'a data directory has a path or is in memory');
  return new LevelDirectoryStore({ path, clock, logger });
}

function explain(error: Error, store: DirectoryStore): Error {
  if (!(error instanceof CorruptionError)) return error;
  return new DataDirectoryError(
    'damaged',
    `${store.description} is damaged: ${error.message}. Do not repair it: remove this member ` +
      'from the cluster, add it again, and start it with an empty data directory',
    error,
  );
}

/** The steps of opening. Each continues the next; the first error closes what is open. */
class Opening {
  readonly #options: DataDirectoryOptions;
  readonly #store: DirectoryStore;
  readonly #done: Opened;
  readonly #engines: Engine[] = [];
  #identity: Identity | undefined;
  /** Log and state must be there. */
  #ready = false;

  constructor(options: DataDirectoryOptions, store: DirectoryStore, done: Opened) {
    this.#options = options;
    this.#store = store;
    this.#done = done;
  }

  start(): void {
    this.#store.open((error, found) => {
      if (error !== undefined) {
        this.#done(error, undefined);
        return;
      }
      this.#ready = found?.ready ?? false;
      this.#identity = found ?? this.#options.identity;
      const refusal = this.#refusal(found);
      if (refusal !== undefined) this.#fail(refusal);
      else if (found !== undefined) this.#step(() => this.#openLog());
      else this.#writeIdentity(false, () => this.#openLog());
    });
  }

  #refusal(found: Identity | undefined): DataDirectoryError | undefined {
    const wanted = this.#options.identity;
    const where = this.#store.description;
    if (this.#identity === undefined) {
      return new DataDirectoryError('unusable', `${where} does not belong to a member yet`);
    }
    if (found === undefined || wanted === undefined) return undefined;
    if (found.clusterId !== wanted.clusterId) {
      return new DataDirectoryError(
        'foreign',
        `${where} belongs to cluster ${idText(found.clusterId)}, ` +
          `not to ${idText(wanted.clusterId)}`,
      );
    }
    if (found.memberId !== wanted.memberId) {
      return new DataDirectoryError(
        'foreign',
        `${where} belongs to member ${idText(found.memberId)}, not to ${idText(wanted.memberId)}`,
      );
    }
    return undefined;
  }

  #openLog(): void {
    reach('start-after-identity');
    this.#expect(logDirectory);
    this.#openEngine(logDirectory, (engine) => {
      const { logCacheBytes } = this.#options;
      const cache = logCacheBytes === undefined ? {} : { cacheBytes: logCacheBytes };
      RaftLog.open({ engine, ...cache }, (error, log) => {
        if (log === undefined) this.#fail(present(error, 'the reason'));
        else this.#step(() => this.#openState(log));
      });
    });
  }

  /** Throws unless the database is whole, and there if it must be. */
  #expect(name: string): void {
    if (!this.#store.check(name) && this.#ready) {
      throw new CorruptionError(`its database ${name} is missing`);
    }
  }

  #openState(log: RaftLog): void {
    reach('start-after-log');
    const named = log.stateDirectory;
    const name = named ?? stateDirectoryName(0, 0);
    if (named !== undefined) {
      this.#ready ||= log.lastIndex() > 0;
      this.#expect(name);
    } else if (this.#ready) {
      throw new CorruptionError('the log does not say where the state is');
    }
    this.#removeOthers(named, () => {
      this.#openEngine(name, (engine) => {
        if (named !== undefined) {
          this.#openBackend(log, name, engine);
          return;
        }
        log.setStateDirectory(name, (error) => {
          if (error !== undefined) this.#fail(error);
          else this.#openBackend(log, name, engine);
        });
      });
    });
  }

  /** Removes what a crash left: states half received, or replaced and not yet deleted. */
  #removeOthers(named: string | undefined, next: () => void): void {
    const other = this.#store.stateDirectories().find((name) => name !== named);
    if (other === undefined) {
      this.#step(next);
      return;
    }
    this.#options.logger.info({ directory: other }, 'removing a state that nothing names');
    this.#store.remove(other, (error) => {
      if (error !== undefined) this.#fail(error);
      else this.#removeOthers(named, next);
    });
  }

  #openBackend(log: RaftLog, name: string, engine: Engine): void {
    Backend.open({ engine, ...backendOptions(this.#options) }, (error, backend) => {
      if (backend === undefined) {
        this.#fail(present(error, 'the reason'));
        return;
      }
      this.#step(() => {
        checkAgreement(log, backend);
        reach('start-after-state');
        if (this.#ready) this.#finish(log, backend, name);
        else this.#writeIdentity(true, () => this.#finish(log, backend, name));
      });
    });
  }

  #finish(raftLog: RaftLog, backend: Backend, stateName: string): void {
    const identity = present(this.#identity, 'the identity');
    const parts = { raftLog, backend, stateName, identity, store: this.#store };
    const directory = new DataDirectory(this.#options, parts);
    // Deferred: an exception of the caller's is not one of opening.
    this.#options.clock.defer(() => this.#done(undefined, directory));
  }

  #writeIdentity(ready: boolean, next: () => void): void {
    const identity = present(this.#identity, 'the identity');
    this.#store.writeIdentity({ ...identity, ready }, (error) => {
      if (error !== undefined) this.#fail(error);
      else this.#step(next);
    });
  }

  #openEngine(name: string, next: (engine: Engine) => void): void {
    this.#store.openEngine(name, (error, engine) => {
      if (engine === undefined) {
        this.#fail(present(error, 'the reason'));
        return;
      }
      this.#engines.push(engine);
      this.#step(() => next(engine));
    });
  }

  #step(next: () => void): void {
    try {
      next();
    } catch (thrown) {
      this.#fail(asError(thrown));
    }
  }

  #fail(error: Error): void {
    const engine = this.#engines.pop();
    if (engine !== undefined) engine.close(() => this.#fail(error));
    else this.#store.close(() => this.#done(error, undefined));
  }
}

function backendOptions(
  options: DataDirectoryOptions,
): Pick<Parameters<typeof Backend.open>[0], 'clock' | 'logger' | 'flushIntervalMs'> {
  const { clock, logger, flushIntervalMs } = options;
  return { clock, logger, ...(flushIntervalMs === undefined ? {} : { flushIntervalMs }) };
}

/** The state must be that of an index the log still knows: otherwise one of them lost something. */
function checkAgreement(log: RaftLog, backend: Backend): void {
  const { flushedIndex, flushedTerm } = backend;
  if (flushedIndex > log.lastIndex()) {
    throw new CorruptionError(
      `the log ends at ${log.lastIndex()}, but the state covers index ${flushedIndex}`,
    );
  }
  if (flushedIndex < log.anchor.index) {
    throw new CorruptionError(
      `the state covers index ${flushedIndex}, but the log begins after ${log.anchor.index}`,
    );
  }
  const term = log.term(flushedIndex);
  if (term !== flushedTerm) {
    throw new CorruptionError(
      `index ${flushedIndex} has term ${String(term)} in the log and ${flushedTerm} in the state`,
    );
  }
}

interface Parts {
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

  constructor(options: DataDirectoryOptions, parts: Parts) {
    this.#options = options;
    this.#store = parts.store;
    this.identity = parts.identity;
    this.raftLog = parts.raftLog;
    this.#backend = parts.backend;
    this.#stateName = parts.stateName;
  }

  /** The current state; another object after {@link install}. */
  get backend(): Backend {
    return this.#backend;
  }

  /** Nothing was ever founded, appended or applied: this is a first start. */
  get fresh(): boolean {
    const { hardState } = this.raftLog;
    const { appliedIndex, confState } = this.#backend;
    const used = this.raftLog.lastIndex() > 0 || hardState.term > 0 || appliedIndex > 0;
    return !used && confState.voters.length === 0;
  }

  /** Bytes on disk of the state and of the log: what a volume must have room for. */
  get diskBytes(): { readonly state: number; readonly log: number } {
    const store = this.#store;
    return { state: store.sizeBytes(this.#stateName), log: store.sizeBytes(logDirectory) };
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

  /** Begins to receive a state; undefined while another is received, or if it is here already. */
  receiveSnapshot(metadata: SnapshotMetadata): StateSink | undefined {
    if (this.#receiving !== undefined || this.#named !== undefined) return undefined;
    const name = stateDirectoryName(metadata.index, metadata.term);
    if (name === this.#stateName || name === this.#replaced?.name) return undefined;
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
    const options = { engine: sink.engine, ...backendOptions(this.#options) };
    this.removeReplaced(() => {
      Backend.open(options, (error, backend) => {
        if (backend === undefined) {
          done(error, undefined);
          return;
        }
        const { appliedIndex, appliedTerm } = backend;
        if (appliedIndex !== metadata.index || appliedTerm !== metadata.term) {
          const found = `index ${appliedIndex}, term ${appliedTerm}`;
          done(new CorruptionError(`the received state is of ${found}`), undefined);
          return;
        }
        this.#replaced = { backend: this.#backend, name: this.#stateName };
        this.#backend = backend;
        this.#stateName = sink.name;
        this.#named = undefined;
        reach('snapshot-install-opened');
        done(undefined, backend);
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
    replaced.backend.discard((error) => {
      this.#store.remove(replaced.name, (other) => {
        reach('snapshot-install-removed');
        done(error ?? other);
      });
    });
  }

  /** Writes what is pending, closes everything and gives the directory back. */
  close(done: Completion): void {
    let failure: Error | undefined;
    const also =
      (next: () => void): Completion =>
      (error) => {
        failure ??= error;
        next();
      };
    this.#receiving?.abort();
    for (const sink of this.#received) this.#drop(sink);
    const closeNamed = (): void => {
      // The log may name it: the next start opens it.
      const named = this.#named;
      const closeStore = also(() => this.#store.close(also(() => done(failure))));
      if (named === undefined) closeStore(undefined);
      else named.engine.close(closeStore);
    };
    this.removeReplaced(
      also(() => this.#backend.close(also(() => this.raftLog.close(also(closeNamed))))),
    );
  }

  #keep(sink: StateSink): void {
    this.#received.push(sink);
    const oldest = this.#received[0];
    if (this.#received.length > receivedLimit && oldest !== undefined) this.#drop(oldest);
  }

  #drop(sink: StateSink): void {
    this.#received = this.#received.filter((each) => each !== sink);
    sink.discard((error) => {
      if (error === undefined) return;
      this.#options.logger.warn({ error: error.message }, 'removing a received state failed');
    });
  }
}
