/** `snapshot`: a member's state as a file, and a new cluster from such a file. */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { SnapshotResponse } from '../../client/index.ts';
import type { CommandDefinition, CommandLine } from '../command.ts';
import { badArguments, ExitCode, ExitError } from '../exit.ts';
import { causeOf, failureText, systemErrorText } from '../failure.ts';
import { type FlagDefinition, off } from '../flags.ts';
import { quote } from '../go-text.ts';
import type { Session } from '../session.ts';

const hashBytes = 32;
const privateMode = 0o600;

async function save({ operands, flags }: CommandLine, session: Session): Promise<void> {
  const [path] = operands;
  if (path === undefined || operands.length !== 1) {
    throw badArguments('snapshot save expects one argument <filename>');
  }
  const client = await session.client();
  if (client.endpoints.length !== 1) {
    throw new ExitError(
      ExitCode.interrupted,
      'snapshot must be requested to one selected node, ' +
        `not multiple [${client.endpoints.join(' ')}]`,
    );
  }
  // Unless a time is asked for, it takes as long as it takes.
  const limit = flags.isSet('command-timeout')
    ? { timeoutMs: Math.max(flags.number('command-timeout'), 1) }
    : {};
  try {
    const version = await writeFile(path, client.snapshot(limit));
    session.terminal.line(`Snapshot saved at ${path}`);
    if (version !== '') session.terminal.line(`Server version ${version}`);
  } catch (error) {
    const text = isSystemError(error) ? explained(error) : failureText(error);
    throw new ExitError(ExitCode.interrupted, text, causeOf(error, client.endpoints));
  }
}

