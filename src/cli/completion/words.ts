/** What can be completed where: the tree of commands as lists that shells can take. */
import type { CommandDefinition } from '../command.ts';
import { helpFlag } from '../command-line.ts';
import type { FlagDefinition } from '../flags.ts';

/** Flags whose value is the name of a file. */
export const fileFlags: readonly string[] = ['cacert', 'cert', 'key'];

export interface Place {
  /** Names of the commands down to here, without the program's. */
  readonly path: readonly string[];
  readonly command: CommandDefinition;
  /** All that may be given here, inherited ones last. */
  readonly flags: readonly FlagDefinition[];
}

/** The program and every command below it. */
export function placesOf(root: CommandDefinition): readonly Place[] {
  const below = (
    command: CommandDefinition,
    path: readonly string[],
    inherited: readonly FlagDefinition[],
  ): Place[] => {
    const flags = [...command.flags, ...inherited];
    return [
      { path, command, flags },
      ...(command.commands ?? []).flatMap((sub) => below(sub, [...path, sub.name], flags)),
    ];
  };
  return below(root, [], [helpFlag]);
}

/** Every flag once, by name. */
export function allFlags(root: CommandDefinition): readonly FlagDefinition[] {
  const flags = placesOf(root).flatMap((place) => place.flags);
  return [...new Map(flags.map((flag) => [flag.name, flag])).values()];
}

/** Words that may stand as an argument. */
export function argumentsAt({ command }: Place): readonly string[] {
  return command.commands?.map(({ name }) => name) ?? command.choices ?? [];
}
