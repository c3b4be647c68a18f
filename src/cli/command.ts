/** What a command is: one entry of the tree that parsing, help and completion share. */
import type { FlagDefinition, FlagValues } from './flags.ts';
import type { Session } from './session.ts';

/** A command line that was understood. */
export interface CommandLine {
  /** From the program itself down to the command that was named. */
  readonly path: readonly CommandDefinition[];
  readonly flags: FlagValues;
  readonly operands: readonly string[];
  /** How many of the operands come before `--`; undefined if there is none. */
  readonly terminatedAt: number | undefined;
  readonly wantsHelp: boolean;
}

interface Example {
  readonly line: string;
  readonly tells: string;
}

export interface CommandDefinition {
  readonly name: string;
  readonly aliases?: readonly string[];
  /** What follows the name, e.g. `[options] <key>`. */
  readonly usage: string;
  readonly summary: string;
  /** What it stands below in the help of the program; "Commands:" if absent. */
  readonly heading?: string;
  readonly description?: string;
  readonly examples?: readonly Example[];
  /** Its own flags and those of the commands below it. */
  readonly flags: readonly FlagDefinition[];
  readonly commands?: readonly CommandDefinition[];
  /** Words that shells offer as its argument. */
  readonly choices?: readonly string[];
  /** Missing in a command that only groups others: such a one prints its help. */
  run?(line: CommandLine, session: Session): Promise<void>;
}
