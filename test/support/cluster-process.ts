/** Members of a cluster as real processes on loopback, ours or etcd's: they share their flags. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePorts } from './free-ports.ts';

/** For a member with few keys. */
const readyTimeoutMs = 30_000;
const stopTimeoutMs = 10_000;
const pollMs = 50;

/** What to start. */
export interface Program {
  readonly name: string;
  readonly command: string;
  readonly arguments: readonly string[];
}

export interface ClusterOptions {
  readonly members?: number;
  /** Further flags of every member. */
  readonly flags?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** What to start for a member, if not the same for all; asked at each start. */
  readonly programOf?: (name: string) => Program;
  /**
   * What other members are told instead of a member's peer URL, e.g. a proxy of it, once the ports
   * are known: first of all founders, then of each that joins.
   */
  readonly advertise?: (peerUrls: readonly string[]) => Promise<readonly string[]>;
  /** Whether processes may end that nobody told to: `stop` fails with their logs otherwise. */
  readonly mayEnd?: boolean;
  /** Where a member keeps its data; in the cluster's directory otherwise. */
  readonly dataDir?: (name: string, directory: string) => string;
}

/** How a process ended that nobody asked to end. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface MemberProcess {
  readonly name: string;
  /** `127.0.0.1:port` for clients. */
  readonly address: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
  readonly dataDir: string;
  /** What the process writes: for messages of failed tests. */
  readonly logPath: string;
  /** The running process, undefined while the member is down. */
  readonly process: ChildProcess | undefined;
  readonly pid: number | undefined;
  /** Endings so far that were neither a stop nor a kill of ours. */
  readonly endings: readonly Ending[];
  /** @param environment further variables, for this start only */
  start(environment?: Readonly<Record<string, string>>): Promise<void>;
  /** Waits until the member serves linearizable reads. @param timeoutMs if it has many keys */
  ready(timeoutMs?: number): Promise<void>;
  /** Asks the process to end, and ends it if it does not. */
  stop(): Promise<void>;
  /** Ends the process at once, as a crash would. */
  kill(): Promise<void>;
  pause(): void;
  resume(): void;
}

export interface ClusterProcess {
  readonly members: readonly MemberProcess[];
  /** Client addresses of all members. */
  readonly addresses: readonly string[];
  /** Client URLs of all members, as `--endpoints` takes them. */
  readonly endpoints: string;
  readonly directory: string;
  /** A place for one more member. */
  joiner(): Promise<Joiner>;
  /** Stops the members and removes their data. */
  stop(): Promise<void>;
}

/** One that is to be added: first to the cluster, under its URL, then as a process. */
export interface Joiner {
  readonly name: string;
  /** Where the others find it. */
  readonly peerUrl: string;
  /** @param initialCluster all members, this one included, as `--initial-cluster` takes them */
  member(initialCluster: string): MemberProcess;
}

/** Processes that must not outlive the test. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

async function isHealthy(clientUrl: string): Promise<boolean> {
  const body = await new Promise<string>((resolve) => {
    const request = get(`${clientUrl}/health`, { timeout: 2000 }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve(text));
      response.on('error', () => resolve(''));
    });
    request.on('error', () => resolve(''));
    request.on('timeout', () => request.destroy());
  });
  return /"health"\s*:\s*"?true/.test(body);
}

interface Place {
  readonly name: string;
  readonly directory: string;
  readonly dataDir: string;
  readonly clientPort: number;
  readonly peerUrl: string;
  /** The URL of the peer port that the others know. */
  readonly advertisedUrl: string;
}

class Member implements MemberProcess {
  readonly name: string;
  readonly address: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
  readonly dataDir: string;
  readonly logPath: string;
  readonly #program: () => Program;
  readonly #flags: readonly string[];
  readonly #environment: Readonly<Record<string, string>>;
  readonly endings: Ending[] = [];
  #process: ChildProcess | undefined;
  /** A process that was told to end. */
  #ending: ChildProcess | undefined;

