/** `user`: who may sign in, and with which roles. */
import { textOf } from '../byte-text.ts';
import type { CommandDefinition, CommandLine } from '../command.ts';
import { badArguments } from '../exit.ts';
import { type FlagDefinition, off } from '../flags.ts';
import type { Session } from '../session.ts';
import type { Terminal } from '../terminal.ts';

const interactiveFlag: FlagDefinition = {
  name: 'interactive',
  type: 'boolean',
  fallback: 'true',
  help: 'ask twice for the password; false reads a word from standard input',
};

function nameIn({ operands }: CommandLine, command: string): string {
  const [name] = operands;
  if (name !== undefined && operands.length === 1) return name;
  throw badArguments(`user ${command} command requires user name as its argument`);
}

async function askPassword(name: string, terminal: Terminal): Promise<string> {
  const { readPassword } = await import('../password.ts');
  const password = await readPassword(terminal, `Password of ${name}: `);
  if (password === '') throw badArguments('empty password');
  const again = `Type password of ${name} again for confirmation: `;
  if ((await readPassword(terminal, again)) === password) return password;
  throw badArguments('given passwords are different');
}

async function passwordFor(
  name: string,
  { flags }: CommandLine,
  { terminal }: Session,
): Promise<string> {
  if (flags.boolean('interactive')) return askPassword(name, terminal);
  const line = textOf((await terminal.readLine()) ?? (await terminal.readAll()));
  return /^[ \t]*(\S*)/.exec(line)?.[1] ?? '';
}

/** Name and password that the arguments mean; no password for a user that has none. */
async function newUser(
  line: CommandLine,
  session: Session,
): Promise<{ readonly name: string; readonly password: string | undefined }> {
  const text = nameIn(line, 'add');
  if (line.flags.boolean('no-password')) return { name: text, password: undefined };
  const given = line.flags.text('new-user-password');
  if (given !== '') return { name: text, password: given };
  const colon = text.indexOf(':');
  if (colon < 0) return { name: text, password: await passwordFor(text, line, session) };
  if (colon === 0) throw badArguments('empty user name is not allowed');
  return { name: text.slice(0, colon), password: text.slice(colon + 1) };
}

async function add(line: CommandLine, session: Session): Promise<void> {
  const { name, password } = await newUser(line, session);
  const client = await session.client();
  const { printer } = await session.settings();
  printer.acknowledged(`User ${name} created`, await client.auth.addUser(name, password));
}

async function remove(line: CommandLine, session: Session): Promise<void> {
  const name = nameIn(line, 'delete');
  const client = await session.client();
  const { printer } = await session.settings();
  printer.acknowledged(`User ${name} deleted`, await client.auth.deleteUser(name));
}

async function get(line: CommandLine, session: Session): Promise<void> {
  const name = nameIn(line, 'get');
  const client = await session.client();
  const { printer } = await session.settings();
  const user = await client.auth.user(name);
  if (!line.flags.boolean('detail')) {
    printer.user(name, user);
    return;
  }
  session.terminal.line(`User: ${name}`);
  for (const role of user.roles) {
    session.terminal.line();
    printer.role(role, await client.auth.role(role));
  }
}

async function list({ operands }: CommandLine, session: Session): Promise<void> {
  if (operands.length !== 0) throw badArguments('user list command requires no arguments');
  const client = await session.client();
  const { printer } = await session.settings();
  printer.users(await client.auth.users());
}

async function passwd(line: CommandLine, session: Session): Promise<void> {
  const name = nameIn(line, 'passwd');
  const password = await passwordFor(name, line, session);
  const client = await session.client();
  const { printer } = await session.settings();
  printer.acknowledged('Password updated', await client.auth.changePassword(name, password));
}

async function grantRole({ operands }: CommandLine, session: Session): Promise<void> {
  const [name, role] = operands;
  if (name === undefined || role === undefined || operands.length !== 2) {
    throw badArguments('user grant command requires user name and role name as its argument');
  }
  const client = await session.client();
  const { printer } = await session.settings();
  const response = await client.auth.grantRole(name, role);
  printer.acknowledged(`Role ${role} is granted to user ${name}`, response);
}

async function revokeRole({ operands }: CommandLine, session: Session): Promise<void> {
  const [name, role] = operands;
  if (name === undefined || role === undefined || operands.length !== 2) {
    throw badArguments('user revoke-role requires user name and role name as its argument');
  }
  const client = await session.client();
  const { printer } = await session.settings();
  const response = await client.auth.revokeRole(name, role);
  printer.acknowledged(`Role ${role} is revoked from user ${name}`, response);
}

export const userCommand: CommandDefinition = {
  name: 'user',
  usage: '<subcommand>',
  summary: 'Users: who may sign in',
  flags: [],
  commands: [
    {
      name: 'add',
      usage: '<user name or user:password> [options]',
      summary: 'Add a user',
      examples: [
        { line: 'user add ann', tells: 'asks for the password' },
        {
          line: 'user add ann --interactive=false < password',
          tells: 'takes it from a file, so that no list of processes shows it',
        },
        { line: 'user add ann --no-password', tells: 'signs in by certificate only' },
      ],
      flags: [
        interactiveFlag,
        { name: 'new-user-password', type: 'string', fallback: '', help: 'the password' },
        { ...off, name: 'no-password', help: 'add a user who signs in by certificate only' },
      ],
      run: add,
    },
    {
      name: 'delete',
      usage: '<user name>',
      summary: 'Delete a user',
      flags: [],
      run: remove,
    },
    {
      name: 'get',
      usage: '<user name> [options]',
      summary: 'Print the roles of a user',
      examples: [{ line: 'user get ann --detail', tells: 'and what they permit' }],
      flags: [{ ...off, name: 'detail', help: 'print what the roles permit, too' }],
      run: get,
    },
    { name: 'list', usage: '', summary: 'List the users', flags: [], run: list },
    {
      name: 'passwd',
      usage: '<user name> [options]',
      summary: 'Change the password of a user',
      flags: [interactiveFlag],
      run: passwd,
    },
    {
      name: 'grant-role',
      usage: '<user name> <role name>',
      summary: 'Give a user a role',
      examples: [{ line: 'user grant-role ann reader', tells: 'ann may do what reader may' }],
      flags: [],
      run: grantRole,
    },
    {
      name: 'revoke-role',
      usage: '<user name> <role name>',
      summary: 'Take a role from a user',
      flags: [],
      run: revokeRole,
    },
  ],
};
