/** Completion for zsh. */
import type { CommandDefinition } from '../command.ts';
import type { FlagDefinition } from '../flags.ts';
import { type Place, fileFlags, placesOf } from './words.ts';

/** Inside single quotes, and inside the brackets and colons of _arguments. */
function escaped(text: string): string {
  return text.replaceAll("'", "'\\''").replace(/[[\]:]/g, (character) => `\\${character}`);
}

function flagSpec({ name, short, type, help, choices }: FlagDefinition): string {
  const value = fileFlags.includes(name) ? '_files' : choices && `(${choices.join(' ')})`;
  const action = type === 'boolean' ? '' : `:${name}:${value ?? ''}`;
  const long = `--${name}${type === 'boolean' ? '' : '='}`;
  const specs = [long, ...(short === undefined ? [] : [`-${short}`])];
  return specs.map((spec) => `    '*${spec}[${escaped(help)}]${action}'`).join(' \\\n');
}

function functionName(root: CommandDefinition, path: readonly string[]): string {
  return ['', root.name, ...path].join('_');
}

function placeFunction(root: CommandDefinition, { path, command, flags }: Place): string {
  const name = functionName(root, path);
  const specs = flags.map(flagSpec).join(' \\\n');
  const { commands, choices } = command;
  if (commands === undefined) {
    const words = choices === undefined ? '_default' : `(${choices.join(' ')})`;
    return `${name}() {\n  _arguments -s \\\n${specs} \\\n    '*:argument:${words}'\n}`;
  }
  const list = commands.map((sub) => `      '${sub.name}:${escaped(sub.summary)}'`).join('\n');
  const branches = commands
    .map((sub) => `        ${sub.name}) ${functionName(root, [...path, sub.name])} ;;`)
    .join('\n');
  return `${name}() {
  local context state state_descr line
  typeset -A opt_args
  _arguments -s -C \\
${specs} \\
    '1:command:->command' '*::argument:->argument'
  case $state in
    command)
      local -a commands=(
${list}
      )
      _describe command commands ;;
    argument)
      case $words[1] in
${branches}
      esac ;;
  esac
}`;
}

export function zshScript(root: CommandDefinition): string {
  const functions = placesOf(root).map((place) => placeFunction(root, place));
  return `#compdef ${root.name}\n\n${functions.join('\n\n')}\n
if [[ $funcstack[1] == _${root.name} ]]; then
  _${root.name} "$@"
else
  compdef _${root.name} ${root.name}
fi`;
}
