/** Whole runs that need no server, or one that only plays its part. */
import { describe, expect, test } from 'vitest';
import { utf8 } from '../../../src/base/bytes.ts';
import { StatusCode } from '../../../src/base/errors.ts';
import { run } from '../../../src/cli/program.ts';
import { Terminal } from '../../../src/cli/terminal.ts';
import { KeyValue } from '../../../src/gen/kv.ts';
import { RangeResponse } from '../../../src/gen/rpc.ts';
import { Cluster, KV } from '../../../src/gen/services.ts';
import { FakeMember, header, Refusal } from '../../support/fake-member.ts';

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function kvctl(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  input: readonly string[] = [],
): Promise<Result> {
  const stdout: Uint8Array[] = [];
  let stderr = '';
  const terminal = new Terminal({
    environment,
    input: (async function* () {
      for (const part of input) yield utf8(part);
    })(),
    write: async (bytes) => void stdout.push(bytes),
    warn: (text) => (stderr += text),
  });
  const code = await run(args, terminal);
  return { code, stdout: Buffer.concat(stdout).toString(), stderr };
}

/** Nobody listens there. */
const nowhere = '--endpoints=127.0.0.1:1';

describe('help', () => {
  test.each([
    [[], /^Usage: kvctl \[options\] <command>\n[^]*\n {2}endpoint status {2}/],
    [['--help'], /\nGlobal options:\n {6}--endpoints <list>/],
    [['help', 'txn'], /^Usage: kvctl txn \[options\]\n[^]*\nExamples:\n {2}# asks/],
    [['endpoint'], /^Usage: kvctl endpoint <subcommand>\n[^]*\n {2}hashkv /],
    [['endpoint'], /this\n\nGlobal options such as --endpoints: see kvctl --help\.\n$/],
    [['put', '-h'], /\n {6}--lease <text> [^]*\nGlobal options such as --endpoints: see kvctl/],
  ] as const)('%j', async (args, text) => {
    expect(await kvctl(args)).toEqual({ code: 0, stdout: expect.stringMatching(text), stderr: '' });
  });

  test('groups all commands by what users do, below headings', async () => {
    const { stdout } = await kvctl(['--help']);
    const commands = stdout.slice(stdout.indexOf('\nKeys:'), stdout.indexOf('\nOptions:'));
    const headings = [...commands.matchAll(/^(\S.*):$/gm)].map(([, heading]) => heading);
    expect(headings).toEqual([
      'Keys',
      'Leases, locks and elections',
      'Members',
      'Space',
      'Copies of the data',
      'Users and roles',
      'More',
    ]);
    expect(commands).toMatch(/^Members:\n {2}member add [^]*\n {2}downgrade cancel .*\n\n/m);
    expect(stdout).not.toContain('Commands:');
  });

  test('of every command has a summary, examples and options', async () => {
    for (const name of ['get', 'put', 'del', 'txn', 'watch', 'compaction', 'completion']) {
      const { stdout } = await kvctl([name, '--help']);
      expect(stdout, name).toMatch(/\n\nExamples:\n/);
    }
  });
});

describe('refusals', () => {
  test('end with the line of the error, after what helps', async () => {
    expect(await kvctl(['gett', 'a'])).toEqual({
      code: 1,
      stdout: '',
      stderr:
        "Did you mean this?\n\tget\n\nRun 'kvctl --help' for usage.\n" +
        'Error: unknown command "gett" for "kvctl"\n',
    });
  });

  test.each([
    [['get', 'a', '-w', 'xml'], 4, 'Error: unsupported output format\n'],
    [['get'], 128, 'Error: get command needs one argument as key'],
    [['--endpoints=', 'get', 'a'], 2, 'Error: etcdclient: no available endpoints\n'],
    [['txn'], 3, 'Error: EOF\n'],
    [['make-mirror', 'a', '--max-txn-ops=-1'], 1, 'invalid argument "-1" for "--max-txn-ops"'],
    [['make-mirror', 'a', '--dest-prefix=x', '--no-dest-prefix'], 128, 'choose one\n'],
    [['defrag', '--data-dir=x'], 1, 'Failed to defragment etcd data[x]'],
    [['get', 'a', '--cacert', '/no/where'], 128, 'open /no/where: no such file or directory\n'],
    [['get', 'a', '--cert', '/no/where'], 128, 'Error: KeyFile and CertFile must both be present'],
  ])('%j ends with %i', async (args, code, text) => {
    const result = await kvctl(args);
    expect(result).toMatchObject({ code, stdout: '' });
    expect(result.stderr).toContain(text);
  });

  test('no server is one that takes too long, and the reason is told', async () => {
    const { code, stderr } = await kvctl([nowhere, '--command-timeout=1s', 'get', 'a']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^No connection to 127\.0\.0\.1:1: .*ECONNREFUSED/);
    expect(stderr).toMatch(/\nError: context deadline exceeded\n$/);
  });

  test('of an election that is not heard of, the reason is told', async () => {
    const args = [nowhere, '--command-timeout=1s', 'elect', '--listen', 'a'];
    const { code, stderr } = await kvctl(args);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^No connection to 127\.0\.0\.1:1: .*ECONNREFUSED/);
    expect(stderr).toMatch(/\nError: elect: observer lost\n$/);
  });
});

