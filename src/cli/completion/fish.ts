/** Completion for fish. */
import type { CommandDefinition } from '../command.ts';
import type { FlagDefinition } from '../flags.ts';
import { type Place, argumentsAt, fileFlags, placesOf } from './words.ts';

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

/** When the words so far lead to this place. */
function condition({ path, command }: Place): string {
  if (path.length === 0) return quoted('__fish_use_subcommand');
  const seen = path.map((name) => `__fish_seen_subcommand_from ${name}`).join('; and ');
  const below = command.commands?.map(({ name }) => name).join(' ');
  return quoted(
    below === undefined ? seen : `${seen}; and not __fish_seen_subcommand_from ${below}`,
  );
}

function flagLine(program: string, when: string | undefined, flag: FlagDefinition): string {
  const { name, short, type, help, choices } = flag;
  const parts = [`complete -c ${program}`];
  if (when !== undefined) parts.push(`-n ${when}`);
  parts.push(`-l ${name}`);
  if (short !== undefined) parts.push(`-s ${short}`);
  if (type !== 'boolean') parts.push(fileFlags.includes(name) ? '-r -F' : '-x');
  if (choices !== undefined) parts.push(`-a ${quoted(choices.join(' '))}`);
  parts.push(`-d ${quoted(help)}`);
  return parts.join(' ');
}

function wordLine(program: string, place: Place, word: string): string {
  const summary = place.command.commands?.find(({ name }) => name === word)?.summary;
  const tells = summary === undefined ? '' : ` -d ${quoted(summary)}`;
  return `complete -c ${program} -n ${condition(place)} -f -a ${quoted(word)}${tells}`;
}

export function fishScript(root: CommandDefinition): string {
  const places = placesOf(root);
  const [top] = places;
  const everywhere = (top?.flags ?? []).map((flag) => flagLine(root.name, undefined, flag));
  const lines = places.flatMap((place) => [
    ...argumentsAt(place).map((word) => wordLine(root.name, place, word)),
    ...(place === top ? [] : place.command.flags).map((flag) => {
      const when = quoted(
        place.path.map((name) => `__fish_seen_subcommand_from ${name}`).join('; and '),
      );
      return flagLine(root.name, when, flag);
    }),
  ]);
  return [`# fish completion for ${root.name}`, ...everywhere, ...lines].join('\n');
}
