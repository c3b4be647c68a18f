/** How a data directory is opened, step by step, and repaired on the way if it must be. */
import { present } from '../base/assert.ts';
import { reach } from '../base/fault-point.ts';
import type { MemberId } from '../raft/index.ts';
import { Backend } from './backend.ts';
import type { DataDirectoryOptions } from './directory-options.ts';
import {
  isStateDirectory,
  logDirectory,
  stateDirectoryName,
  type DirectoryStore,
} from './directory-store.ts';
import type { Engine } from './engine.ts';
import { asError, CorruptionError, DataDirectoryError, NewerVersionError } from './errors.ts';
import { idText, type Identity } from './identity.ts';
import { backendOptions, DataDirectory } from './open-directory.ts';
import { RaftLog, type TermBound } from './raft-log.ts';
import { Repair } from './repair.ts';
import { reservationFor, reserveTerm } from './term-file.ts';

type Opened = (error: Error | undefined, directory: DataDirectory | undefined) => void;

/** The steps of opening. Each continues the next; the first error closes what is open. */
export class Opening {
  readonly #options: DataDirectoryOptions;
  readonly #store: DirectoryStore;
  readonly #done: Opened;
  readonly #engines: Engine[] = [];
  #identity: Identity | undefined;
  /** Log and state must be there. */
  #ready = false;
  /** The term of a log that lacks nothing of what the state knows of it. */
  #logTerm: number | undefined;
  /** What the state holds is wrong. */
  #stateDamaged: boolean;
  #termBound: TermBound | undefined;
  /** It was tried once: damage that is there again is no matter of files. */
  #repaired = false;

