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
 * aside is kept until the member has got back what it lost, whatever is damaged meanwhile: where
 * too many members are damaged, it may be the last copy. After that it is removed: it takes up
 * room, and nothing is in it that a majority does not hold.
 */
import type { Clock } from '../base/clock.ts';
import { reach, type FaultPoint } from '../base/fault-point.ts';
import type { Logger } from '../base/logger.ts';
import { noMember, type MemberId } from '../raft/index.ts';
import { Backend } from './backend.ts';
import {
  buildingLogDirectory,
  damagedName,
  isDamaged,
  isStateDirectory,
  logDirectory,
  repairedLogDirectory,
  stateDirectoryName,
  type DirectoryStore,
} from './directory-store.ts';
import type { Completion, Operation } from './engine.ts';
import { asError, CorruptionError } from './errors.ts';
import { idText } from './identity.ts';
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
import { reservationFor, reserveTerm } from './term-file.ts';

/**
 * Databases that are kept set aside at most; a state may be gigabytes. More than one repair leaves
 * some only if it is damaged again before it is complete.
 */
const keptLimit = 8;

export interface Damage {
  readonly error: Error;
  /** What the state holds is wrong, however whole its files are. */
  readonly inState: boolean;
  /** The term of the log's hard state, if the state shows that the log has lost nothing. */
  readonly logTerm: number | undefined;
}

export interface RepairOptions {
  readonly store: DirectoryStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly memberId: MemberId;
  /** See {@link DataDirectoryOptions.founders}. */
  readonly founders: (() => readonly MemberId[]) | undefined;
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

interface FoundStates {
  /** The newest that can be proven whole without the log. */
  readonly usable: UsableState | undefined;
  /** Names of all others that hold something. */
  readonly others: readonly string[];
  /** Names of those that nothing was written to, e.g. by an earlier repair. */
  readonly empty: readonly string[];
}

type Reading = UsableState | 'empty' | 'unusable';
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
   * then nothing was set aside.
   */
  begin(
    damage: Damage,
    done: (error: Error | undefined, refusal: string | undefined) => void,
  ): void {
    const names = this.#store.databases().filter(isStateDirectory);
    this.#readStates(damage, names, (error, states) => {
      if (states === undefined) {
        done(error, undefined);
        return;
      }
      let bound: number | undefined;
      let refusal: string | undefined;
      try {
        bound = this.#termBound(damage);
        refusal = this.#refusal(states, bound);
      } catch (thrown) {
        done(asError(thrown), undefined);
        return;
      }
      if (bound === undefined || refusal !== undefined) done(undefined, refusal);
      else this.#rebuild(damage, states, bound + 1, (failure) => done(failure, undefined));
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

  #refusal({ usable, others }: FoundStates, bound: number | undefined): string | undefined {
    const { memberId } = this.#options;
    const replace =
      'Do not repair it, replace this member: run `etcdctl member remove ' +
      `${idText(memberId)}\` and \`etcdctl member add\` against the others, and start it with an ` +
      'empty data directory and the settings that the latter prints';
    const members = usable?.voters ?? this.#founders();
    if (members === undefined || (usable === undefined && members.length < 2)) {
      return (
        'It cannot be repaired from other members, because nothing tells who they are: start it ' +
        'with the --initial-cluster flags that the cluster was founded with, if it had other ' +
        `members. Or: ${replace}`
      );
    }
    const rest = members.filter((member) => member !== memberId);
    // Who abstains is no help in an election: the others must be a majority without it.
    if (rest.length <= members.length / 2) {
      const why = rest.length === 0 ? 'there are none' : 'they are no majority without this one';
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
    const kept = this.#store.databases().filter(isDamaged).length;
    if (kept + others.length + 1 > keptLimit) {
      return (
        `It cannot be repaired once more: it keeps ${kept} databases of repairs that were never ` +
        `complete, and may be the last to hold what is in them. ${replace}. Or: move them ` +
        `(${damagedName('*', '*')}) out of it`
      );
    }
    return undefined;
  }

  /** Undefined if nothing tells with whom the cluster was founded. */
  #founders(): readonly MemberId[] | undefined {
    try {
      return this.#options.founders?.();
    } catch {
      return undefined;
    }
  }

