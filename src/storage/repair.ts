/**
 * What becomes of a data directory in which something is damaged. A log that lost entries may not
 * be used as if it were whole: the member would vote without what it has acknowledged. But it can
 * begin anew, as a member that abstains until the others have given back what is lost
 * (`raft/abstention.ts`). For that it takes only three things: who the member is, a bound on the
 * terms it was ever in, which is kept apart from the log (`term-file.ts`), and other members.
 *
 * The new log begins after the state, if that is whole by itself: whatever the flushed index is,
 * what it covers was committed. Else it begins with nothing, and so does the state.
 *
 * Every step leaves either the damage or the finished repair: states are set aside first, which
 * damages a directory that is damaged already; the new log is built under another name, and renamed
 * when it is complete; from then on every start finishes what is left, by renaming. What is set
 * aside is kept until the member has got back what it lost: where too many members are damaged, it
 * may be the last copy.
 */
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import { noMember, type MemberId } from '../raft/index.ts';
import { Backend } from './backend.ts';
import {
  buildingLogDirectory,
  damagedName,
  isStateDirectory,
  logDirectory,
  repairedLogDirectory,
  stateDirectoryName,
  type DirectoryStore,
} from './directory-store.ts';
import type { Completion, Engine, Operation } from './engine.ts';
import { asError, CorruptionError } from './errors.ts';
import { logKeys } from './keyspace.ts';
import { firstChain } from './log-record.ts';
import {
  encodeAnchor,
  encodeHardState,
  encodeOrigin,
  encodeRepairTerm,
  encodeStateDirectory,
  encodeTail,
  put,
} from './log-state.ts';
import { reservationFor } from './term-file.ts';

export interface Damage {
  readonly error: Error;
  /** What the state holds is wrong, however whole its files are. */
  readonly inState: boolean;
  /** The term of the log's hard state, if the log can be trusted. */
  readonly logTerm: number | undefined;
}

export interface RepairOptions {
  readonly store: DirectoryStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly memberId: MemberId;
  readonly founders: readonly MemberId[] | undefined;
}

/** The state as far as a new log needs to know it. */
interface UsableState {
  readonly name: string;
  readonly index: number;
  readonly term: number;
  readonly chain: number;
  /** Writes of the log that the state has noted. */
  readonly writes: number;
  readonly voters: readonly MemberId[];
}

type Step = (done: Completion) => void;

export class Repair {
  readonly #options: RepairOptions;
  readonly #store: DirectoryStore;

  constructor(options: RepairOptions) {
    this.#options = options;
    this.#store = options.store;
  }

  /** Finishes a repair whose new log is complete, or removes what is left of one whose is not. */
  resume(done: Completion): void {
    const steps: Step[] = [];
    if (this.#has(buildingLogDirectory)) steps.push(this.#removal(buildingLogDirectory));
    if (this.#has(repairedLogDirectory)) steps.push((next) => this.#exchangeLogs(next));
    run(steps, done);
  }

  /**
   * Begins anew with what is left. `done` gets the reason for the operator if that cannot be, and
   * then nothing was changed.
   */
  begin(
    damage: Damage,
    done: (error: Error | undefined, refusal: string | undefined) => void,
  ): void {
    this.#usableState(damage, (error, state) => {
      if (error !== undefined) {
        done(error, undefined);
        return;
      }
      let bound: number | undefined;
      let refusal: string | undefined;
      try {
        bound = this.#termBound(damage);
        refusal = this.#refusal(state, bound);
      } catch (thrown) {
        done(asError(thrown), undefined);
        return;
      }
      if (bound === undefined || refusal !== undefined) done(undefined, refusal);
      else this.#rebuild(damage, state, bound + 1, (failure) => done(failure, undefined));
    });
  }

