/** What a data directory stands on: a file system with LevelDB, or memory in tests. */
import type { Completion, Engine } from './engine.ts';
import type { FoundingRecord } from './founding-file.ts';
import type { StoredIdentity } from './identity.ts';
import type { MemberId } from '../raft/index.ts';

/** Name of the log database. */
export const logDirectory = 'log';
/** A new log in the making, and one that only waits for the damaged one to be set aside. */
export const buildingLogDirectory = 'log-building';
export const repairedLogDirectory = 'log-repaired';
/** Before the name of a database that was damaged and has been set aside. */
const damagedPrefix = 'damaged-';
const stateDirectoryPattern = /^state-\d+-\d+$/;

/** The state that a snapshot of this index and term becomes. */
export function stateDirectoryName(index: number, term: number): string {
  return `state-${index}-${term}`;
}

export function isStateDirectory(name: string): boolean {
  return stateDirectoryPattern.test(name);
}

/** @param number tells those apart that had the same name */
export function damagedName(name: string, number: number | '*'): string {
  return `${damagedPrefix}${name}-${number}`;
}

export function isDamaged(name: string): boolean {
  return name.startsWith(damagedPrefix);
}

export interface DirectoryStore {
  /** For messages. */
  readonly description: string;
  /**
   * Takes the directory for this process, creating it if need be, and reads whose it is: undefined
   * if nobody's yet. Nothing else may be called before.
   */
  open(done: (error: Error | undefined, identity: StoredIdentity | undefined) => void): void;
  /** Durable when `done` is called. */
  writeIdentity(identity: StoredIdentity, done: Completion): void;
  /** The bound on the member's term; undefined if there is none that can be trusted. */
  reservedTerm(memberId: MemberId): number | undefined;
  /** Sets the bound on the member's term, durably, or throws. */
  reserveTerm(memberId: MemberId, term: number): void;
  /** How far the member has come in founding; undefined if nothing trustworthy tells. */
  readFounding(memberId: MemberId): FoundingRecord | undefined;
  /** Replaces what {@link readFounding} reads, durably, or throws. */
  writeFounding(memberId: MemberId, record: FoundingRecord): void;
  /**
   * Proves that a database is whole without changing it, in slices; `there` is false if there is
   * none. Or `done` gets a CorruptionError, a NewerVersionError, or why it could not be read.
   */
  check(name: string, done: (error: Error | undefined, there: boolean | undefined) => void): void;
  /** Opens a database, creating it if it is not there. */
  openEngine(
    name: string,
    done: (error: Error | undefined, engine: Engine | undefined) => void,
  ): void;
  /** Names of all databases but the directory's lock. */
  databases(): readonly string[];
  /** Bytes that a database takes up now. */
  sizeBytes(name: string): number;
  /** Deletes a database that is not open; fine if it is not there. */
  remove(name: string, done: Completion): void;
  /** Renames a database that is not open to a name that is free; durable when `done` is called. */
  rename(from: string, to: string, done: Completion): void;
  /** Gives the directory back. All engines are closed. */
  close(done: Completion): void;
}
