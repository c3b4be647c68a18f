/** What all loads of our own client have in common. */
import type { Connection } from './connection.ts';
import type { LoadFigures } from './client-job.ts';
import { Samples } from './statistics.ts';

/** A load that has all it needs; it may be run again. */
export interface Load {
  run(seconds: number): Promise<LoadFigures>;
}

/** What one sender did: how many operations were checked and how many revisions it made. */
export interface Step {
  readonly operations: number;
  readonly writes: number;
}

/** One after another; undefined when there is nothing left to do. */
export type Sender = (samples: Samples) => Promise<Step | undefined>;

/** Runs all senders at the same time until the time is up; what is under way is waited for. */
export async function runSenders(
  senders: readonly Sender[],
  seconds: number,
): Promise<LoadFigures> {
  const samples = new Samples();
  let [operations, writes] = [0, 0];
  const startMs = performance.now();
  const untilMs = startMs + seconds * 1000;
  await Promise.all(
    senders.map(async (sender) => {
      while (performance.now() < untilMs) {
        const step = await sender(samples);
        if (step === undefined) return;
        operations += step.operations;
        writes += step.writes;
      }
    }),
  );
  const tookSeconds = (performance.now() - startMs) / 1000;
  return { operations, writes, seconds: tookSeconds, latenciesUs: samples.values.slice() };
}

/** As above for senders whose step is one call. */
export function timed(step: () => Promise<Step | undefined>): Sender {
  return async (samples) => {
    const startMs = performance.now();
    const done = await step();
    if (done !== undefined) samples.add(microsecondsSince(startMs));
    return done;
  };
}

export function microsecondsSince(startMs: number): number {
  return Math.round((performance.now() - startMs) * 1000);
}

/** The connections in turns. */
export function nth(connections: readonly Connection[], index: number): Connection {
  return connections[index % connections.length] as Connection;
}

/** @throws Error with `what` unless it holds */
export function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`the answer is wrong: ${what}`);
}
