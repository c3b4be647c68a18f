/** What can be wrong with stored data. */

/** Bytes on disk are not those that were written. The member must stop: it would answer wrongly. */
export class CorruptionError extends Error {
  override readonly name = 'CorruptionError';
}

/**
 * What was read is whole, but in a format that this version does not know. Formats keep their
 * version and their checksum in the same place, so that this can be told from damage.
 */
export class NewerVersionError extends Error {
  override readonly name = 'NewerVersionError';

  /** @param found the version of what was read; `known` the newest one that is understood */
  constructor(what: string, found: number, known: number) {
    super(`${what} has format version ${found}, known is ${known}`);
  }
}

export type DataDirectoryProblem =
  /** It belongs to another member or cluster, or to another program. */
  | 'foreign'
  /** A later version wrote it, in a format that this one does not know. */
  | 'newerVersion'
  /** Another process has it open. */
  | 'inUse'
  /** Its contents contradict their checksums or each other. */
  | 'damaged'
  /** The operating system refused, e.g. permissions or a full disk. */
  | 'unusable';

/** Why a data directory cannot be opened, in words for the operator. */
export class DataDirectoryError extends Error {
  override readonly name = 'DataDirectoryError';
  readonly problem: DataDirectoryProblem;

  constructor(problem: DataDirectoryProblem, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.problem = problem;
  }
}

/** The code of an error of the operating system or of LevelDB, such as `ENOENT`. */
export function codeOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error)) return undefined;
  const { code } = thrown as { readonly code?: unknown };
  return typeof code === 'string' ? code : undefined;
}

/** The error itself, or an error made of whatever was thrown. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
