/** `completion`: scripts that let shells complete command lines. */
import type { CommandDefinition } from '../command.ts';
import { ExitCode, ExitError } from '../exit.ts';
import { quote } from '../go-text.ts';

type Script = (root: CommandDefinition) => string;

const scripts: Readonly<Record<string, () => Promise<Script>>> = {
  bash: async () => (await import('../completion/bash.ts')).bashScript,
  zsh: async () => (await import('../completion/zsh.ts')).zshScript,
  fish: async () => (await import('../completion/fish.ts')).fishScript,
};

export const completionCommand: CommandDefinition = {
  name: 'completion',
  usage: '<bash|zsh|fish>',
  summary: 'Print a script for completion in your shell',
  description: 'Load it in the start file of the shell.',
  examples: [
    { line: 'completion bash > /etc/bash_completion.d/kvctl', tells: 'bash, for all users' },
    { line: 'completion zsh > "${fpath[1]}/_kvctl"', tells: 'zsh; then start a new shell' },
    { line: 'completion fish > ~/.config/fish/completions/kvctl.fish', tells: 'fish' },
  ],
  flags: [],
  choices: Object.keys(scripts),
  async run({ operands, path }, { terminal }): Promise<void> {
    const [shell = '', ...more] = operands;
    const count = operands.length;
    if (count !== 1 || more.length > 0) {
      throw new ExitError(ExitCode.error, `accepts 1 arg(s), received ${count}`);
    }
    const script = Object.hasOwn(scripts, shell) ? scripts[shell] : undefined;
    if (script === undefined) {
      throw new ExitError(
        ExitCode.error,
        `invalid argument ${quote(shell)} for "kvctl completion"`,
        `Scripts are there for ${Object.keys(scripts).join(', ')}.`,
      );
    }
    const [root] = path;
    if (root !== undefined) terminal.line((await script())(root));
  },
};
