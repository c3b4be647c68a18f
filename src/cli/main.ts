/** What the launcher calls: the program on the standard streams of this process. */
import { readFileSync } from 'node:fs';
import { textOf } from './byte-text.ts';
import { ExitCode } from './exit.ts';
import { run } from './program.ts';
import { Terminal } from './terminal.ts';

/** The words of the command line; bytes that are no text are kept where the system tells them. */
function commandWords(): readonly string[] {
  const words = process.argv.slice(2);
  if (process.platform !== 'linux' || !words.some((word) => word.includes('\ufffd'))) return words;
  const whole = readFileSync('/proc/self/cmdline');
  const raw: string[] = [];
  for (let from = 0, end = whole.indexOf(0); end >= 0; end = whole.indexOf(0, from)) {
    raw.push(textOf(whole.subarray(from, end)));
    from = end + 1;
  }
  return words.length === 0 ? [] : raw.slice(-words.length);
}

function write(bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(bytes, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

async function* standardInput(): AsyncGenerator<Uint8Array> {
  for await (const chunk of process.stdin) yield chunk as Uint8Array;
}

/** Output that nobody reads ends a program quietly; that there is no room for it does not. */
function outputFailed(error: unknown): ExitCode {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'EPIPE') return ExitCode.brokenPipe;
  process.stderr.write(`Error: write /dev/stdout: ${message}\n`);
  return ExitCode.io;
}

export async function main(): Promise<void> {
  // Failures reach whoever waits for the write.
  process.stdout.on('error', () => undefined);
  const terminal = new Terminal({
    environment: process.env,
    input: standardInput(),
    write,
    warn: (text) => process.stderr.write(text),
  });
  const code = await run(commandWords(), terminal).catch(outputFailed);
  process.exit(code);
}
