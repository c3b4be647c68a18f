/** kvctl beside etcdctl: the same command lines against the same state, on ours and on etcd. */
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ClusterProcess } from '../support/cluster-process.ts';
import { run } from '../../src/cli/program.ts';
import { Terminal } from '../../src/cli/terminal.ts';
import { utf8 } from '../../src/base/bytes.ts';
import {
  type CommandOptions,
  type CommandResult,
  inParallel,
  runCommand,
} from '../support/command.ts';
import { etcdMissing, etcdVersion, startEtcd } from '../support/etcd.ts';
import { startQuorate } from '../support/quorate.ts';
import { Client } from '../../src/client/index.ts';
import {
  type CommandCase,
  owners,
  preparedLease,
  reads,
  refusals,
  unreachable,
  writes,
} from './kvctl/cases.ts';
import { type CommandDifference, commandDifferences } from './kvctl/differences.ts';

const launcher = join(import.meta.dirname, '..', '..', 'bin', 'kvctl.js');

/** The etcdctl that is compared with; undefined if there is none. */
const etcdctlVersion = /etcdctl version: (\S+)/.exec(
  spawnSync('etcdctl', ['version'], { encoding: 'utf8', env: { ...process.env, ETCDCTL_API: '3' } })
    .stdout,
)?.[1];
const missing = etcdctlVersion === undefined ? ' (skipped: there is no etcdctl in PATH)' : '';

/** Command lines at a time: twice the cores of a small machine, for they also wait. */
const width = 4;

interface Outcome {
  readonly stdout: string;
  readonly code: CommandResult['code'];
  /** The last line that begins with `Error:`; empty if there is none. */
  readonly error: string;
}

/** Leaves out the leases' part of keys below lk/, the lock of the cases, as text and in base64. */
function withoutLeases(text: string): string {
  return text
    .replace(/^((?:lk)?\/)[0-9a-f]{14,16}$/gm, '$1<id>')
    .replace(/"lk\/[0-9a-f]{14,16}"/g, '"lk/<id>"')
    .replace(/"bGsv[\w+/]{18,22}=*"/g, '"bGsv<id>"')
    .replace(/("lease":|"Lease" : )[1-9]\d{14,}/g, '$1<id>');
}

