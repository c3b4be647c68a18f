/** h2load, of nghttp2: the same call again and again, cheaper than any client of ours. */
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cpuTimes } from './resources.ts';

const run = promisify(execFile);

/** Much more than a run that goes on takes: a server that does not answer must not hold us up. */
const timeLimitMs = 180_000;

/** Its version, undefined if it is not installed. */
export function h2loadVersion(): string | undefined {
  const { status, stdout } = spawnSync('h2load', ['--version'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim().replace('h2load ', '') : undefined;
}

export interface H2loadRun {
  readonly address: string;
  readonly path: string;
  /** With the header of gRPC's framing. */
  readonly body: Uint8Array;
  readonly connections: number;
  /** Calls under way on each connection. */
  readonly streams: number;
  /** How long, or how many calls; the latter ends when all are answered. */
  readonly amount: { readonly seconds: number } | { readonly calls: number };
  /** Calls a second on all connections; as many as go without it. */
  readonly callsPerSecond?: number;
}

export interface H2loadSummary {
  readonly seconds: number;
  readonly callsPerSecond: number;
  /** Calls that ended with HTTP status 2xx. */
  readonly succeeded: number;
  /** Calls that did not. */
  readonly failed: number;
  /** Payload of all answers: gRPC's frames. */
  readonly dataBytes: number;
}

export interface H2loadResult extends H2loadSummary {
  readonly latenciesUs: Uint32Array;
  readonly cpuSeconds: number;
}

const secondsOfUnit: Readonly<Record<string, number>> = {
  us: 1e-6,
  ms: 1e-3,
  s: 1,
  m: 60,
  h: 3600,
};

/** @throws Error for what is not the output of h2load */
export function parseH2load(output: string): H2loadSummary {
  const finished = /^finished in ([\d.]+)(us|ms|s|m|h), ([\d.]+) req\/s/m.exec(output);
  const requests = /^requests: (\d+) total, .* (\d+) succeeded, (\d+) failed, (\d+) errored/m.exec(
    output,
  );
  const statuses = /^status codes: (\d+) 2xx/m.exec(output);
  const data = / \((\d+)\) data$/m.exec(output);
  if (finished === null || requests === null || statuses === null || data === null) {
    throw new Error(`h2load says something else than expected:\n${output}`);
  }
  return {
    seconds: Number(finished[1]) * (secondsOfUnit[finished[2] ?? 's'] ?? 1),
    callsPerSecond: Number(finished[3]),
    succeeded: Number(statuses[1]),
    failed: Number(requests[3]) + Number(requests[4]),
    dataBytes: Number(data[1]),
  };
}

/** @param log a line for each call: begin, HTTP status and duration, both times in microseconds */
export function parseH2loadLog(log: string): Uint32Array {
  const lines = log.split('\n').filter((line) => line !== '');
  return Uint32Array.from(lines, (line) => Number(line.split('\t')[2]));
}

export async function h2load(wanted: H2loadRun): Promise<H2loadResult> {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-h2load-'));
  try {
    const [bodyPath, logPath] = [join(directory, 'body'), join(directory, 'log')];
    writeFileSync(bodyPath, wanted.body);
    const before = cpuTimes('self').children;
    const { stdout } = await run(
      'h2load',
      [...flagsOf(wanted), '-d', bodyPath].concat(
        `--log-file=${logPath}`,
        `http://${wanted.address}${wanted.path}`,
      ),
      { timeout: timeLimitMs },
    );
    // No other child of ours ends meanwhile.
    const cpuSeconds = cpuTimes('self').children - before;
    const latenciesUs = parseH2loadLog(readFileSync(logPath, 'utf8'));
    return { ...parseH2load(stdout), latenciesUs, cpuSeconds };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function flagsOf({ connections, streams, amount, callsPerSecond }: H2loadRun): string[] {
  const flags = [
    `-c${connections}`,
    `-m${streams}`,
    '-H',
    'content-type: application/grpc',
    '-H',
    'te: trailers',
  ];
  if ('calls' in amount) flags.push(`-n${amount.calls}`);
  else flags.push(`-D${Math.ceil(amount.seconds * 1000)}ms`);
  if (callsPerSecond !== undefined)
    flags.push(`--rps=${(callsPerSecond / connections).toFixed(3)}`);
  return flags;
}
