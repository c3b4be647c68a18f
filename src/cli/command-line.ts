/**
 * Reads a command line as cobra and pflag do for etcdctl: flags and arguments in any order, values
 * after `=` or as the next word, booleans only with `=`, commands by any unambiguous beginning.
 */
import type { CommandDefinition, CommandLine } from './command.ts';
import { ExitCode, ExitError } from './exit.ts';
import { type FlagDefinition, FlagValues, off } from './flags.ts';
import { quote } from './go-text.ts';

export const helpFlag: FlagDefinition = {
  ...off,
  name: 'help',
  short: 'h',
  help: 'print this',
};

export function pathName(path: readonly CommandDefinition[]): string {
  return path.map(({ name }) => name).join(' ');
}

function usageError(message: string, path: readonly CommandDefinition[], advice = ''): ExitError {
  return new ExitError(
    ExitCode.error,
    message,
    `${advice}Run '${pathName(path)} --help' for usage.`,
  );
}

/** How many letters must change to turn one word into the other. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, swap));
    }
    row = next;
  }
  return row[b.length] as number;
}

/** Beyond this many changed letters a word is another word and not a typo; cobra's measure. */
const typoMax = 2;

function similarTo(word: string, names: readonly string[]): string[] {
  const meant = word.toLowerCase();
  return names.filter((name) => name.startsWith(meant) || editDistance(meant, name) <= typoMax);
}

function findCommand(word: string, path: readonly CommandDefinition[]): CommandDefinition {
  const commands = path.at(-1)?.commands ?? [];
  const named = commands.filter(
    ({ name, aliases }) => name === word || aliases?.includes(word) === true,
  );
  const found = named.length > 0 ? named : commands.filter(({ name }) => name.startsWith(word));
  if (found.length === 1 && found[0] !== undefined) return found[0];
  const similar = similarTo(
    word,
    commands.map(({ name }) => name),
  );
  const advice =
    similar.length === 0
      ? ''
      : `Did you mean this?\n${similar.map((name) => `\t${name}\n`).join('')}\n`;
  throw usageError(`unknown command ${quote(word)} for ${quote(pathName(path))}`, path, advice);
}

/** Every flag of the command and of those below it. */
function flagsBelow(command: CommandDefinition): readonly FlagDefinition[] {
  return [...command.flags, ...(command.commands ?? []).flatMap(flagsBelow)];
}

class Reader {
  readonly path: CommandDefinition[];
  readonly flags = new FlagValues();
  readonly operands: string[] = [];
  terminatedAt: number | undefined;
  wantsHelp = false;
  readonly #used = new Map<FlagDefinition, string>();
  readonly #words: readonly string[];
  #at = 0;

  constructor(root: CommandDefinition, words: readonly string[]) {
    this.path = [root];
    this.#words = words;
  }

  read(): void {
    for (; this.#at < this.#words.length; this.#at++) {
      const word = this.#words[this.#at] ?? '';
      if (word === '--') {
        this.terminatedAt = this.operands.length;
        this.operands.push(...this.#words.slice(this.#at + 1));
        break;
      }
      if (word.startsWith('--')) this.#readLong(word);
      else if (word.length > 1 && word.startsWith('-')) this.#readShort(word);
      else this.#readOperand(word);
    }
    // A flag may come before the command that it belongs to.
    const known = new Set(this.#known());
    for (const [flag, word] of this.#used) if (!known.has(flag)) throw this.#unknown(word);
    this.flags.define([...known]);
  }

  #known(): FlagDefinition[] {
    return [helpFlag, ...this.path.flatMap(({ flags }) => flags)];
  }

  #find(matches: (flag: FlagDefinition) => boolean): FlagDefinition | undefined {
    const last = this.path.at(-1);
    return this.#known().find(matches) ?? (last && flagsBelow(last).find(matches));
  }

  #unknown(flag: string): ExitError {
    const names = this.#known().map(({ name }) => name);
    const [similar] = flag.startsWith('--') ? similarTo(flag.slice(2), names) : [];
    const advice = similar === undefined ? '' : `Did you mean --${similar}?\n`;
    return usageError(`unknown flag: ${flag}`, this.path, advice);
  }

  #set(flag: FlagDefinition, text: string, written: string): void {
    if (flag === helpFlag) this.wantsHelp = text !== 'false';
    this.#used.set(flag, written);
    const error = this.flags.set(flag, text);
    if (error !== undefined) throw usageError(error, this.path);
  }

  #readLong(word: string): void {
    const equals = word.indexOf('=');
    const name = word.slice(2, equals < 0 ? undefined : equals);
    if (name === '' || name.startsWith('-')) {
      throw usageError(`bad flag syntax: ${word}`, this.path);
    }
    const flag = this.#find((each) => each.name === name);
    if (flag === undefined) throw this.#unknown(`--${name}`);
    if (equals >= 0) this.#set(flag, word.slice(equals + 1), `--${name}`);
    else if (flag.type === 'boolean') this.#set(flag, 'true', `--${name}`);
    else this.#set(flag, this.#next(`--${name}`), `--${name}`);
  }

  #readShort(word: string): void {
    for (let at = 1; at < word.length; at++) {
      const letter = word[at] ?? '';
      const flag = this.#find((each) => each.short === letter);
      if (flag === undefined) {
        const message = `unknown shorthand flag: '${letter}' in ${word}`;
        const isValue = /^-[\d.]/.test(word) && this.path.at(-1)?.commands === undefined;
        const advice = isValue ? `An argument that begins with '-' goes behind '--'.\n` : '';
        throw usageError(message, this.path, advice);
      }
      const written = `-${letter}`;
      if (word[at + 1] === '=') {
        this.#set(flag, word.slice(at + 2), written);
        return;
      }
      if (flag.type === 'boolean') {
        this.#set(flag, 'true', written);
        continue;
      }
      const rest = word.slice(at + 1);
      this.#set(flag, rest === '' ? this.#next(`'${letter}' in ${word}`) : rest, written);
      return;
    }
  }

  #next(flag: string): string {
    const next = this.#words[++this.#at];
    if (next === undefined) throw usageError(`flag needs an argument: ${flag}`, this.path);
    return next;
  }

  #readOperand(word: string): void {
    const command = this.path.at(-1);
    if (command?.commands === undefined) {
      this.operands.push(word);
    } else if (word === 'help' && this.path.length === 1) {
      this.wantsHelp = true;
    } else {
      this.path.push(findCommand(word, this.path));
    }
  }
}

/** @throws ExitError in etcdctl's words for what it does not understand */
export function parseCommandLine(root: CommandDefinition, words: readonly string[]): CommandLine {
  const reader = new Reader(root, words);
  reader.read();
  const { path, flags, operands, terminatedAt, wantsHelp } = reader;
  return { path, flags, operands, terminatedAt, wantsHelp };
}
