/** Runs the same command lines with etcdctl and with kvctl, and compares what they say. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { utf8 } from '../../../src/base/bytes.ts';
import { run } from '../../../src/cli/program.ts';
import { Terminal } from '../../../src/cli/terminal.ts';
import { type CommandOptions, type CommandResult, runCommand } from '../../support/command.ts';
import type { CommandCase } from './cases.ts';
import { type CommandDifference, accessDifferences, commandDifferences } from './differences.ts';

const launcher = join(import.meta.dirname, '..', '..', '..', 'bin', 'kvctl.js');

/** The etcdctl that is compared with; undefined if there is none. */
export const etcdctlVersion = /etcdctl version: (\S+)/.exec(
  spawnSync('etcdctl', ['version'], { encoding: 'utf8', env: { ...process.env, ETCDCTL_API: '3' } })
    .stdout,
)?.[1];
/** Put into the names of tests that need it, so that a skipped one says why. */
export const etcdctlMissing =
  etcdctlVersion === undefined ? ' (skipped: there is no etcdctl in PATH)' : '';

interface Outcome {
  readonly stdout: string;
  readonly code: CommandResult['code'];
  /** The last line that begins with `Error:`; empty if there is none. */
  readonly error: string;
}

/** Leaves out the leases' part of keys below lk/, the lock of the cases, as text and in base64. */
function withoutLeases(text: string): string {
  return text
    .replace(/^((?:lk)?\/)[0-9a-f]{10,16}$/gm, '$1<id>')
    .replace(/"lk\/[0-9a-f]{10,16}"/g, '"lk/<id>"')
    .replace(/"bGsv[\w+/]{13,22}=*"/g, '"bGsv<id>"')
    .replace(/("lease":|"Lease" : )[1-9]\d{11,}/g, '$1<id>');
}

/** Ids at the beginning of a message in protobuf that begins with a header. */
// eslint-disable-next-line no-control-regex -- tags of fields are control characters
const headerBytes = /\n.\x08[\x80-\xff]*[\0-\x7f]\x10[\x80-\xff]*[\0-\x7f]/gs;

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
    .replace(/\b[0-9a-f]{10,16}, /g, '<id>, ')
    .replace(/\blease [0-9a-f]{16} granted with TTL\(\d+s\)$/gm, 'lease <id> granted')
    .replace(/remaining\(\d+s\)/g, 'remaining(<n>s)')
    .replace(/("ttl":|"TTL" : )\d+/g, '$1<n>')
    .replace(headerBytes, '<header>');
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

/** The differences that were met. */
export const used = new Set<CommandDifference>();

function explained(name: string, part: keyof Outcome): boolean {
  const found = [...commandDifferences, ...accessDifferences].filter(
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
export class Sides {
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
