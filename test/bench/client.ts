/** Our own generator: processes that share a load, started at the same time. */
import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type {
  ClientFigures,
  ClientJob,
  ClientMessage,
  LoadFigures,
  LoadJob,
} from './client-job.ts';
import { joined } from './statistics.ts';

export interface ClientRun {
  readonly load: LoadJob;
  readonly address: string;
  readonly connections: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

export interface ClientResult extends LoadFigures {
  /** Of all processes. */
  readonly cpuSeconds: number;
  readonly processes: number;
}

/** Half of the cores: the members need some. */
const processesMax = Math.max(1, Math.floor(availableParallelism() / 2));

/** Much longer than what is asked for takes: a server that does not answer must not hold us up. */
const timeLimitMs = 300_000;

class Client {
  readonly #child: ChildProcess;
  readonly #messages: ClientMessage[] = [];
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(program: string, job: ClientJob) {
    // As JSON, typed arrays and bigints would not arrive as they are.
    this.#child = fork(program, { serialization: 'advanced' });
    this.#child.on('message', (message: ClientMessage) => {
      this.#messages.push(message);
      this.#wake();
    });
    this.#child.on('exit', () => {
      this.#ended = true;
      this.#wake();
    });
    this.#child.send(job);
  }

  /** @throws Error if the load failed, or if nothing is heard */
  async next(): Promise<ClientMessage> {
    const timer = setTimeout(() => this.end(), timeLimitMs);
    try {
      for (;;) {
        const message = this.#messages.shift();
        if (message?.case === 'failed') throw new Error(message.why);
        if (message !== undefined) return message;
        if (this.#ended) throw new Error('a client process has ended, or took too long');
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  start(): void {
    this.#child.send('start');
  }

  end(): void {
    this.#child.kill('SIGKILL');
  }
}

/**
 * @param root of the repository, whose build/ has the program
 * @param begun called when all is prepared and warm, before the load that counts
 */
export async function runClient(
  run: ClientRun,
  root: string,
  begun: () => Promise<void>,
): Promise<ClientResult> {
  const program = join(root, 'build', 'test', 'bench', 'client-process.js');
  const processes = processesOf(run);
  const clients = Array.from({ length: processes }, (_, process) => {
    const connections = Math.floor((run.connections + process) / processes);
    return new Client(program, { ...run, connections, process, processes });
  });
  try {
    await Promise.all(clients.map((client) => client.next()));
    await begun();
    for (const client of clients) client.start();
    return sumOf(await Promise.all(clients.map(figuresOf)));
  } finally {
    for (const client of clients) client.end();
  }
}

/** Watchers of one key are in one process, with the writer that waits for them. */
function processesOf({ load, connections }: ClientRun): number {
  if (load.kind === 'watch' && load.shared) return 1;
  return Math.min(processesMax, connections);
}

async function figuresOf(client: Client): Promise<ClientFigures> {
  const message = await client.next();
  if (message.case !== 'done') throw new Error('a client process said it is ready twice');
  return message.figures;
}

function sumOf(parts: readonly ClientFigures[]): ClientResult {
  const sum = (value: (part: ClientFigures) => number): number =>
    parts.reduce((total, part) => total + value(part), 0);
  return {
    operations: sum(({ operations }) => operations),
    writes: sum(({ writes }) => writes),
    cpuSeconds: sum(({ cpuSeconds }) => cpuSeconds),
    seconds: Math.max(...parts.map(({ seconds }) => seconds)),
    latenciesUs: joined(parts.map(({ latenciesUs }) => latenciesUs)),
    processes: parts.length,
  };
}
