/** How the program ends: etcdctl's exit codes (etcd: pkg/cobrautl/error.go). */

export const ExitCode = {
  success: 0,
  error: 1,
  badConnection: 2,
  /** Input of txn or watch that cannot be read. */
  invalidInput: 3,
  /** A known flag with a value that is not supported. */
  badFeature: 4,
  interrupted: 5,
  io: 6,
  badArguments: 128,
  /** What a shell reports of a program that SIGPIPE ended. */
  brokenPipe: 141,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** Ends the command with this code and `Error: message`; an empty message is not told. */
export class ExitError extends Error {
  override readonly name = 'ExitError';
  /** One of {@link ExitCode}, or that of a program that was run. */
  readonly code: number;
  /** What to do about it; printed before the line of the error, which scripts look for last. */
  readonly hint: string | undefined;

  constructor(code: number, message: string, hint?: string) {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}

export function badArguments(message: string): ExitError {
  return new ExitError(ExitCode.badArguments, message);
}
