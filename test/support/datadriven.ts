/**
 * Transcripts: a text file of commands, each with its input and the output it printed.
 *
 * ```
 * # A comment.
 * command argument key=value key=(a, b)
 * input line
 * ----
 * output line
 * ```
 *
 * An empty line ends the output. Output that has empty lines itself stands between doubled rules.
 */

export interface TranscriptArgument {
  readonly key: string;
  readonly values: readonly string[];
}

export interface TranscriptCommand {
  /** Comments and empty lines before the command. */
  readonly preamble: string;
  /** The command as it was written, without its input. */
  readonly line: string;
  readonly lineNumber: number;
  readonly name: string;
  readonly arguments: readonly TranscriptArgument[];
  readonly input: string;
  readonly output: string;
}

export interface Transcript {
  readonly commands: readonly TranscriptCommand[];
  /** Comments and empty lines after the last command. */
  readonly ending: string;
}

const rule = '----';

export function parseTranscript(text: string): Transcript {
  const lines = text.split('\n');
  const commands: TranscriptCommand[] = [];
  let position = 0;
  const next = (): string | undefined => lines[position++];
  for (;;) {
    const preamble: string[] = [];
    while (position < lines.length && isSkipped(lines[position] ?? '')) preamble.push(next() ?? '');
    if (position >= lines.length) return { commands, ending: preamble.join('\n') };
    const lineNumber = position + 1;
    const line = next() ?? '';
    const input: string[] = [];
    for (let each = next(); each !== rule; each = next()) {
      if (each === undefined) throw new Error(`line ${lineNumber}: no ${rule} after the command`);
      input.push(each);
    }
    const output: string[] = [];
    if (lines[position] === rule) {
      next();
      for (let each = next(); each !== rule || lines[position] !== rule; each = next()) {
        if (each === undefined) throw new Error(`line ${lineNumber}: the output has no end`);
        output.push(each);
      }
      next();
    } else {
      while (position < lines.length && lines[position] !== '') output.push(next() ?? '');
    }
    const [name = '', ...words] = splitWords(line);
    commands.push({
      preamble: preamble.map((each) => `${each}\n`).join(''),
      line,
      lineNumber,
      name,
      arguments: words.map(parseArgument),
      input: input.join('\n'),
      output: output.join('\n'),
    });
  }
}

/** Writes the transcript with the output of each command replaced by what `run` returns. */
export function rerunTranscript(
  transcript: Transcript,
  run: (command: TranscriptCommand) => string,
): string {
  const parts = transcript.commands.map((command) => {
    const output = run(command).replace(/\n+$/, '');
    const input = command.input === '' ? '' : `${command.input}\n`;
    const doubled = /^$/m.test(output) && output !== '';
    const printed = output === '' ? '' : `${output}\n`;
    const framed = doubled
      ? `${rule}\n${rule}\n${printed}${rule}\n${rule}\n`
      : `${rule}\n${printed}`;
    return `${command.preamble}${command.line}\n${input}${framed}`;
  });
  return parts.join('') + transcript.ending;
}

function isSkipped(line: string): boolean {
  return line.trim() === '' || line.startsWith('#');
}

/** Words are split at spaces, but not within parentheses. */
function splitWords(line: string): string[] {
  return line.match(/(?:\([^)]*\)|[^\s(])+/g) ?? [];
}

function parseArgument(word: string): TranscriptArgument {
  const [, key = word, value] = /^([^=]+)=(.*)$/.exec(word) ?? [];
  if (value === undefined) return { key, values: [] };
  const list = /^\((.*)\)$/.exec(value)?.[1];
  if (list === undefined) return { key, values: [value] };
  return { key, values: list.split(',').map((each) => each.trim()) };
}