  #has(name: string): boolean {
    return this.#store.databases().includes(name);
  }

  /** At least every term that the member was ever in. */
  #termBound({ logTerm }: Damage): number | undefined {
    const reserved = this.#store.reservedTerm(this.#options.memberId);
    if (reserved === undefined) return logTerm;
    return Math.max(reserved, logTerm ?? 0);
  }

  #refusal(state: UsableState | undefined, bound: number | undefined): string | undefined {
    const { memberId, founders } = this.#options;
    const replace =
      'Do not repair it: remove this member from the cluster, add it again, and start it with an ' +
      'empty data directory';
    const members = state?.voters ?? founders;
    if (members === undefined || (state === undefined && members.length < 2)) {
      return (
        'It cannot be repaired from other members, because nothing tells who they are: start it ' +
        'with the --initial-cluster flags that the cluster was founded with, if it had other ' +
        `members. Or: ${replace}`
      );
    }
    const others = members.filter((member) => member !== memberId);
    // Who abstains is no help in an election: the others must be a majority without it.
    if (others.length <= members.length / 2) {
      const why = others.length === 0 ? 'there are none' : 'they are no majority without this one';
      return (
        `It cannot be repaired from other members, because ${why}: restore the cluster ` +
        'from a backup'
      );
    }
    if (bound === undefined) {
      return (
        'It cannot be repaired from other members, because nothing tells in which terms this one ' +
        `has voted. ${replace}`
      );
    }
    return undefined;
  }

  /**
   * The state, if it can be proven whole without the log. If there are several, one may be half
   * received, and only the log tells which.
   */
  #usableState(
    damage: Damage,
    done: (error: Error | undefined, state: UsableState | undefined) => void,
  ): void {
    const names = this.#store.databases().filter(isStateDirectory);
    const name = names[0];
    try {
      const usable = name !== undefined && names.length === 1 && !damage.inState;
      if (!usable || !this.#store.check(name)) {
        done(undefined, undefined);
        return;
      }
    } catch (thrown) {
      const error = asError(thrown);
      done(error instanceof CorruptionError ? undefined : error, undefined);
      return;
    }
    this.#store.openEngine(name, (error, engine) => {
      if (engine === undefined) {
        done(error?.name === 'CorruptionError' ? undefined : error, undefined);
        return;
      }
      this.#readState(name, engine, (state) => {
        engine.close((closeError) => done(closeError, state));
      });
    });
  }

  #readState(name: string, engine: Engine, done: (state: UsableState | undefined) => void): void {
    const { clock, logger, memberId } = this.#options;
    Backend.open({ engine, clock, logger }, (_error, backend) => {
      if (backend === undefined) {
        done(undefined);
        return;
      }
      const { flushedIndex: index, flushedTerm: term, confState, logMark } = backend;
      const { voters } = confState;
      // Without the chain value at its index, no log can begin after it.
      const marked = logMark?.memberId === memberId && logMark.index === index;
      const usable = voters.length > 0 && (marked || index === 0);
      const chain = marked ? logMark.chain : firstChain;
      const writes = marked ? logMark.writes : 0;
      done(usable ? { name, index, term, chain, writes, voters } : undefined);
    });
  }

  #rebuild(damage: Damage, state: UsableState | undefined, term: number, done: Completion): void {
    const { logger, memberId } = this.#options;
    logger.warn(
      { error: damage.error.message, 'kept-state-index': state?.index ?? 0, term },
      'the data directory is damaged; what was lost is to come from the other members',
    );
    const begin = state ?? {
      name: stateDirectoryName(0, term),
      index: 0,
      term: 0,
      chain: firstChain,
      writes: 0,
    };
    const steps: Step[] = [];
    if (state === undefined) {
      for (const name of this.#store.databases().filter(isStateDirectory)) {
        steps.push((next) => this.#setAside(name, next));
      }
      steps.push((next) => this.#write(begin.name, [], next));
    }
    const hardState = { term, vote: noMember, commit: begin.index };
    const anchor = { index: begin.index, term: begin.term, chain: begin.chain };
    const operations = [
      put(logKeys.hardState, encodeHardState(hardState)),
      put(logKeys.anchor, encodeAnchor(anchor)),
      put(logKeys.tail, encodeTail(begin.index, begin.chain)),
      put(logKeys.stateDirectory, encodeStateDirectory(begin.name)),
      put(logKeys.origin, encodeOrigin({ memberId, writes: begin.writes })),
      put(logKeys.repair, encodeRepairTerm(term)),
    ];
    steps.push(
      (next) => {
        this.#store.reserveTerm(memberId, reservationFor(term));
        next(undefined);
      },
      (next) => this.#write(buildingLogDirectory, operations, next),
      (next) => this.#store.rename(buildingLogDirectory, repairedLogDirectory, next),
      (next) => this.#exchangeLogs(next),
    );
    run(steps, done);
  }

  #exchangeLogs(done: Completion): void {
    const steps: Step[] = [];
    if (this.#has(logDirectory)) steps.push((next) => this.#setAside(logDirectory, next));
    steps.push((next) => this.#store.rename(repairedLogDirectory, logDirectory, next));
    run(steps, done);
  }

  /** What was set aside under the same name by an earlier repair goes. */
  #setAside(name: string, done: Completion): void {
    const aside = damagedName(name);
    const rename: Step = (next) => this.#store.rename(name, aside, next);
    run(this.#has(aside) ? [this.#removal(aside), rename] : [rename], done);
  }

  #removal(name: string): Step {
    return (next) => this.#store.remove(name, next);
  }

  /** Makes a database with these contents. */
  #write(name: string, operations: readonly Operation[], done: Completion): void {
    this.#store.openEngine(name, (error, engine) => {
      if (engine === undefined) {
        done(error);
        return;
      }
      engine.write(operations, true, (writeError) => {
        engine.close((closeError) => done(writeError ?? closeError));
      });
    });
  }
}

/** Runs steps one after the other, up to the first that fails. */
function run(steps: readonly Step[], done: Completion): void {
  const [step, ...rest] = steps;
  if (step === undefined) {
    done(undefined);
    return;
  }
  const next: Completion = (error) => {
    if (error === undefined) run(rest, done);
    else done(error);
  };
  try {
    step(next);
  } catch (thrown) {
    done(asError(thrown));
  }
}
