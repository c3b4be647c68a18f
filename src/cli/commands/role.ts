/** `role`: which keys may be read and written. */
import { fromKeyEnd, prefixEnd } from '../../client/range-end.ts';
import { PermissionType } from '../../gen/auth.ts';
import { bytesOf, textOf } from '../byte-text.ts';
import type { CommandDefinition, CommandLine } from '../command.ts';
import { badArguments } from '../exit.ts';
import { type FlagDefinition, type FlagValues, off } from '../flags.ts';
import type { Session } from '../session.ts';

const rangeFlags: readonly FlagDefinition[] = [
  { ...off, name: 'prefix', help: 'all keys that begin with <key>' },
  { ...off, name: 'from-key', help: 'all keys from <key> on, in the order of bytes' },
];

function nameIn({ operands }: CommandLine, command: string): string {
  const [name] = operands;
  if (name !== undefined && operands.length === 1) return name;
  throw badArguments(`role ${command} command requires role name as its argument`);
}

/** @throws ExitError for words that are no permission */
function permissionType(text: string): PermissionType {
  const name = text.toLowerCase();
  if (Object.hasOwn(PermissionType, name)) {
    return PermissionType[name as keyof typeof PermissionType];
  }
  throw badArguments(`invalid permission type: ${text}`);
}

interface Keys {
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array;
}

/** The smallest key: permissions cannot be about the empty one. */
const firstKey = Uint8Array.of(0);
const none = new Uint8Array();

/** What arguments and flags of a permission mean. */
function keysOf([key = '', end]: readonly string[], flags: FlagValues): Keys {
  const [isPrefix, isFromKey] = [flags.boolean('prefix'), flags.boolean('from-key')];
  if (isPrefix && isFromKey && (key === '' || end === undefined)) {
    throw badArguments('--from-key and --prefix flags are mutually exclusive');
  }
  if (key === '') return { key: firstKey, rangeEnd: isPrefix || isFromKey ? fromKeyEnd : none };
  if (end !== undefined && (isPrefix || isFromKey)) {
    const flag = isPrefix ? '--prefix' : '--from-key';
    throw badArguments(`unexpected endkey argument with ${flag} flag`);
  }
  const start = bytesOf(key);
  if (isPrefix) return { key: start, rangeEnd: prefixEnd(start) };
  if (isFromKey) return { key: start, rangeEnd: fromKeyEnd };
  return { key: start, rangeEnd: end === undefined ? none : bytesOf(end) };
}

async function add(line: CommandLine, session: Session): Promise<void> {
  const name = nameIn(line, 'add');
  const client = await session.client();
  const { printer } = await session.settings();
  printer.acknowledged(`Role ${name} created`, await client.auth.addRole(name));
}

async function remove(line: CommandLine, session: Session): Promise<void> {
  const name = nameIn(line, 'delete');
  const client = await session.client();
  const { printer } = await session.settings();
  printer.acknowledged(`Role ${name} deleted`, await client.auth.deleteRole(name));
}

async function get(line: CommandLine, session: Session): Promise<void> {
  const name = nameIn(line, 'get');
  const client = await session.client();
  const { printer } = await session.settings();
  printer.role(name, await client.auth.role(name));
}

async function list({ operands }: CommandLine, session: Session): Promise<void> {
  if (operands.length !== 0) throw badArguments('role list command requires no arguments');
  const client = await session.client();
  const { printer } = await session.settings();
  printer.roles(await client.auth.roles());
}

async function grant({ operands, flags }: CommandLine, session: Session): Promise<void> {
  const [name, type, ...range] = operands;
  if (name === undefined || type === undefined || range.length === 0) {
    throw badArguments(
      'role grant command requires role name, permission type, and key [endkey] as its argument',
    );
  }
  const permission = { permType: permissionType(type), ...keysOf(range, flags) };
  const client = await session.client();
  const { printer } = await session.settings();
  const response = await client.auth.grantPermission(name, permission);
  printer.acknowledged(`Role ${name} updated`, response);
}

function revokedText(name: string, key: string, rangeEnd: Uint8Array): string {
  if (rangeEnd.length === 0) return `Permission of key ${key} is revoked from role ${name}`;
  const isOpen = rangeEnd.length === 1 && rangeEnd[0] === 0;
  const range = isOpen ? `[${key}, <open ended>` : `[${key}, ${textOf(rangeEnd)})`;
  return `Permission of range ${range} is revoked from role ${name}`;
}

async function revoke({ operands, flags }: CommandLine, session: Session): Promise<void> {
  const [name, key, end] = operands;
  if (name === undefined || key === undefined) {
    throw badArguments(
      'role revoke-permission command requires role name and key [endkey] as its argument',
    );
  }
  const keys = keysOf(end === undefined ? [key] : [key, end], flags);
  const client = await session.client();
  const { printer } = await session.settings();
  const response = await client.auth.revokePermission(name, keys);
  printer.acknowledged(revokedText(name, key, keys.rangeEnd), response);
}

export const roleCommand: CommandDefinition = {
  name: 'role',
  usage: '<subcommand>',
  summary: 'Roles: which keys may be read and written',
  flags: [],
  commands: [
    { name: 'add', usage: '<role name>', summary: 'Add a role', flags: [], run: add },
    { name: 'delete', usage: '<role name>', summary: 'Delete a role', flags: [], run: remove },
    {
      name: 'get',
      usage: '<role name>',
      summary: 'Print what a role may do',
      flags: [],
      run: get,
    },
    { name: 'list', usage: '', summary: 'List the roles', flags: [], run: list },
    {
      name: 'grant-permission',
      usage: '[options] <role name> <permission type> <key> [endkey]',
      summary: 'Let a role read or write keys',
      description: 'The permission type is read, write or readwrite.',
      examples: [
        { line: 'role grant-permission reader read --prefix config/', tells: 'below config/' },
        { line: "role grant-permission admin readwrite --prefix ''", tells: 'all keys' },
      ],
      flags: rangeFlags,
      run: grant,
    },
    {
      name: 'revoke-permission',
      usage: '[options] <role name> <key> [endkey]',
      summary: 'Take a permission from a role',
      description: 'The keys have to be those that the permission was granted for.',
      flags: rangeFlags,
      run: revoke,
    },
  ],
};
