/** Help texts, laid out by commander to the width of the terminal. */
import { Command, Help, Option } from 'commander';
import type { CommandDefinition } from './command.ts';
import { helpFlag, pathName } from './command-line.ts';
import type { FlagDefinition } from './flags.ts';

/** Names of values in help. */
const valueNames: Readonly<Record<Exclude<FlagDefinition['type'], 'boolean'>, string>> = {
  string: 'text',
  list: 'list',
  integer: 'n',
  duration: 'time',
};

function optionOf({ name, short, type, fallback, help }: FlagDefinition, heading: string): Option {
  // Two letters and a comma in front, so that long names stand below each other.
  const names = short === undefined ? `--${name}` : `-${short}, --${name}`;
  const value = type === 'boolean' ? '' : ` <${valueNames[type]}>`;
  const tells = type !== 'boolean' && fallback !== '' && fallback !== '0';
  const text = tells || fallback === 'true' ? `${help} (default ${fallback})` : help;
  return new Option(names + value, text).helpGroup(heading);
}

const globalHeading = 'Global options:';
const seeAll = 'see kvctl --help.';

/** Commands first, then what the command itself takes, and last what all commands take. */
class Layout extends Help {
  override optionTerm({ short, flags }: Option): string {
    return short === undefined ? `    ${flags}` : flags;
  }

  override subcommandTerm(command: Command): string {
    return command.name();
  }

  override formatHelp(command: Command, helper: Help): string {
    const width = helper.padWidth(command, helper);
    const items = (heading: string, list: readonly (readonly [string, string])[]): string[] => {
      const lines = list.map(([term, text]) => helper.formatItem(term, width, text, helper));
      return helper.formatItemList(heading, lines, helper);
    };
    const options = (heading: string): string[] => {
      const list = command.options.filter((option) => option.helpGroupHeading === heading);
      return items(
        heading,
        list.map((option) => [helper.optionTerm(option), helper.optionDescription(option)]),
      );
    };
    // Forty lines that are the same everywhere would hide what is not.
    const globals = (lines: string[]): string[] =>
      lines.length > 0 ? lines : [`Global options such as --endpoints: ${seeAll}`, ''];
    const groups = new Map<string, [string, string][]>();
    for (const sub of command.commands) {
      const group = groups.get(sub.helpGroup()) ?? [];
      group.push([helper.subcommandTerm(sub), helper.subcommandDescription(sub)]);
      groups.set(sub.helpGroup(), group);
    }
    return [
      `Usage: ${helper.commandUsage(command)}`,
      '',
      command.description(),
      '',
      ...[...groups].flatMap(([heading, list]) => items(heading, list)),
      ...options('Options:'),
      ...(examples.get(command) ?? []),
      ...globals(options(globalHeading)),
    ].join('\n');
  }
}

/** Lines about how a command is used. */
const examples = new WeakMap<Command, readonly string[]>();

function exampleLines(definition: CommandDefinition, programName: string): string[] {
  const blocks = (definition.examples ?? []).map(({ line, tells }) =>
    [`# ${tells}`, ...`${programName} ${line}`.split('\n')].map((each) => `  ${each}`.trimEnd()),
  );
  return blocks.length === 0 ? [] : ['Examples:', ...blocks.flat(), ''];
}

/** Every command below that can be run, with its full name. */
function leaves(
  command: CommandDefinition,
  prefix = '',
  heading = 'Commands:',
): readonly Command[] {
  return (command.commands ?? []).flatMap((sub) => {
    const name = `${prefix}${sub.name}`;
    const group = sub.heading ?? heading;
    return sub.commands === undefined
      ? new Command(name).summary(sub.summary).description(sub.summary).helpGroup(group)
      : leaves(sub, `${name} `, group);
  });
}

export function helpText(path: readonly CommandDefinition[]): string {
  const [root] = path;
  const definition = path.at(-1);
  if (root === undefined || definition === undefined) return '';
  const command = new Command(pathName(path)).usage(definition.usage).helpOption(false);
  const description = definition.description ?? '';
  command.description(`${definition.summary}.\n\n${description}`.trim());
  for (const leaf of leaves(definition)) command.addCommand(leaf);
  const own = [...path.slice(1).flatMap(({ flags }) => flags), helpFlag];
  for (const flag of own) command.addOption(optionOf(flag, 'Options:'));
  if (path.length === 1) {
    for (const flag of root.flags) command.addOption(optionOf(flag, globalHeading));
  }
  command.helpCommand(false);
  command.createHelp = () =>
    Object.assign(new Layout(), { helpWidth: process.stdout.columns || 80 });
  examples.set(command, exampleLines(definition, root.name));
  return command.helpInformation();
}
