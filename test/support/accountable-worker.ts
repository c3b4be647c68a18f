/** Vitest's processes for tests, which say what ended one that dies in the middle of a file. */
import { ForksPoolWorker, type PoolOptions, type WorkerRequest } from 'vitest/node';

const poolName = 'accountable-forks';

/** Vitest itself says only that a worker exited unexpectedly. */
class AccountableWorker extends ForksPoolWorker {
  override readonly name = poolName;
  #files: readonly string[] = [];
  readonly #exited = (code: number | null, signal?: string): void => {
    const end = signal ?? `code ${code}`;
    console.error(`worker exited with ${end} while it ran ${this.#files.join(', ')}`);
  };

  override async start(): Promise<void> {
    await super.start();
    this.on('exit', this.#exited);
  }

  override send(message: WorkerRequest): void {
    if (message.type === 'run') this.#files = message.context.files.map(({ filepath }) => filepath);
    super.send(message);
  }

  override stop(): Promise<void> {
    this.off('exit', this.#exited);
    return super.stop();
  }
}

/** For the option `pool`. */
export const accountableForks = {
  name: poolName,
  createPoolWorker: (options: PoolOptions) => new AccountableWorker(options),
};
