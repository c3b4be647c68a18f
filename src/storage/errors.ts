/** What can be wrong with stored data. */

/** Bytes on disk are not those that were written. The member must stop: it would answer wrongly. */
export class CorruptionError extends Error {
  override readonly name = 'CorruptionError';
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

/** The error itself, or an error made of whatever was thrown. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
