/** What a data directory stands on: a file system with LevelDB, or memory in tests. */
import type { Completion, Engine } from './engine.ts';
import type { StoredIdentity } from './identity.ts';

/** Name of the log database. */
export const logDirectory = 'log';
const stateDirectoryPattern = /^state-\d+-\d+$/;

/** The state that a snapshot of this index and term becomes. */
export function stateDirectoryName(index: number, term: number): string {
  return `state-${index}-${term}`;
}

export function isStateDirectory(name: string): boolean {
  return stateDirectoryPattern.test(name);
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
  /** Proves that a database is whole without changing it; false if it is not there. May throw. */
  check(name: string): boolean;
  /** Opens a database, creating it if it is not there. */
  openEngine(
    name: string,
    done: (error: Error | undefined, engine: Engine | undefined) => void,
  ): void;
  /** Names of the state directories. */
  stateDirectories(): readonly string[];
  /** Bytes that a database takes up now. */
  sizeBytes(name: string): number;
  /** Deletes a database that is not open; fine if it is not there. */
  remove(name: string, done: Completion): void;
  /** Gives the directory back. All engines are closed. */
  close(done: Completion): void;
}
