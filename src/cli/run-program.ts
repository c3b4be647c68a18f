/** Programs that commands run, e.g. for an event or while they hold a lock. */
import { quote } from './go-text.ts';
import type { Environment } from './terminal.ts';

/** How long a program that is to end may take, in milliseconds, before it is ended by force. */
const graceMs = 5_000;

/** What Go calls the signals that usually end programs. */
const signalNames: Readonly<Partial<Record<NodeJS.Signals, string>>> = {
  SIGHUP: 'hangup',
  SIGINT: 'interrupt',
  SIGQUIT: 'quit',
  SIGABRT: 'aborted',
  SIGKILL: 'killed',
  SIGSEGV: 'segmentation fault',
  SIGPIPE: 'broken pipe',
  SIGALRM: 'alarm clock',
  SIGTERM: 'terminated',
};

/** The code with which a Go program ends that passes on "no exit code". */
const noExitCode = 255;

/** Why a program was no success. */
export interface ProgramFailure {
  /** In Go's words. */
  readonly problem: string;
  /** Its exit code; undefined if it did not even start. */
  readonly code: number | undefined;
}

/**
 * Runs a program with the standard output and error of this one, and no input. Resolves when it
 * has ended, to undefined if it did so with code 0.
 *
 * @param stop ends the program when it is aborted
 */
export async function runProgram(
  [program = '', ...args]: readonly string[],
  environment: Environment,
  stop?: AbortSignal,
): Promise<ProgramFailure | undefined> {
  const { spawn } = await import('node:child_process');
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'], env: environment });
  let force: NodeJS.Timeout | undefined;
  const end = (): void => {
    child.kill('SIGTERM');
    force = setTimeout(() => child.kill('SIGKILL'), graceMs);
  };
  stop?.addEventListener('abort', end);
  if (stop?.aborted === true) end();
  try {
    return await new Promise((resolve) => {
      child.once('error', ({ code, message }: NodeJS.ErrnoException) => {
        const isMissing = code === 'ENOENT';
        const missing = `exec: ${quote(program)}: executable file not found in $PATH`;
        resolve({ problem: isMissing ? missing : message, code: undefined });
      });
      child.once('exit', (code, signal) => {
        if (signal !== null) {
          resolve({ problem: `signal: ${signalNames[signal] ?? signal}`, code: noExitCode });
        } else if (code === null || code === 0) resolve(undefined);
        else resolve({ problem: `exit status ${code}`, code });
      });
    });
  } finally {
    clearTimeout(force);
    stop?.removeEventListener('abort', end);
  }
}
