// Members of a cluster as processes of this machine, for scripts/start.mjs.
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

export const membersMax = 5;
/** The first member's clients come here, as everyone expects of etcd. */
export const defaultPort = 2379;
/** The fifth member's peer port must still be one. */
export const portMax = 65_535 - 50_000 - 1;

/** A member that has not ended this long after it was asked to is killed; its own limit is 15 s. */
const stopLimitMs = 20_000;
const statusLimitMs = 1_000;
/** How much of the end of a log is searched for a reason. */
const logTailBytes = 64 * 1024;

/** 2379, 22379, 32379, ... as in etcd's own examples of clusters on one machine. */
function clientPort(first, number) {
  return number === 1 ? first : number * 10_000 + first;
}

/** The ports of a planned cluster that cannot be bound. */
export async function portsTaken(plan) {
  const taken = [];
  for (let number = 1; number <= plan.members; number++) {
    const port = clientPort(plan.port, number);
    const uses = [
      [port, `clients of member-${number}`],
      [port + 1, `peers of member-${number}`],
    ];
    for (const [each, use] of uses) {
      const reason = await bindFailure(each);
      if (reason !== undefined) taken.push({ port: each, use, reason });
    }
  }
  return taken;
}

function bindFailure(port) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', (error) => {
      resolve(error.code === 'EADDRINUSE' ? 'already in use' : error.message);
    });
    server.listen(port, '127.0.0.1', () => {
      server.close(() => resolve(undefined));
    });
  });
}

class LocalMember {
  #child;

  constructor(directory, name, port, initialCluster) {
    this.name = name;
    this.endpoint = `127.0.0.1:${port}`;
    this.logPath = join(directory, `${name}.log`);
    this.args = [
      join('bin', 'quorate.js'),
      `--name=${this.name}`,
      `--data-dir=${join(directory, name)}`,
      `--listen-client-urls=http://127.0.0.1:${port}`,
      `--advertise-client-urls=http://127.0.0.1:${port}`,
      `--listen-peer-urls=http://127.0.0.1:${port + 1}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${port + 1}`,
      `--initial-cluster=${initialCluster}`,
      '--initial-cluster-token=quorate-on-this-machine',
      '--initial-cluster-state=new',
    ];
  }

  get running() {
    return this.#child !== undefined;
  }

  commandLine() {
    return `node ${this.args.join(' ')}`;
  }

  /**
   * Starts the process, in a group of its own: Ctrl-C would else reach it both from the terminal
   * and from here, and a second signal cuts its orderly end short.
   */
  start(onEnd) {
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^(ETCD|QUORATE)_/.test(name)),
    );
    const log = openSync(this.logPath, 'a', 0o600);
    const child = spawn(process.execPath, this.args, {
      cwd: root,
      env,
      detached: true,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#child = child;
    let ended = false;
    const end = (how) => {
      if (ended) return;
      ended = true;
      this.#child = undefined;
      onEnd(this, how);
    };
    child.once('error', (error) => end(`it could not be started: ${error.message}`));
    child.once('exit', (code, signal) => {
      end(signal === null ? `exit code ${code}` : `signal ${signal}`);
    });
  }

  signal(signal) {
    this.#child?.kill(signal);
  }

  /** The last error in its log, or what it wrote last that is no log line. */
  lastError() {
    let text;
    try {
      text = readFileSync(this.logPath, 'utf8').slice(-logTailBytes);
    } catch {
      return undefined;
    }
    const lines = text.trimEnd().split('\n').reverse();
    for (const line of lines) {
      if (/^(quorate|[A-Za-z]*Error)\b.*: /.test(line)) return line;
      const entry = line.startsWith('{') ? parseLine(line) : undefined;
      if (!['error', 'fatal', 'panic'].includes(entry?.level)) continue;
      const cause = entry.error ?? entry.err?.message ?? entry.reason;
      const message = entry.msg ?? entry.message ?? 'error';
      return cause === undefined ? message : `${message}: ${cause}`;
    }
    return lines[0] === '' ? undefined : lines[0];
  }
}

function parseLine(line) {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

export class LocalCluster {
  #onEnd;
  #asker;

  /** @param onEnd told of each member that ended, and how */
  constructor(directory, plan, onEnd) {
    this.#onEnd = onEnd;
    const ports = Array.from({ length: plan.members }, (_, i) => clientPort(plan.port, i + 1));
    const initialCluster = ports
      .map((port, i) => `member-${i + 1}=http://127.0.0.1:${port + 1}`)
      .join(',');
    this.members = ports.map(
      (port, i) => new LocalMember(directory, `member-${i + 1}`, port, initialCluster),
    );
  }

  start() {
    for (const member of this.members) member.start(this.#onEnd);
  }

  /** The member that a majority names as its leader, and whether all that run have answered. */
  async leader() {
    this.#asker ??= await statusAsker();
    const running = this.members.filter((member) => member.running);
    const answers = await Promise.all(
      running.map(async (member) => ({ member, status: await this.#asker(member.endpoint) })),
    );
    const known = answers.filter(({ status }) => status !== undefined);
    const named = known.find(({ status }) => status.leader === status.id);
    const agreeing = known.filter(({ status }) => status.leader === named?.status.id).length;
    return {
      leader: agreeing > this.members.length / 2 ? named?.member : undefined,
      complete: known.length === running.length,
    };
  }

  /** Asks all to end; true if all did so by themselves. */
  async stop() {
    const deadline = Date.now() + stopLimitMs;
    for (const member of this.members) member.signal('SIGTERM');
    while (this.members.some((member) => member.running)) {
      if (Date.now() > deadline) {
        this.kill();
        return false;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return true;
  }

  kill() {
    for (const member of this.members) member.signal('SIGKILL');
  }
}

/** Asks members for their status over gRPC, with the codecs that the build made. */
async function statusAsker() {
  const load = (...path) => import(pathToFileURL(join(root, ...path)).href);
  const [{ Client, credentials }, { StatusRequest, StatusResponse }] = await Promise.all([
    import('@grpc/grpc-js'),
    load('dist', 'gen', 'rpc.js'),
  ]);
  const clients = new Map();
  return (endpoint) => {
    let client = clients.get(endpoint);
    if (client === undefined) {
      client = new Client(endpoint, credentials.createInsecure(), {
        'grpc.enable_http_proxy': 0,
        'grpc.max_reconnect_backoff_ms': 1_000,
      });
      clients.set(endpoint, client);
    }
    return new Promise((resolve) => {
      client.makeUnaryRequest(
        '/etcdserverpb.Maintenance/Status',
        (request) => Buffer.from(StatusRequest.encode(request)),
        (bytes) => StatusResponse.decode(bytes),
        StatusRequest.create(),
        { deadline: Date.now() + statusLimitMs },
        (error, status) => {
          if (error || !status) resolve(undefined);
          else resolve({ id: status.header?.memberId ?? 0n, leader: status.leader });
        },
      );
    });
  };
}