  constructor(
    program: () => Program,
    place: Place,
    options: { flags: readonly string[]; environment: Readonly<Record<string, string>> },
  ) {
    this.#program = program;
    this.name = place.name;
    this.address = `127.0.0.1:${place.clientPort}`;
    this.clientUrl = `http://${this.address}`;
    this.peerUrl = place.peerUrl;
    this.dataDir = place.dataDir;
    this.logPath = join(place.directory, `${place.name}.log`);
    this.#environment = options.environment;
    this.#flags = [
      `--name=${this.name}`,
      `--data-dir=${this.dataDir}`,
      `--listen-client-urls=${this.clientUrl}`,
      `--advertise-client-urls=${this.clientUrl}`,
      `--listen-peer-urls=${this.peerUrl}`,
      `--initial-advertise-peer-urls=${place.advertisedUrl}`,
      ...options.flags,
    ];
  }

  get process(): ChildProcess | undefined {
    return this.#process;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  async start(environment: Readonly<Record<string, string>> = {}): Promise<void> {
    if (this.#process !== undefined) throw new Error(`${this.name} runs already`);
    const program = this.#program();
    const child = spawn(program.command, [...program.arguments, ...this.#flags], {
      stdio: ['ignore', 'pipe', 'pipe'],
      // Settings of the caller's shell must not leak into the servers.
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        ...this.#environment,
        ...environment,
      },
    });
    const log = createWriteStream(this.logPath, { flags: 'a' });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    running.add(child);
    this.#process = child;
    child.once('exit', (code, signal) => {
      running.delete(child);
      if (this.#ending !== child) this.endings.push({ code, signal });
      if (this.#process === child) this.#process = undefined;
      log.end();
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
  }

  async ready(timeoutMs = readyTimeoutMs): Promise<void> {
    const until = Date.now() + timeoutMs;
    for (;;) {
      const isAnswered = await isHealthy(this.clientUrl);
      // If this process has ended, another one has the port.
      if (isAnswered && this.#process !== undefined) return;
      if (this.#process === undefined || Date.now() > until) {
        throw new Error(await this.problem());
      }
      await delay(pollMs);
    }
  }

  /** What is wrong with the process, and the end of its log. */
  async problem(): Promise<string> {
    const log = await readFile(this.logPath, 'utf8').catch(() => '');
    const state = this.#process === undefined ? 'ended' : 'is not ready';
    return `${this.#program().name} ${this.name} ${state}:\n${log.slice(-3000)}`;
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    this.#ending = child;
    child.kill('SIGCONT');
    const ended = this.#ended(child);
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs);
    await ended;
    clearTimeout(timer);
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    this.#ending = child;
    const ended = this.#ended(child);
    child.kill('SIGKILL');
    await ended;
  }

  pause(): void {
    this.#process?.kill('SIGSTOP');
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  #ended(child: ChildProcess): Promise<unknown> {
    if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
    return new Promise((resolve) => child.once('exit', resolve));
  }
}

/** Starts the members and waits until all of them are ready. */
export async function startCluster(
  program: Program,
  options: ClusterOptions = {},
): Promise<ClusterProcess> {
  const count = options.members ?? 1;
  const directory = await mkdtemp(join(tmpdir(), `${program.name}-test-`));
  const ports = await freePorts(2 * count);
  const peerUrls = Array.from(
    { length: count },
    (_, i) => `http://127.0.0.1:${ports[2 * i + 1] ?? 0}`,
  );
  const advertised = (await options.advertise?.(peerUrls)) ?? peerUrls;
  const dataDirOf = (name: string): string =>
    options.dataDir?.(name, directory) ?? join(directory, `${name}.etcd`);
  const places = peerUrls.map((peerUrl, i) => {
    const name = `m${i + 1}`;
    const dataDir = dataDirOf(name);
    const advertisedUrl = advertised[i] ?? peerUrl;
    return { name, directory, dataDir, clientPort: ports[2 * i] ?? 0, peerUrl, advertisedUrl };
  });
  const founders = places.map(({ name, advertisedUrl }) => `${name}=${advertisedUrl}`);
  const flags = [
    `--initial-cluster=${founders.join(',')}`,
    '--initial-cluster-state=new',
    ...(options.flags ?? []),
  ];
  const environment = options.environment ?? {};
  const members = places.map((place) => {
    const ownProgram = (): Program => options.programOf?.(place.name) ?? program;
    return new Member(ownProgram, place, { flags, environment });
  });
  const joined: Member[] = [];
  let joiners = 0;
  const cluster: ClusterProcess = {
    members,
    addresses: members.map(({ address }) => address),
    endpoints: members.map(({ clientUrl }) => clientUrl).join(','),
    directory,
    async joiner() {
      const [clientPort = 0, peerPort = 0] = await freePorts(2);
      const name = `m${count + ++joiners}`;
      const peerUrl = `http://127.0.0.1:${peerPort}`;
      const [advertisedUrl = peerUrl] = (await options.advertise?.([peerUrl])) ?? [];
      const dataDir = dataDirOf(name);
      return {
        name,
        peerUrl: advertisedUrl,
        member: (initialCluster) => {
          const place = { name, directory, dataDir, clientPort, peerUrl, advertisedUrl };
          const member = new Member(() => options.programOf?.(name) ?? program, place, {
            flags: [
              `--initial-cluster=${initialCluster}`,
              '--initial-cluster-state=existing',
              ...(options.flags ?? []),
            ],
            environment,
          });
          joined.push(member);
          return member;
        },
      };
    },
    async stop() {
      const all = [...members, ...joined];
      await Promise.all(all.map((member) => member.stop()));
      const ended = all.filter(({ endings }) => endings.length > 0);
      const problems =
        options.mayEnd === true ? [] : await Promise.all(ended.map((member) => member.problem()));
      await rm(directory, { recursive: true, force: true });
      if (problems.length > 0) throw new Error(problems.join('\n'));
    },
  };
  try {
    await Promise.all(members.map((member) => member.start()));
    await Promise.all(members.map((member) => member.ready()));
  } catch (error) {
    // The error says more than what comes of it.
    await cluster.stop().catch(() => undefined);
    throw error;
  }
  return cluster;
}
