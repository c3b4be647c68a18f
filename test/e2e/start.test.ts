/** `npm start` as its user meets it: the script itself, real members, real signals. */
import { Client, credentials } from '@grpc/grpc-js';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { fromUtf8, utf8 } from '../../src/base/bytes.ts';
import { PutRequest, PutResponse, RangeRequest, RangeResponse } from '../../src/gen/rpc.ts';

const root = join(import.meta.dirname, '..', '..');
const upTimeoutMs = 60_000;

let directory: string;
let port: number;
let runs: StartRun[];

/** One run of the script. */
class StartRun {
  readonly #child: ChildProcess;
  readonly ended: Promise<number | null>;
  output = '';

  constructor(...args: string[]) {
    const script = join(root, 'scripts', 'start.mjs');
    this.#child = spawn(process.execPath, [script, '--directory', directory, ...args], {
      cwd: tmpdir(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    }
    this.ended = new Promise((resolve) => this.#child.once('exit', resolve));
    runs.push(this);
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async says(text: string): Promise<void> {
    const deadline = Date.now() + upTimeoutMs;
    while (!this.output.includes(text)) {
      if (!this.isRunning || Date.now() > deadline) {
        throw new Error(`it never said '${text}' but:\n${this.output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + upTimeoutMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('it did not happen in time');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** 10,000 apart from each other, the ports of a cluster cannot be asked of the system. */
async function freePort(): Promise<number> {
  for (let first = 3_000 + (process.pid % 5_000); first < 15_000; first += 7) {
    const ports = [0, 20_000, 30_000].flatMap((step) => [first + step, first + step + 1]);
    const servers = await Promise.all(ports.map((each) => hold(each).catch(() => undefined)));
    for (const server of servers) server?.close();
    if (servers.every((server) => server !== undefined)) return first;
  }
  throw new Error('no free ports');
}

function hold(held: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(held, '127.0.0.1', () => resolve(server));
  });
}

/** The processes of this test's members, by name. */
function memberPids(): Map<string, number> {
  const pids = new Map<string, number>();
  for (const line of execFileSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' }).split('\n')) {
    const [, pid, name] = /^\s*(\d+) .*--name=(\S+) --data-dir=/.exec(line) ?? [];
    if (name !== undefined && line.includes(`--data-dir=${directory}/`))
      pids.set(name, Number(pid));
  }
  return pids;
}

function call<T>(
  address: string,
  path: string,
  request: Uint8Array,
  decode: (bytes: Buffer) => T,
): Promise<T> {
  const client = new Client(address, credentials.createInsecure(), { 'grpc.enable_http_proxy': 0 });
  return new Promise<T>((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      (bytes: Uint8Array) => Buffer.from(bytes),
      decode,
      request,
      { deadline: Date.now() + 20_000 },
      (error, response) => {
        client.close();
        if (error !== null) reject(error);
        else if (response === undefined) reject(new Error('no response'));
        else resolve(response);
      },
    );
  });
}

async function put(address: string, key: string, value: string): Promise<void> {
  const request = PutRequest.encode(PutRequest.create({ key: utf8(key), value: utf8(value) }));
  await call(address, '/etcdserverpb.KV/Put', request, (bytes) => PutResponse.decode(bytes));
}

async function get(address: string, key: string): Promise<string | undefined> {
  const request = RangeRequest.encode(RangeRequest.create({ key: utf8(key) }));
  const decode = (bytes: Buffer): RangeResponse => RangeResponse.decode(bytes);
  const response = await call(address, '/etcdserverpb.KV/Range', request, decode);
  const [first] = response.kvs;
  return first === undefined ? undefined : fromUtf8(first.value);
}

beforeEach(async () => {
  directory = join(mkdtempSync(join(tmpdir(), 'quorate-start-')), 'cluster');
  port = await freePort();
  runs = [];
});

afterEach(async () => {
  for (const run of runs) {
    run.signal('SIGTERM');
    await run.ended;
  }
  expect(memberPids(), 'no member outlives the script').toEqual(new Map());
  rmSync(join(directory, '..'), { recursive: true, force: true });
});

const start = (...args: string[]): StartRun => new StartRun('--port', String(port), ...args);
const address = (number: number): string =>
  `127.0.0.1:${number === 1 ? port : number * 10_000 + port}`;

describe('npm start', { timeout: 120_000 }, () => {
  test('starts three members, tells how to use them, and keeps data between runs', async () => {
    const run = start();
    await run.says('Ctrl-C stops all members');
    expect(run.output).toContain('3 members are up on this machine');
    expect(run.output).toMatch(/member-\d {2}http:\/\/127\.0\.0\.1:\d+ {2}leader/);
    const endpoints = [1, 2, 3].map(address).join(',');
    expect(run.output).toContain(`kvctl.js --endpoints=${endpoints} put greeting hello`);
    expect(run.output).toContain(`etcdctl --endpoints=${endpoints} get greeting`);
    // The lines to paste do what they promise.
    const lines = run.output.match(/^ {2}node bin\/kvctl\.js .*$/gm) ?? [];
    const answers = lines.map((line) => {
      const [program = '', ...args] = line.trim().split(' ');
      return execFileSync(program, args, { cwd: root, encoding: 'utf8' });
    });
    expect(answers).toEqual(['OK\n', 'greeting\nhello\n', expect.stringMatching(/ENDPOINT/)]);
    expect(await get(address(3), 'greeting')).toBe('hello');
    run.signal('SIGINT');
    expect(await run.ended).toBe(0);
    expect(run.output).toContain('Stopped. The data is kept');
    const again = start();
    await again.says('Ctrl-C stops all members');
    expect(await get(address(2), 'greeting')).toBe('hello');
    again.signal('SIGTERM');
    expect(await again.ended).toBe(0);
    const fresh = start('--fresh', '--members', '1');
    await fresh.says('one member is up');
    expect(await get(address(1), 'greeting')).toBeUndefined();
  });

  test('stops when the npm that runs it is told to', async () => {
    const npm = spawn('npm', ['start', '--', '--directory', directory, '--port', String(port)], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let output = '';
    npm.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    const ended = new Promise((resolve) => npm.once('exit', resolve));
    await until(() => output.includes('Ctrl-C stops all members'));
    expect(memberPids().size).toBe(3);
    npm.kill('SIGTERM');
    await ended;
    await until(() => memberPids().size === 0);
  });

  test('reports a member that dies, and what is left', async () => {
    const run = start();
    await run.says('Ctrl-C stops all members');
    await put(address(1), 'greeting', 'hello');
    const pids = memberPids();
    expect([...pids.keys()].toSorted()).toEqual(['member-1', 'member-2', 'member-3']);
    process.kill(pids.get('member-2') ?? 0, 'SIGKILL');
    await run.says('member-2 has ended: signal SIGKILL');
    await run.says('2 of 3 members left: the cluster goes on');
    expect(await get(address(3), 'greeting')).toBe('hello');
    process.kill(pids.get('member-3') ?? 0, 'SIGKILL');
    await run.says('1 of 3 members left: too few for reads and writes');
    process.kill(pids.get('member-1') ?? 0, 'SIGKILL');
    expect(await run.ended).toBe(1);
    expect(run.output).toContain('No member is left.');
  });

  /** Starts the cluster once, so that its members have data, and stops it. */
  async function startOnce(): Promise<void> {
    const run = start();
    await run.says('Ctrl-C stops all members');
    run.signal('SIGINT');
    await run.ended;
  }

  test('brings up a member whose databases are damaged: the others repair it', async () => {
    await startOnce();
    const member = join(directory, 'member-2');
    const files = readdirSync(member, { recursive: true, encoding: 'utf8' });
    const current = files.filter((file) => file.endsWith('CURRENT'));
    expect(current.length).toBeGreaterThan(0);
    for (const file of current) writeFileSync(join(member, file), 'garbage');
    const again = start();
    await again.says('Ctrl-C stops all members');
    expect(again.output).not.toContain('has ended');
    expect(again.output).not.toContain('not running');
    const log = readFileSync(join(directory, 'member-2.log'), 'utf8');
    expect(log).toContain('what was lost is to come from the other members');
    const isLeft = (): boolean => readdirSync(member).some((name) => name.startsWith('damaged-'));
    await vi.waitUntil(() => !isLeft(), 10_000);
  });

  test('explains a member that nobody can repair', async () => {
    await startOnce();
    writeFileSync(join(directory, 'member-2', 'identity.json'), 'garbage');
    const again = start();
    await again.says('member-2 has ended: exit code 1');
    await again.says('Its last words: ');
    await again.says('2 of 3 members left: the cluster goes on');
    await again.says('Ctrl-C stops all members');
    expect(again.output).toMatch(/member-2 {2}http:\S+ {2}not running/);
  });

  test('explains a port that is taken, and touches nothing', async () => {
    const server = await hold(port + 20_001);
    const run = start('--fresh');
    expect(await run.ended).toBe(1);
    server.close();
    expect(run.output).toContain(`${port + 20_001} (peers of member-2): already in use`);
    expect(existsSync(directory)).toBe(false);
  });

  test('explains a damaged directory and one in the way', async () => {
    writeFileSync(directory, 'a file');
    const inTheWay = start();
    expect(await inTheWay.ended).toBe(1);
    expect(inTheWay.output).toContain('is in the way: no directory');
    const fresh = start('--fresh', '--members', '1');
    await fresh.says('one member is up');
    fresh.signal('SIGINT');
    await fresh.ended;
    const other = start('--members', '3');
    expect(await other.ended).toBe(1);
    expect(other.output).toContain('was made with --members 1, not 3');
    writeFileSync(join(directory, 'cluster.json'), '{"members":"three"}');
    const damaged = start();
    expect(await damaged.ended).toBe(1);
    expect(damaged.output).toContain('cluster.json is damaged');
    rmSync(join(directory, 'cluster.json'));
    const missing = start();
    expect(await missing.ended).toBe(1);
    expect(missing.output).toContain('which says of how many members, is missing');
  });

  test('explains options it does not know', async () => {
    const run = start('--memers', '3');
    expect(await run.ended).toBe(1);
    expect(run.output).toContain("Unknown option '--memers'");
    expect(run.output).toContain('npm start -- [options]');
    const many = start('--members', '9');
    expect(await many.ended).toBe(1);
    expect(many.output).toContain("--members takes a number from 1 to 5, not '9'");
  });
});