describe('what helps', () => {
  test('names the destination of a mirror if that is what is not reached', async () => {
    const kvs = [KeyValue.create({ key: utf8('a') })];
    const source = await new FakeMember()
      .on(KV.methods.range, () => RangeResponse.create({ header: header(1), kvs }))
      .listen();
    try {
      const args = [`--endpoints=${source.address}`, '--command-timeout=1s', 'make-mirror'];
      const { code, stderr } = await kvctl([...args, '127.0.0.1:1']);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^No connection to 127\.0\.0\.1:1: .*ECONNREFUSED/);
    } finally {
      source.stop();
    }
  });

  test('stands before the words of etcd that do not tell it', async () => {
    const member = await new FakeMember()
      .on(Cluster.methods.memberRemove, () => {
        throw new Refusal(StatusCode.unavailable, 'etcdserver: unhealthy cluster');
      })
      .listen();
    try {
      expect(await kvctl([`--endpoints=${member.address}`, 'member', 'remove', '1'])).toEqual({
        code: 1,
        stdout: '',
        stderr:
          'Enough voters must have been connected for 5 s; see `endpoint health --cluster`.\n' +
          'Error: etcdserver: unhealthy cluster\n',
      });
    } finally {
      member.stop();
    }
  });
});

describe('the environment', () => {
  test('stands in for flags, and what is wrong with it is told', async () => {
    const environment = {
      ETCDCTL_WRITE_OUT: 'xml',
      ETCDCTL_HEX: 'maybe',
      ETCDCTL_NOPE: '1',
      ETCDCTL_API: '3',
    };
    const { code, stderr } = await kvctl(['get', 'a'], environment);
    expect(code).toBe(4);
    expect(stderr).toContain('Warning: ETCDCTL_HEX is not used: invalid argument "maybe"');
    expect(stderr).toContain('Warning: unrecognized variable ETCDCTL_NOPE\n');
    expect(stderr).not.toContain('ETCDCTL_API');
  });

  test('gives way to the command line', async () => {
    const environment = { ETCDCTL_WRITE_OUT: 'xml' };
    const args = [nowhere, '--command-timeout=50ms', '-w', 'json', 'get', 'a'];
    expect((await kvctl(args, environment)).code).toBe(1);
  });

  test('--debug tells settings, but no secrets', async () => {
    const args = [nowhere, '--command-timeout=50ms', '--debug', '--user=u:geheim', 'get', 'a'];
    const { stderr } = await kvctl(args, { ETCDCTL_PASSWORD: 'geheim' });
    expect(stderr).toContain('ETCDCTL_COMMAND_TIMEOUT=50ms\n');
    expect(stderr).toContain('ETCDCTL_USER=(hidden)\n');
    expect(stderr).not.toContain('geheim');
  });
});

test('version', async () => {
  expect((await kvctl(['version'])).stdout).toMatch(/^kvctl version: \S+\nAPI version: 3\.6\n$/);
});

test.each(['bash', 'zsh', 'fish'])('completion for %s knows commands and flags', async (shell) => {
  const { code, stdout } = await kvctl(['completion', shell]);
  expect(code).toBe(0);
  for (const word of ['get', 'hashkv', 'print-value-only', 'write-out', 'DESCEND', 'protobuf']) {
    expect(stdout).toContain(word);
  }
});

test('a txn may come in pieces, and asks for its parts when it is interactive', async () => {
  const input = ['mod("a")', ' > "0"\n\nput', ' a 1\n\n', 'put b 2'];
  expect(await kvctl([nowhere, 'txn', '-i'], {}, input)).toMatchObject({
    code: 3,
    stdout: 'compares:\nsuccess requests (get, put, del):\nfailure requests (get, put, del):\n',
    stderr: expect.stringContaining('Error: EOF'),
  });
});
