/** Runs command lines and keeps what they say. */
import { spawn } from 'node:child_process';

export interface CommandOptions {
  /** What standard input has; it ends after that, or with {@link untilLines}. */
  readonly input?: string | Uint8Array;
  readonly environment?: Readonly<Record<string, string>>;
  /**
   * For a command that goes on by itself: it is interrupted once it has written this many lines.
   * With `closesInput`, its input ends then instead.
   */
  readonly untilLines?: number;
  readonly closesInput?: boolean;
}

export interface CommandResult {
  readonly stdout: Buffer;
  readonly stderr: string;
  /** The exit code, or the signal that ended it. */
  readonly code: number | NodeJS.Signals;
}

/** No command line of a test takes longer, in milliseconds. */
const commandTimeoutMs = 30_000;

export function runCommand(
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const { input, environment = {}, untilLines, closesInput = false } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      // Settings of the caller's shell must not leak into the commands.
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...environment },
      stdio: 'pipe',
    });
    const stdout: Buffer[] = [];
    let stderr = '';
    let lines = 0;
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      const said = Buffer.concat(stdout).toString();
      reject(new Error(`${program} ${args.join(' ')} does not end; so far:\n${said}${stderr}`));
    }, commandTimeoutMs);
    child.stdout.on('data', (chunk: Buffer) => {
      stdout.push(chunk);
      for (const byte of chunk) if (byte === 10) lines++;
      if (untilLines === undefined || lines < untilLines) return;
      if (closesInput) child.stdin.end();
      else child.kill('SIGINT');
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    // A command that does not read its input closes it.
    child.stdin.on('error', () => undefined);
    if (input !== undefined) child.stdin.write(input);
    if (!closesInput) child.stdin.end();
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ stdout: Buffer.concat(stdout), stderr, code: code ?? signal ?? 0 });
    });
  });
}

/** Runs `work` on all items, this many at a time, in their order. */
export async function inParallel<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: width }, worker));
}
