/** Runs seeds that a parent process sends, one after the other. */
import { drawPlan } from './plan.ts';
import { summaryOf, type Summary } from './summary.ts';
import { simulate } from './simulation.ts';

/** What a worker answers for each seed. */
export interface WorkerAnswer {
  readonly seed: number;
  readonly summary: Summary;
}

let running = 0;

// A promise that fails with nobody to hear of it would end a member: it breaks the run.
process.on('unhandledRejection', (reason) => {
  const text = reason instanceof Error ? (reason.stack ?? reason.message) : String(reason);
  process.stderr.write(`seed ${running}: unhandled rejection: ${text}\n`);
  process.exit(2);
});

process.on('message', (seed: number) => {
  running = seed;
  simulate(drawPlan(seed)).then(
    (report) => {
      const answer: WorkerAnswer = { seed, summary: summaryOf(report) };
      process.send?.(answer);
    },
    (thrown: unknown) => {
      const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
      process.stderr.write(`seed ${seed}: the simulator failed: ${text}\n`);
      process.exit(2);
    },
  );
});

process.on('disconnect', () => process.exit(0));
