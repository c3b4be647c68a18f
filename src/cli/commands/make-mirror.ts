/** `make-mirror`: keeps the keys of another cluster like those of this one. */
import type { Client } from '../../client/index.ts';
import { bytesOf } from '../byte-text.ts';
import type { CommandDefinition, CommandLine } from '../command.ts';
import { destinationOptions } from '../connection.ts';
import { badArguments, ExitCode, ExitError } from '../exit.ts';
import { ElsewhereError } from '../failure.ts';
import type { FlagValues } from '../flags.ts';
import { quote } from '../go-text.ts';
import type { Destination, MirrorOptions } from '../mirror.ts';
import type { Session } from '../session.ts';

/** How often the count is told, in milliseconds; etcdctl's. */
const tellEveryMs = 30_000;

function optionsFrom(flags: FlagValues): MirrorOptions {
  const prefix = flags.text('prefix');
  const named = flags.text('dest-prefix');
  const dropsPrefix = flags.boolean('no-dest-prefix');
  if (dropsPrefix && named !== '') {
    throw badArguments(
      '`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one',
    );
  }
  const kept = named === '' ? prefix : named;
  return {
    prefix: bytesOf(prefix),
    destinationPrefix: bytesOf(dropsPrefix ? '' : kept),
    startRevision: flags.number('rev'),
    txnOpsMax: flags.number('max-txn-ops'),
  };
}

/** The parser knows integers of either sign only. */
function checkSigns(flags: FlagValues): void {
  const text = String(flags.number('max-txn-ops'));
  if (!text.startsWith('-')) return;
  const reason = `strconv.ParseUint: parsing ${quote(text)}: invalid syntax`;
  const message = `invalid argument ${quote(text)} for "--max-txn-ops" flag: ${reason}`;
  throw new ExitError(ExitCode.error, message);
}

/** Failures of the other cluster name its endpoint, not those of this one. */
function elsewhere(client: Client): Destination {
  const fail = (error: unknown): never => {
    throw new ElsewhereError(client.endpoints, error);
  };
  return {
    put: (key, value) => client.put(key, value).catch(fail),
    txn: (request) => client.txn(request).catch(fail),
  };
}

async function run({ operands, flags }: CommandLine, session: Session): Promise<void> {
  checkSigns(flags);
  const [address] = operands;
  if (address === undefined || operands.length !== 1) {
    throw badArguments('make-mirror takes one destination argument');
  }
  const mirrorOptions = optionsFrom(flags);
  const { terminal } = session;
  const { options } = await session.settings();
  const destination = await session.open(
    await destinationOptions(address, options, flags, terminal),
  );
  const { Mirror } = await import('../mirror.ts');
  const mirror = new Mirror(await session.client(), elsewhere(destination), mirrorOptions);
  const timer = setInterval(() => {
    terminal.line(String(mirror.total));
    void terminal.flush();
  }, tellEveryMs);
  try {
    await mirror.run();
  } finally {
    clearInterval(timer);
  }
}

export const makeMirrorCommand: CommandDefinition = {
  name: 'make-mirror',
  usage: '[options] <destination>',
  summary: 'Keep keys of another cluster like those of this one',
  description:
    'Copies the keys, then follows their changes until it is interrupted or one of the clusters\n' +
    'refuses. Every 30 seconds it prints how many changes were mirrored. Leases are not\n' +
    'mirrored, and keys that only the destination has are left alone.',
  examples: [
    { line: 'make-mirror 10.0.1.1:2379', tells: 'all keys' },
    { line: 'make-mirror --prefix app/ --dest-prefix copy/ 10.0.1.1:2379', tells: 'renamed' },
    {
      line: 'make-mirror --rev 1001 10.0.1.1:2379',
      tells: 'goes on after revision 1000, without copying all keys first',
    },
  ],
  flags: [
    { name: 'prefix', type: 'string', fallback: '', help: 'mirror keys that begin with this' },
    {
      name: 'rev',
      type: 'integer',
      fallback: '0',
      help: 'mirror changes from this revision on; 0 is all keys first',
    },
    {
      name: 'max-txn-ops',
      type: 'integer',
      fallback: '128',
      help: 'the most operations of a transaction at the destination',
    },
    {
      name: 'dest-prefix',
      type: 'string',
      fallback: '',
      help: 'put this in place of --prefix at the destination',
    },
    {
      name: 'no-dest-prefix',
      type: 'boolean',
      fallback: 'false',
      help: 'leave --prefix out at the destination',
    },
    {
      name: 'dest-cert',
      type: 'string',
      fallback: '',
      help: "the client's certificate for the destination (PEM file)",
    },
    { name: 'dest-key', type: 'string', fallback: '', help: 'key of --dest-cert (PEM file)' },
    {
      name: 'dest-cacert',
      type: 'string',
      fallback: '',
      help: 'CA certificates to trust at the destination (PEM file)',
    },
    {
      name: 'dest-insecure-transport',
      type: 'boolean',
      fallback: 'true',
      help: 'no TLS unless certificates or https:// ask for it',
    },
    {
      name: 'dest-user',
      type: 'string',
      fallback: '',
      help: 'name[:password] at the destination; a missing password is asked for',
    },
    { name: 'dest-password', type: 'string', fallback: '', help: 'password of --dest-user' },
  ],
  run,
};