  #readStates(
    damage: Damage,
    names: readonly string[],
    done: (error: Error | undefined, states: FoundStates | undefined) => void,
  ): void {
    const [name, ...rest] = names;
    if (name === undefined) {
      done(undefined, { usable: undefined, others: [], empty: [] });
      return;
    }
    this.#readState(damage, name, (error, reading) => {
      if (reading === undefined) {
        done(error, undefined);
        return;
      }
      this.#readStates(damage, rest, (restError, states) => {
        done(restError, states && withState(states, name, reading));
      });
    });
  }

  #readState(
    damage: Damage,
    name: string,
    done: (error: Error | undefined, reading: Reading | undefined) => void,
  ): void {
    const failed = (error: Error | undefined): void => {
      if (error instanceof CorruptionError) done(undefined, 'unusable');
      else done(error, undefined);
    };
    const open = (): void => {
      this.#store.openEngine(name, (error, engine) => {
        if (engine === undefined) {
          failed(error);
          return;
        }
        const { clock, logger } = this.#options;
        Backend.open({ engine, clock, logger }, (openError, backend) => {
          engine.close((closeError) => {
            if (backend === undefined) failed(openError);
            else if (closeError !== undefined) done(closeError, undefined);
            else done(undefined, this.#reading(damage, name, backend));
          });
        });
      });
    };
    this.#store.check(name, (error, there) => {
      if (error !== undefined) failed(error);
      else if (there) open();
      else done(undefined, 'empty');
    });
  }

  #reading(damage: Damage, name: string, backend: Backend): Reading {
    const { flushedIndex: index, flushedTerm: term, confState, logMark } = backend;
    const { memberId } = this.#options;
    const { voters } = confState;
    if (index === 0 && voters.length === 0) return 'empty';
    // Only what was once this member's state has a mark: one that is half received has none, and
    // without the chain value at its index no log can begin after it.
    const marked = logMark?.memberId === memberId && logMark.index === index;
    if (damage.inState || voters.length === 0 || (!marked && index > 0)) return 'unusable';
    const chain = marked ? logMark.chain : firstChain;
    const writes = marked ? logMark.writes : 0;
    return { name, index, term, chain, writes, voters };
  }

  #rebuild(damage: Damage, states: FoundStates, term: number, done: Completion): void {
    const { logger, memberId } = this.#options;
    const { usable, others, empty } = states;
    logger.warn(
      { error: damage.error.message, 'kept-state-index': usable?.index ?? 0, term },
      'the data directory is damaged; what was lost is to come from the other members',
    );
    const begin = usable ?? {
      name: stateDirectoryName(0, term),
      index: 0,
      term: 0,
      chain: firstChain,
      writes: 0,
    };
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
    const steps: Step[] = [
      reaching('repair-begin'),
      ...others.map(
        (name): Step =>
          (next) =>
            this.#setAside(name, next),
      ),
      ...empty.map((name) => this.#removal(name)),
    ];
    if (usable === undefined) steps.push((next) => this.#write(begin.name, [], next));
    steps.push(
      (next) => {
        reserveTerm(this.#store, memberId, reservationFor(term));
        next(undefined);
      },
      (next) => this.#write(buildingLogDirectory, operations, next),
      reaching('repair-log-built'),
      (next) => this.#store.rename(buildingLogDirectory, repairedLogDirectory, next),
      reaching('repair-log-named'),
      (next) => this.#exchangeLogs(next),
    );
    run(steps, done);
  }

  #exchangeLogs(done: Completion): void {
    const steps: Step[] = [];
    if (this.#has(logDirectory)) steps.push((next) => this.#setAside(logDirectory, next));
    steps.push(
      (next) => this.#store.rename(repairedLogDirectory, logDirectory, next),
      reaching('repair-logs-exchanged'),
    );
    run(steps, done);
  }

  #setAside(name: string, done: Completion): void {
    let number = 1;
    while (this.#has(damagedName(name, number))) number += 1;
    const rename: Step = (next) => this.#store.rename(name, damagedName(name, number), next);
    run([rename, reaching('repair-set-aside')], done);
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

function withState(states: FoundStates, name: string, reading: Reading): FoundStates {
  const { usable, others, empty } = states;
  if (reading === 'empty') return { usable, others, empty: [name, ...empty] };
  if (reading === 'unusable') return { usable, others: [name, ...others], empty };
  if (usable === undefined) return { usable: reading, others, empty };
  const [newer, older] = reading.index > usable.index ? [reading, usable] : [usable, reading];
  return { usable: newer, others: [older.name, ...others], empty };
}

/** A step of its own at which a test can end the member. */
function reaching(point: FaultPoint): Step {
  return (next) => {
    reach(point);
    next(undefined);
  };
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
