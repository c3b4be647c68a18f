/** SIGINT and SIGTERM, for commands that have something to give back before they end. */
import { ExitCode, ExitError } from './exit.ts';

const signals = ['SIGINT', 'SIGTERM'] as const;

export class Interruption {
  readonly #controller = new AbortController();
  readonly #abort = (): void => this.#controller.abort();

  /** From now on the signals do not end this program. */
  constructor() {
    for (const signal of signals) process.on(signal, this.#abort);
  }

  /** Aborted when this program was told to end. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  end(): void {
    for (const signal of signals) process.removeListener(signal, this.#abort);
  }
}

/**
 * Runs what has something to give back before it ends, which it does when `signal` is aborted.
 *
 * @throws ExitError in etcdctl's words if it was still waiting for that
 */
export async function untilInterrupted(run: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const interruption = new Interruption();
  const { signal } = interruption;
  try {
    await run(signal);
  } catch (error) {
    const isEnd = signal.aborted && error === signal.reason;
    throw isEnd ? new ExitError(ExitCode.error, 'context canceled') : error;
  } finally {
    interruption.end();
  }
}

/** Resolves when one of the signals is aborted. */
export async function anyAborted(...all: readonly AbortSignal[]): Promise<void> {
  const any = AbortSignal.any([...all]);
  if (any.aborted) return;
  await new Promise((resolve) => any.addEventListener('abort', resolve, { once: true }));
}
