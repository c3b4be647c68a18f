/** Runs programs under strace and reads what they did. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Program } from '../../support/cluster-process.ts';
import { type RecordedDisk, tracedCalls } from './recorded-disk.ts';
import { parseTrace, type Trace } from './system-calls.ts';

/** Longest write that is recorded whole: LevelDB's are of 64 KiB at most, answers are small. */
const stringLimitBytes = 4 * 1024 * 1024;
const endTimeoutMs = 60_000;
const pollMs = 20;

const tracerFlags = [
  // The program itself is the child, the tracer stands aside: signals and exit codes are its own.
  ...['-D', '-f', '-q', '-ttt', '--seccomp-bpf'],
  ...['-s', String(stringLimitBytes), '-e', `trace=${tracedCalls.join(',')}`],
];

/** Why nothing can be recorded here; undefined if it can. */
export const cannotRecord: string | undefined = whyNot();

/** Put into the names of tests that need strace, so that a skipped one says why. */
export const recordingMissing: string =
  cannotRecord === undefined ? '' : ` (skipped: ${cannotRecord})`;

function whyNot(): string | undefined {
  if (process.platform !== 'linux') return 'strace is for Linux';
  const { status, error, stderr } = spawnSync(
    'strace',
    ['-f', '-qq', '-o', '/dev/null', '--seccomp-bpf', '-e', 'trace=fsync', process.execPath, '-v'],
    { encoding: 'utf8' },
  );
  if (error !== undefined) return 'there is no strace in PATH';
  if (status !== 0) return `strace may not trace: ${stderr.trim().split('\n')[0] ?? ''}`;
  return undefined;
}

/** The same program, traced into a file. */
export function traced(program: Program, tracePath: string): Program {
  return {
    name: program.name,
    command: 'strace',
    arguments: [...tracerFlags, '-o', tracePath, '--', program.command, ...program.arguments],
  };
}

/** Waits until all of a run that has ended is in its file, reads it and removes it. */
export async function takeTrace(tracePath: string): Promise<Trace> {
  const untilMs = performance.now() + endTimeoutMs;
  for (;;) {
    const bytes = await readFile(tracePath);
    const first = /^\d+/.exec(bytes.toString('latin1', 0, 20))?.[0] ?? 'none';
    const last = bytes.toString('latin1', Math.max(0, bytes.length - 4096));
    // The first thread, which the run began with, is the last that the tracer reports.
    if (new RegExp(`^${first} .*\\+\\+\\+ .* \\+\\+\\+$`, 'm').test(last)) {
      await rm(tracePath);
      return parseTrace(bytes);
    }
    if (performance.now() > untilMs) throw new Error(`${tracePath} has no end`);
    await delay(pollMs);
  }
}

/** Runs a program of a few lines, an ES module, to its end and records it. */
export async function recordScript(script: string, disk: RecordedDisk): Promise<void> {
  const traces = await mkdtemp(join(tmpdir(), 'quorate-trace-'));
  const tracePath = join(traces, 'trace');
  try {
    const node: Program = {
      name: 'script',
      command: process.execPath,
      arguments: ['--input-type=module', '-e', script],
    };
    const { command, arguments: args } = traced(node, tracePath);
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.resume();
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
    const code = await new Promise((resolve, reject) => {
      child.once('close', resolve);
      child.once('error', reject);
    });
    if (code !== 0) throw new Error(`the script ended with ${String(code)}: ${output}`);
    disk.replay(await takeTrace(tracePath));
  } finally {
    await rm(traces, { recursive: true, force: true });
  }
}
