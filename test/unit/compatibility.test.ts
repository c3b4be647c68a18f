/** docs/compatibility.md tells of the program as it is: what can be told without running it. */
import { expect, test } from 'vitest';
import { routes } from '../../src/api/gateway/routes.ts';
import type { CommandDefinition } from '../../src/cli/command.ts';
import { program } from '../../src/cli/program.ts';
import type { FlagDefinition } from '../../src/config/flag.ts';
import { flagsByName } from '../../src/config/flag-table.ts';
import * as services from '../../src/gen/services.ts';
import {
  corrections,
  rowsBelow,
  type Supported,
  type SupportState,
} from '../support/compatibility.ts';

const flagStates: Readonly<Record<FlagDefinition['support'], readonly SupportState[]>> = {
  used: ['works', 'differs'],
  renamed: ['works'],
  ignored: ['no effect'],
  refused: ['refused', 'not built'],
};

test('every flag has a row', () => {
  const flags = [...flagsByName.values()].map(({ name, support, help }): Supported => {
    const states = flagStates[support];
    const text = support === 'used' ? '' : help;
    return { name: `--${name}`, states, row: `| \`--${name}\` | ${states[0] ?? ''} | ${text} |` };
  });
  expect(corrections('Flags', flags)).toEqual([]);
});

/** Commands that do something, by all the words that name them. */
function commandsOf(parent: CommandDefinition, words: readonly string[] = []): string[] {
  return (parent.commands ?? []).flatMap((command) => {
    const name = [...words, command.name];
    const own = command.run === undefined ? [] : [name.join(' ')];
    return [...own, ...commandsOf(command, name)];
  });
}

test('every command of kvctl has a row', () => {
  const states: SupportState[] = ['works', 'differs', 'refused'];
  const commands = commandsOf(program).map((name) => ({ name, states }));
  expect(commands.length).toBeGreaterThan(30);
  expect(corrections('Commands of kvctl', commands)).toEqual([]);
});

const methods = Object.values(services).flatMap((service) =>
  Object.values(service.methods as Readonly<Record<string, { readonly path: string }>>),
);

function httpPathsOf(method: string): string {
  const paths = [...routes].filter(([, path]) => path === method).map(([route]) => route);
  return paths.map((path) => `\`${path}\``).join(' ');
}

test('every RPC has a row, with its paths of the gateway', () => {
  // Which of them are not built, test/e2e tells.
  const states: SupportState[] = ['works', 'differs', 'not built'];
  const rpcs = methods.map(({ path }) => {
    const name = path.slice(1);
    return { name, states, row: `| \`${name}\` | ${httpPathsOf(path)} | works | |` };
  });
  expect(corrections('RPCs', rpcs)).toEqual([]);
  for (const { name, more } of rowsBelow('RPCs')) {
    expect([name, more]).toEqual([name, [httpPathsOf(`/${name}`)]]);
  }
});

test('what is missing or wrong is told as what to do', () => {
  expect(corrections('Commands of kvctl', [{ name: 'dance', states: ['works'] }])).toEqual(
    expect.arrayContaining([
      'below "Commands of kvctl" add the row: | `dance` | works | |',
      'below "Commands of kvctl", row `put`: remove it, or say \'not built\': ' +
        'the program has no such thing',
    ]),
  );
  expect(corrections('Flags', [{ name: '--wal-dir', states: ['works'] }])).toContain(
    'below "Flags", row `--wal-dir`: the state must be works, not refused',
  );
});