/** Leaves out what differs between two servers or two moments. */
function normalize(text: string, endpoint: string): string {
  const port = endpoint.replace(/^.*:/, '');
  return withoutLeases(text)
    .replaceAll(endpoint === '' ? '\0' : endpoint, '<address>')
    .replace(new RegExp(`127\\.0\\.0\\.1:(${port}|\\d{4,5})`, 'g'), '<address>')
    .replaceAll('etcdctl', 'kvctl')
    .replace(/("(?:cluster_id|member_id|leader|ID)":)\d+/g, '$1<id>')
    .replace(/("(?:ClusterID|MemberID|Leader|ID)" : )\w+/g, '$1<id>')
    .replace(/("(?:raft_term|raftTerm|raftIndex|raftAppliedIndex)":)\d+/g, '$1<n>')
    .replace(/("(?:RaftTerm|RaftIndex|RaftAppliedIndex)" : )\d+/g, '$1<n>')
    .replace(/("(?:dbSize|dbSizeInUse)":)\d+/g, '$1<n>')
    .replace(/("(?:DBSize|DBSizeInUse)" : )\d+/g, '$1<n>')
    .replace(/("took":"|took = |"Took" : )[\d.]+Â?[mµ]?s/g, '$1<time>')
    .replace(/[\d.]+Â?[mµ]s(?= \|)/g, '<time>')
    .replace(/(?<=\. took )[\d.]+Â?[mµ]?s$/gm, '<time>')
    .replace(/\b[0-9a-f]{14,16}, /g, '<id>, ')
    .replace(/\blease [0-9a-f]{16} granted with TTL\(\d+s\)$/gm, 'lease <id> granted')
    .replace(/remaining\(\d+s\)/g, 'remaining(<n>s)')
    .replace(/("ttl":|"TTL" : )\d+/g, '$1<n>');
}

/** A table's widths follow from what is in its cells. */
function withoutWidths(text: string): string {
  return text.replace(/-{2,}/g, '--').replace(/ {2,}/g, ' ');
}

/** What etcdctl says of a flag that it does not understand; kvctl says it on standard error. */
const usage = /^NAME:\n/;

function outcomeOf({ stdout, stderr, code }: CommandResult, endpoint: string): Outcome {
  const errors = stderr.split('\n').filter((line) => line.startsWith('Error: '));
  // Every byte counts, valid text or not.
  const text = stdout.toString('latin1');
  return {
    stdout: code !== 0 && usage.test(text) ? '' : withoutWidths(normalize(text, endpoint)),
    code,
    error: normalize(errors.at(-1) ?? '', endpoint),
  };
}

function nameOf({ args, input, environment = {} }: CommandCase): string {
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value} `);
  const words = args.map((word) => (/^[\w=./:-]+$/.test(word) ? word : JSON.stringify(word)));
  const text = typeof input === 'string' ? ` < ${JSON.stringify(input)}` : '';
  return `${variables.join('')}${words.join(' ')}${text}`;
}

const used = new Set<CommandDifference>();

function explained(name: string, part: keyof Outcome): boolean {
  const found = commandDifferences.filter(
    (difference) =>
      difference.command.test(name) &&
      difference.in.includes(part) &&
      difference.etcdctl.test(etcdctlVersion ?? ''),
  );
  for (const difference of found) used.add(difference);
  return found.length > 0;
}

/** Runs kvctl in this process: for the many command lines that never come to a server. */
async function runHere(
  args: readonly string[],
  { input = '', environment = {} }: CommandOptions,
): Promise<CommandResult> {
  const stdout: Uint8Array[] = [];
  let stderr = '';
  const terminal = new Terminal({
    environment,
    input: (async function* () {
      yield typeof input === 'string' ? utf8(input) : input;
    })(),
    write: async (bytes) => void stdout.push(bytes),
    warn: (text) => (stderr += text),
  });
  const code = await run(args, terminal);
  return { stdout: Buffer.concat(stdout), stderr, code };
}

/** etcdctl on one server, kvctl on another one that starts the same. */
class Sides {
  readonly #endpoints: readonly [string, string];
  readonly #runsHere: boolean;
  readonly different: string[] = [];
  compared = 0;

  constructor(endpoints: readonly [string, string], runsHere = false) {
    this.#endpoints = endpoints;
    this.#runsHere = runsHere;
  }

  onFirst(): Sides {
    return new Sides([this.#endpoints[0], this.#endpoints[0]]);
  }

  async compare(each: CommandCase): Promise<void> {
    const [first, second] = this.#endpoints;
    const [etcdctl, kvctl] = await Promise.all([
      this.#run('etcdctl', [], each, first),
      this.#run(process.execPath, [launcher], each, second),
    ]);
    this.compared++;
    const name = nameOf(each);
    for (const part of ['stdout', 'code', 'error'] as const) {
      if (etcdctl[part] === kvctl[part] || explained(name, part)) continue;
      const [theirs, ours] = [etcdctl[part], kvctl[part]].map((value) => JSON.stringify(value));
      this.different.push(`${name}\n  ${part} etcdctl: ${theirs}\n  ${part} kvctl:   ${ours}`);
    }
  }

  async #run(
    program: string,
    first: readonly string[],
    { args, namesEndpoints, environment, ...options }: CommandCase,
    endpoint: string,
  ): Promise<Outcome> {
    const named = namesEndpoints === true ? {} : { ETCDCTL_ENDPOINTS: endpoint };
    const all = { ...options, environment: { ETCDCTL_API: '3', ...named, ...environment } };
    const isHere = this.#runsHere && first.length > 0;
    const result = isHere
      ? await runHere(args, all)
      : await runCommand(program, [...first, ...args], all);
    return outcomeOf(result, endpoint);
  }
}

/** Each run of kvctl starts a Node: not all that one server has shown must the other one show. */
const servers = [
  { name: 'Quorate', start: startQuorate, isThere: true, reads },
  {
    name: `etcd${etcdMissing}`,
    start: startEtcd,
    isThere: etcdVersion !== undefined,
    reads: reads.filter((_, i) => i % 3 === 0),
  },
];

const available = servers.filter(({ isThere }) => isThere && missing === '');

describe.skipIf(missing !== '').each(available)(
  `kvctl as etcdctl, on $name`,
  ({ start, reads: some }) => {
    let clusters: ClusterProcess[] = [];
    let sides: Sides;

    beforeAll(async () => {
      clusters = await Promise.all([start(), start()]);
      const [first = '', second = ''] = clusters.map(({ addresses }) => addresses[0] ?? '');
      for (const endpoints of [first, second]) {
        await using client = new Client({ endpoints });
        await client.grant({ id: BigInt(`0x${preparedLease}`), ttl: 6_000 });
      }
      sides = new Sides([first, second]);
    });

    afterAll(async () => {
      await Promise.all(clusters.map((cluster) => cluster.stop()));
    });

    test('writes, reads and watches alike', { timeout: 240_000 }, async () => {
      for (const each of writes) await sides.compare(each);
      // One server for both, so that not even ids differ.
      const same = sides.onFirst();
      await inParallel(some, width, (each) => same.compare(each));
      for (const each of owners) await sides.compare(each);
      expect([...sides.different, ...same.different].join('\n')).toBe('');
      expect(sides.compared + same.compared).toBeGreaterThan(80);
    });
  },
);

describe.skipIf(missing !== '')(`kvctl as etcdctl${missing}`, () => {
  test('refuses alike', { timeout: 240_000 }, async () => {
    const sides = new Sides(['127.0.0.1:1', '127.0.0.1:1'], true);
    await inParallel(refusals, width, (each) => sides.compare(each));
    expect(sides.different.join('\n')).toBe('');
  });

  test('tells alike that no server is there', { timeout: 60_000 }, async () => {
    const sides = new Sides(['', '']);
    await inParallel(unreachable, width, (each) => sides.compare(each));
    expect(sides.different.join('\n')).toBe('');
  });

  test('every listed difference is one', () => {
    const needless = commandDifferences.filter(
      (difference) => difference.etcdctl.test(etcdctlVersion ?? '') && !used.has(difference),
    );
    expect(needless.map(({ reason }) => reason)).toEqual([]);
  });
});