  constructor(options: DataDirectoryOptions, store: DirectoryStore, done: Opened) {
    this.#options = options;
    this.#store = store;
    this.#done = done;
    this.#stateDamaged = options.stateDamage !== undefined;
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
      else if (found !== undefined) this.#resume();
      else this.#writeIdentity(false, () => this.#openLog());
    });
  }

  #resume(): void {
    this.#repair().resume((error) => {
      if (error !== undefined) this.#fail(error);
      else this.#step(() => this.#openLog());
    });
  }

  #repair(): Repair {
    const { clock, logger, founders } = this.#options;
    const { memberId } = present(this.#identity, 'the identity');
    return new Repair({ store: this.#store, clock, logger, memberId, founders });
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
    const { memberId } = present(this.#identity, 'the identity');
    const termBound = this.#openTermBound(memberId);
    this.#termBound = termBound;
    this.#openWhole(logDirectory, (engine) => {
      const { logCacheBytes } = this.#options;
      const cache = logCacheBytes === undefined ? {} : { cacheBytes: logCacheBytes };
      RaftLog.open({ engine, memberId, termBound, ...cache }, (error, log) => {
        if (log === undefined) {
          this.#fail(present(error, 'the reason'));
          return;
        }
        this.#step(() => this.#openState(log));
      });
    });
  }

  #openTermBound(memberId: MemberId): TermBound {
    const store = this.#store;
    let reserved = store.reservedTerm(memberId) ?? -1;
    return {
      get reserved() {
        return reserved;
      },
      reserve: (term) => {
        const bound = reservationFor(term);
        reserveTerm(store, memberId, bound);
        reserved = bound;
      },
    };
  }

  /** Opens a database that is whole, and there if it must be. */
  #openWhole(name: string, next: (engine: Engine) => void): void {
    this.#store.check(name, (error, there) => {
      if (error !== undefined) this.#fail(error);
      else if (there === true || !this.#ready) this.#step(() => this.#openEngine(name, next));
      else this.#fail(new CorruptionError(`its database ${name} is missing`));
    });
  }

  #openState(log: RaftLog): void {
    reach('start-after-log');
    const named = log.stateDirectory;
    if (named !== undefined) {
      this.#ready ||= log.lastIndex() > 0;
      this.#openWhole(named, (engine) => this.#openBackend(log, named, engine));
      return;
    }
    if (this.#ready) throw new CorruptionError('the log does not say where the state is');
    const name = stateDirectoryName(0, 0);
    // A first start may have been cut short in the middle of making one.
    this.#removeOthers(undefined, () => {
      this.#openEngine(name, (engine) => {
        log.setStateDirectory(name, (error) => {
          if (error !== undefined) this.#fail(error);
          else this.#openBackend(log, name, engine);
        });
      });
    });
  }

  /**
   * Removes what a crash left: states half received, or replaced and not yet deleted. If the log
   * names one, only once both agree: what a log that lost something names is an old one.
   */
  #removeOthers(named: string | undefined, next: () => void): void {
    const states = this.#store.databases().filter(isStateDirectory);
    const other = states.find((name) => name !== named);
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
    Backend.open({ engine, ...backendOptions(this.#options, log) }, (error, backend) => {
      if (backend === undefined) {
        this.#fail(present(error, 'the reason'));
        return;
      }
      this.#step(() => {
        this.#checkAgreement(log, backend);
        reach('start-after-state');
        const finish = (): void => this.#finish(log, backend, name);
        this.#removeOthers(name, () => {
          if (this.#ready) finish();
          else this.#writeIdentity(true, finish);
        });
      });
    });
  }

  #checkAgreement(log: RaftLog, backend: Backend): void {
    const { memberId } = present(this.#identity, 'the identity');
    const lacks = lostOfLog(log, backend);
    if (lacks !== undefined) throw new CorruptionError(lacks);
    const { flushedIndex } = backend;
    const { index } = log.anchor;
    if (flushedIndex < index) {
      // It is older than it was, but whole: a log can begin after it.
      throw new CorruptionError(
        `the state covers index ${flushedIndex}, but the log begins after ${index}`,
      );
    }
    const contradiction = contradictionOf(log, backend, memberId);
    if (contradiction !== undefined) {
      this.#stateDamaged = true;
      throw new CorruptionError(contradiction);
    }
    // Without a mark nothing shows that the log is not an older one.
    if (backend.logMark !== undefined) this.#logTerm = log.hardState.term;
    const { stateDamage } = this.#options;
    if (stateDamage !== undefined && !this.#repaired) throw stateDamage;
  }

  #finish(raftLog: RaftLog, backend: Backend, stateName: string): void {
    const identity = present(this.#identity, 'the identity');
    const termBound = present(this.#termBound, 'the bound on the term');
    const { term } = raftLog.hardState;
    if (termBound.reserved < term) termBound.reserve(term);
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
    else if (error instanceof CorruptionError) this.#damaged(error);
    else this.#end(error);
  }

  /** Repairs the directory and opens it anew, or says why that cannot be. */
  #damaged(error: Error): void {
    // Before the first start was complete, nothing was acknowledged.
    if (!this.#ready || this.#repaired) {
      this.#end(this.#explained(error, 'Remove it if this member has never been up'));
      return;
    }
    this.#repaired = true;
    const damage = { error, inState: this.#stateDamaged, logTerm: this.#logTerm };
    this.#repair().begin(damage, (failure, refusal) => {
      if (failure !== undefined) this.#end(failure);
      else if (refusal !== undefined) this.#end(this.#explained(error, refusal));
      else this.#step(() => this.#openLog());
    });
  }

  #explained(error: Error, advice: string): Error {
    const message = `${this.#store.description} is damaged: ${error.message}. ${advice}`;
    return new DataDirectoryError('damaged', message, error);
  }

  #end(error: Error): void {
    const told = error instanceof NewerVersionError ? this.#newer(error) : error;
    this.#store.close(() => this.#done(told, undefined));
  }

  #newer(error: NewerVersionError): Error {
    const message = `${this.#store.description} was written by a newer version: ${error.message}`;
    return new DataDirectoryError('newerVersion', message, error);
  }
}

/** What shows that the log has lost its newest entries or records. */
function lostOfLog(log: RaftLog, { flushedIndex, logMark }: Backend): string | undefined {
  if (flushedIndex > log.lastIndex()) {
    return `the log ends at ${log.lastIndex()}, but the state covers index ${flushedIndex}`;
  }
  if ((logMark?.writes ?? 0) > log.durableWrites) {
    return `the log has ${log.durableWrites} writes, but it had ${String(logMark?.writes)} before`;
  }
  return undefined;
}

/** The state must be that of an index the log still knows: otherwise one of them lost something. */
function contradictionOf(log: RaftLog, backend: Backend, self: MemberId): string | undefined {
  const { flushedIndex, flushedTerm, logMark } = backend;
  const term = log.term(flushedIndex);
  if (term !== flushedTerm) {
    const inLog = `index ${flushedIndex} has term ${String(term)} in the log`;
    return `${inLog} and ${flushedTerm} in the state`;
  }
  if (logMark === undefined) return undefined;
  if (logMark.memberId !== self) return `the state is that of member ${idText(logMark.memberId)}`;
  if (logMark.index !== flushedIndex || logMark.chain === log.chainAt(flushedIndex))
    return undefined;
  return `the log up to index ${flushedIndex} is not the one that the state was made of`;
}
