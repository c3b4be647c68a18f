/** Runs seeds on all cores: a process for each, given a seed at a time. */
import { type ChildProcess, fork } from 'node:child_process';
import { deadSummary, type Summary } from './summary.ts';
import type { WorkerAnswer } from './worker.ts';

export interface PoolOptions {
  readonly jobs: number;
  /** The next seed; undefined when there are no more. */
  readonly next: () => number | undefined;
  readonly done: (summary: Summary) => void;
  /** What runs the seeds: this simulator by default. */
  readonly worker?: string | URL;
}

const ownWorker = new URL('./worker.js', import.meta.url);
/** Megabytes for new objects: most die with their event; collecting them is a tenth of a run. */
const memory = ['--max-semi-space-size=32'];
/** A run takes well below a second; one that takes so long never ends. */
const runLimitMs = 60_000;

/** Resolves when all seeds have been run; a worker that dies is a failure of its seed. */
export async function runPool(options: PoolOptions): Promise<void> {
  await Promise.all(Array.from({ length: options.jobs }, () => work(options)));
}

async function work({ next, done, worker = ownWorker }: PoolOptions): Promise<void> {
  let child: ChildProcess | undefined;
  for (let seed = next(); seed !== undefined; seed = next()) {
    child ??= fork(worker, { execArgv: [...process.execArgv, ...memory] });
    const summary = await runOn(child, seed);
    if (hasEnded(child)) child = undefined;
    done(summary);
  }
  child?.disconnect();
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

function runOn(child: ChildProcess, seed: number): Promise<Summary> {
  return new Promise((resolve) => {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, runLimitMs);
    const ended = (code: number | null, signal: string | null): void => {
      clearTimeout(timer);
      child.off('message', answered);
      const text = `the worker ended with ${signal ?? String(code)}`;
      resolve(deadSummary(seed, late ? `no end within ${runLimitMs / 1000} s` : text));
    };
    const answered = ({ summary }: WorkerAnswer): void => {
      clearTimeout(timer);
      child.off('exit', ended);
      resolve(summary);
    };
    child.once('exit', ended);
    child.once('message', answered);
    child.send(seed);
  });
}