/** A file of that name is only there once it is whole and durable. Returns the server's version. */
async function writeFile(path: string, pieces: AsyncIterable<SnapshotResponse>): Promise<string> {
  const partial = `${path}.part`;
  const file = await open(partial, 'w', privateMode).catch((error: unknown) => {
    throw new Error(`could not open ${partial} (open ${partial}: ${systemErrorText(error)})`);
  });
  try {
    let version: string;
    try {
      version = await writePieces(file, pieces);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
    await syncDirectory(dirname(path));
    return version;
  } finally {
    await rm(partial, { force: true });
  }
}

async function writePieces(
  file: FileHandle,
  pieces: AsyncIterable<SnapshotResponse>,
): Promise<string> {
  const hash = createHash('sha256');
  let last: Uint8Array = new Uint8Array(0);
  let sizeBytes = 0;
  let version = '';
  for await (const piece of pieces) {
    // The last piece is the hash of all before it.
    hash.update(last);
    last = piece.blob;
    sizeBytes += last.length;
    version = piece.version;
    await file.writeFile(last);
  }
  if (last.length !== hashBytes) {
    throw new Error(`sha256 checksum not found [bytes: ${sizeBytes}]`);
  }
  if (!hash.digest().equals(last)) throw new Error('the snapshot is not what its sha256 says');
  return version;
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function status({ operands }: CommandLine, session: Session): Promise<void> {
  const [path] = operands;
  if (path === undefined || operands.length !== 1) {
    throw badArguments('snapshot status requires exactly one argument');
  }
  const { printer } = await session.settings();
  try {
    statSync(path);
    const { snapshotStatus } = await import('../../snapshot/status.ts');
    printer.snapshotStatus(snapshotStatus(path));
  } catch (error) {
    throw failed(error);
  }
}

async function restore({ operands, flags }: CommandLine, session: Session): Promise<void> {
  const [snapshotPath] = operands;
  if (snapshotPath === undefined || operands.length !== 1) {
    throw badArguments('snapshot restore requires exactly one argument');
  }
  const revisionBump = flags.number('bump-revision');
  if (!Number.isSafeInteger(revisionBump) || revisionBump < 0) {
    throw badArguments(`--bump-revision cannot be ${flags.shown('bump-revision')}`);
  }
  if (revisionBump > 0 !== flags.boolean('mark-compacted')) {
    throw badArguments('--mark-compacted required if --revision-bump > 0');
  }
  if (flags.text('wal-dir') !== '') {
    throw badArguments('--wal-dir is not supported: the log is kept in --data-dir');
  }
  const name = flags.text('name');
  const dataDir = flags.text('data-dir') === '' ? `${name}.etcd` : flags.text('data-dir');
  try {
    const { restoreSnapshot } = await import('../../snapshot/restore.ts');
    const restored = await restoreSnapshot({
      snapshotPath,
      dataDir,
      name,
      initialCluster: flags.text('initial-cluster'),
      initialAdvertisePeerUrls: flags.text('initial-advertise-peer-urls'),
      clusterToken: flags.text('initial-cluster-token'),
      skipHashCheck: flags.boolean('skip-hash-check'),
      revisionBump,
    });
    const { keyCount, revision, memberId, clusterId } = restored;
    session.terminal.warn(
      `Restored ${keyCount} keys at revision ${revision} into ${quote(dataDir)}, for member ` +
        `${memberId.toString(16)} of cluster ${clusterId.toString(16)}.`,
    );
  } catch (error) {
    throw failed(error);
  }
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}

function explained(error: NodeJS.ErrnoException): string {
  const { syscall = '', path = '' } = error;
  return path === '' ? systemErrorText(error) : `${syscall} ${path}: ${systemErrorText(error)}`;
}

function failed(error: unknown): unknown {
  return isSystemError(error) ? new ExitError(ExitCode.error, explained(error)) : error;
}

const text = (name: string, fallback: string, help: string): FlagDefinition => {
  return { name, type: 'string', fallback, help };
};

const restoreFlags: readonly FlagDefinition[] = [
  text('data-dir', '', 'where the member will have its data; by default <name>.etcd'),
  text('name', 'default', "the member's name"),
  text(
    'initial-cluster',
    'default=http://localhost:2380',
    'all members of the new cluster: name=url,name=url',
  ),
  text('initial-cluster-token', 'etcd-cluster', 'tells this cluster from others: choose a new one'),
  text(
    'initial-advertise-peer-urls',
    'http://localhost:2380',
    "the member's URLs in --initial-cluster",
  ),
  { ...off, name: 'skip-hash-check', help: 'take a file without a hash, or with a wrong one' },
  {
    name: 'bump-revision',
    type: 'integer',
    fallback: '0',
    help: 'begin so many revisions later, so that none comes twice',
  },
  { ...off, name: 'mark-compacted', help: 'goes with --bump-revision: forget what was before' },
  text('wal-dir', '', 'refused: the log is kept in --data-dir'),
  {
    name: 'initial-memory-map-size',
    type: 'integer',
    fallback: '0',
    help: 'without effect: nothing is mapped',
  },
];

export const snapshotCommand: CommandDefinition = {
  name: 'snapshot',
  usage: '<subcommand>',
  summary: "Save a member's state, and restore it",
  flags: [],
  commands: [
    {
      name: 'save',
      usage: '[options] <filename>',
      summary: "Save a member's state to a file",
      description:
        "The file is a database of etcd: etcd's tools read it too, and this program theirs.\n" +
        'One endpoint is asked, and without --command-timeout it may take any time.',
      examples: [{ line: 'snapshot save backup.db', tells: 'from the member at --endpoints' }],
      flags: [],
      run: save,
    },
    {
      name: 'status',
      usage: '[options] <filename>',
      summary: 'Tell what a snapshot file holds',
      description:
        'Checks the whole file. In the format simple, the line has, separated by commas: hash,\n' +
        'revision, total keys, total size, and version of the storage.',
      examples: [{ line: 'snapshot status backup.db -w table', tells: 'for eyes' }],
      flags: [],
      run: status,
    },
    {
      name: 'restore',
      usage: '[options] <filename>',
      summary: "Make a member's data directory of a snapshot file",
      description:
        'For a new cluster: every member restores the same file, each with its own --name,\n' +
        '--initial-advertise-peer-urls and --data-dir, before the first one is started.',
      examples: [
        { line: 'snapshot restore backup.db --data-dir data', tells: 'for a single member' },
        {
          line:
            'snapshot restore backup.db --name a --initial-advertise-peer-urls http://a:2380 ' +
            '--initial-cluster a=http://a:2380,b=http://b:2380,c=http://c:2380',
          tells: 'for one of three',
        },
        {
          line: 'snapshot restore backup.db --bump-revision 1000000000 --mark-compacted',
          tells: 'for clients that have seen later revisions',
        },
      ],
      flags: restoreFlags,
      run: restore,
    },
  ],
};
