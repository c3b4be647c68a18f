/** Completion for bash 3.2 and newer, without the package bash-completion. */
import type { CommandDefinition } from '../command.ts';
import { allFlags, argumentsAt, fileFlags, placesOf } from './words.ts';

/** `--name|-n` as a pattern of `case`. */
function pattern({ name, short }: { readonly name: string; readonly short?: string }): string {
  return short === undefined ? `--${name}` : `--${name}|-${short}`;
}

export function bashScript(root: CommandDefinition): string {
  const places = placesOf(root);
  const flags = allFlags(root);
  const steps = places
    .filter(({ path }) => path.length > 0)
    .map(
      ({ path }) =>
        `      '${path.slice(0, -1).join('/')} ${path.at(-1) ?? ''}')` +
        ` path='${path.join('/')}' ;;`,
    );
  const offers = places.map((place) => {
    const names = place.flags.map(({ name, type }) => `--${name}${type === 'boolean' ? '' : '='}`);
    return (
      `    '${place.path.join('/')}') words='${argumentsAt(place).join(' ')}'` +
      ` flags='${names.join(' ')}' ;;`
    );
  });
  const values = flags
    .filter(({ choices }) => choices !== undefined)
    .map((flag) => `    ${pattern(flag)}) flags= words='${(flag.choices ?? []).join(' ')}' ;;`);
  const files = flags.filter(({ name }) => fileFlags.includes(name)).map(pattern);
  return `# bash completion for ${root.name}
_${root.name}() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}
  local path= words= flags= i
  # Bash takes the = of --flag=value for a word.
  if [[ $current == '=' ]]; then
    current=
  elif [[ $previous == '=' ]]; then
    previous=\${COMP_WORDS[COMP_CWORD-2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path \${COMP_WORDS[i]}" in
${steps.join('\n')}
    esac
  done
  case $path in
${offers.join('\n')}
  esac
  case $previous in
${values.join('\n')}
    ${files.join('|')}) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  if [[ $current == -* ]]; then words=$flags; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == *= ]]; then
    compopt -o nospace 2>/dev/null
  fi
}
complete -o default -F _${root.name} ${root.name}`;
}
