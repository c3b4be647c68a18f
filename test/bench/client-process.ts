/** The program of a client process: prepares its load, warms up, waits for the start, runs it. */
import type { ClientJob, ClientMessage, LoadJob } from './client-job.ts';
import { Connection } from './connection.ts';
import { keepAliveLoad } from './keep-alive-load.ts';
import type { Load } from './load.ts';
import { repeatLoad, unaryLoad } from './unary-load.ts';
import { watchLoad } from './watch-load.ts';

function tell(message: ClientMessage): void {
  process.send?.(message);
}

function open(job: ClientJob, load: LoadJob, connections: readonly Connection[]): Promise<Load> {
  switch (load.kind) {
    case 'unary':
      return Promise.resolve(unaryLoad(job, load, connections));
    case 'repeat':
      return Promise.resolve(repeatLoad(job, load, connections));
    case 'watch':
      return watchLoad(job, load, connections);
    case 'keep-alive':
      return keepAliveLoad(job, load, connections);
  }
}

async function serve(job: ClientJob, started: Promise<void>): Promise<void> {
  const connections = await Promise.all(
    Array.from({ length: job.connections }, () => Connection.open(job.address)),
  );
  const load = await open(job, job.load, connections);
  await load.run(job.warmUpSeconds);
  tell({ case: 'ready' });
  await started;
  const before = process.cpuUsage();
  const figures = await load.run(job.seconds);
  const { user, system } = process.cpuUsage(before);
  tell({ case: 'done', figures: { ...figures, cpuSeconds: (user + system) / 1e6 } });
  for (const connection of connections) connection.close();
}

// The first message is the job, the second one the start.
process.once('message', (job) => {
  const started = new Promise<void>((start) => process.once('message', () => start()));
  serve(job as ClientJob, started).catch((error: unknown) => {
    tell({ case: 'failed', why: error instanceof Error ? error.message : String(error) });
  });
});
// Whoever started it ends it, or is gone.
process.once('disconnect', () => process.exit());
