/** Asks for a password without showing it. */
import { ReadStream } from 'node:tty';
import { fromUtf8 } from '../base/bytes.ts';
import { ExitCode, ExitError } from './exit.ts';
import type { Terminal } from './terminal.ts';

const endOfLine = /[\r\n]/;
const interrupt = '\x03';
const endOfInput = '\x04';
const backspace = /[\b\x7f]/;

/** One line of the terminal or, where there is none, of standard input. */
export async function readPassword(terminal: Terminal, prompt: string): Promise<string> {
  const { stdin } = process;
  terminal.prompt(prompt);
  if (!(stdin instanceof ReadStream && stdin.isTTY)) {
    const line = (await terminal.readLine()) ?? (await terminal.readAll());
    terminal.warn('');
    return fromUtf8(line);
  }
  stdin.setRawMode(true);
  try {
    return await readHidden(stdin);
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    terminal.warn('');
  }
}

function readHidden(stdin: ReadStream): Promise<string> {
  return new Promise((resolve, reject) => {
    let typed: string[] = [];
    const finish = (): void => {
      stdin.off('data', onData);
      resolve(typed.join(''));
    };
    const onData = (chunk: Buffer): void => {
      for (const character of chunk.toString('utf8')) {
        if (endOfLine.test(character) || character === endOfInput) {
          finish();
          return;
        }
        if (character === interrupt) {
          stdin.off('data', onData);
          reject(new ExitError(ExitCode.interrupted, ''));
          return;
        }
        if (backspace.test(character)) typed = typed.slice(0, -1);
        else typed.push(character);
      }
    };
    stdin.on('data', onData);
  });
}
