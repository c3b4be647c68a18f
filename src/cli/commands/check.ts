/** `check`: whether the cluster keeps up with a load, and what data costs it in memory. */
import type { Client } from '../../client/index.ts';
import { prefixRange } from '../../client/range-end.ts';
import { bytesOf } from '../byte-text.ts';
import type { CommandDefinition, CommandLine } from '../command.ts';
import { ExitCode, ExitError } from '../exit.ts';
import { failureText } from '../failure.ts';
import { type FlagDefinition, off } from '../flags.ts';
import { quote } from '../go-text.ts';
import { Interruption } from '../interruption.ts';
import { Load, type LoadResult } from '../load.ts';
import { residentMemory } from '../resident-memory.ts';
import type { Session } from '../session.ts';

type Size = 's' | 'm' | 'l' | 'xl';

const sizes: Readonly<Record<string, Size>> = {
  ...{ s: 's', m: 'm', l: 'l', xl: 'xl' },
  ...{ small: 's', medium: 'm', large: 'l', xLarge: 'xl' },
};

interface PerfLoad {
  readonly perSecond: number;
  readonly clients: number;
}

/** etcdctl's, as are all figures below. */
const perfLoads: Readonly<Record<Size, PerfLoad>> = {
  s: { perSecond: 150, clients: 50 },
  m: { perSecond: 1000, clients: 200 },
  l: { perSecond: 8000, clients: 500 },
  xl: { perSecond: 15_000, clients: 1000 },
};
const perfMs = 60_000;
const perfShape = { keyBytes: 256, valueBytes: 1024 };

/** Of the load that was asked for, this share has to be borne. */
const shareMin = 0.9;
const slowestMaxSeconds = 0.5;
const deviationMaxSeconds = 0.1;

interface DataLoad {
  readonly keys: number;
  readonly clients: number;
}

const dataLoads: Readonly<Record<Size, DataLoad>> = {
  s: { keys: 10_000, clients: 50 },
  m: { keys: 100_000, clients: 200 },
  l: { keys: 1_000_000, clients: 500 },
  xl: { keys: 3_000_000, clients: 1000 },
};
const dataShape = { keyBytes: 512, valueBytes: 512 };
const mebibyte = 1024 * 1024;

/** Time for deleting, compacting and defragmenting afterwards, in milliseconds. */
const cleanupTimeoutMs = 30_000;

function sizeOf({ flags }: CommandLine): Size {
  const name = flags.text('load');
  const size = Object.hasOwn(sizes, name) ? sizes[name] : undefined;
  if (size !== undefined) return size;
  throw new ExitError(
    ExitCode.badFeature,
    `unknown load option ${name}`,
    'Known are s (small), m (medium), l (large) and xl (xLarge).',
  );
}

/** Each has a connection of its own, as so many programs would have. */
async function clientsOf(session: Session, count: number): Promise<[Client, ...Client[]]> {
  const first = await session.client();
  const others = Array.from({ length: count - 1 }, () => session.client());
  return [first, ...(await Promise.all(others))];
}

async function refuseKeys(client: Client, prefix: string): Promise<void> {
  const { kvs } = await client.range({ ...prefixRange(bytesOf(prefix)), limit: 1 });
  if (kvs.length === 0) return;
  const advice = `Delete with 'kvctl del --prefix ${prefix}' first`;
  throw new ExitError(ExitCode.invalidInput, `prefix ${quote(prefix)} has keys. ${advice}`);
}

/** Deletes what was put, and gives its space back if that is asked for. */
async function cleanUp(client: Client, { flags }: CommandLine, session: Session): Promise<void> {
  const { terminal } = session;
  const limit = { timeoutMs: cleanupTimeoutMs };
  const { header } = await client.delete(prefixRange(bytesOf(flags.text('prefix'))), limit);
  if (flags.boolean('auto-compact')) {
    const revision = header?.revision ?? 0;
    terminal.line(`Compacting with revision ${revision}`);
    await client.compact({ revision, physical: true }, limit);
    terminal.line(`Compacted with revision ${revision}`);
  }
  if (flags.boolean('auto-defrag')) {
    for (const endpoint of client.endpoints) {
      terminal.line(`Defragmenting ${quote(endpoint)}`);
      await client.defragment(endpoint, limit);
      terminal.line(`Defragmented ${quote(endpoint)}`);
    }
  }
}

function tellFailures({ failures }: LoadResult, { terminal }: Session): void {
  terminal.line('FAIL: too many errors');
  for (const [text, count] of failures) terminal.line(`FAIL: ERROR(${text}) -> ${count}`);
}

/** Tells what came of it; whether that is good enough. */
export function judge(result: LoadResult, { perSecond }: PerfLoad, session: Session): boolean {
  const { terminal } = session;
  const tell = (passes: boolean, good: string, bad: string): boolean => {
    terminal.line(passes ? `PASS: ${good}` : bad);
    return passes;
  };
  const writes = Math.trunc(result.perSecond) + 1;
  const [slowest, deviation] = [result.slowest, result.deviation].map((each) => each.toFixed(6));
  const verdicts = [
    tell(
      result.perSecond / perSecond > shareMin,
      `Throughput is ${writes} writes/s`,
      `FAIL: Throughput too low: ${writes} writes/s`,
    ),
    tell(
      result.slowest <= slowestMaxSeconds,
      `Slowest request took ${slowest}s`,
      `Slowest request took too long: ${slowest}s`,
    ),
    tell(
      result.deviation <= deviationMaxSeconds,
      `Stddev is ${deviation}s`,
      `Stddev too high: ${deviation}s`,
    ),
  ];
  return verdicts.every((passes) => passes);
}

async function perf(line: CommandLine, session: Session): Promise<void> {
  const load = perfLoads[sizeOf(line)];
  const prefix = line.flags.text('prefix');
  const clients = await clientsOf(session, load.clients);
  const [client] = clients;
  await refuseKeys(client, prefix);
  // In place of etcdctl's bar, which scripts do not look for.
  session.terminal.warn(`Putting ${load.perSecond} keys a second for ${perfMs / 1000} s.`);
  const interruption = new Interruption();
  const isOver = (sinceMs: number): boolean => sinceMs >= perfMs || interruption.signal.aborted;
  let result: LoadResult;
  try {
    const shape = { prefix: bytesOf(prefix), ...perfShape };
    result = await new Load(clients, shape).putEvenly(load.perSecond, isOver);
    await cleanUp(client, line, session).catch((error: unknown) => {
      session.terminal.line(
        `FAIL: Cleanup failed during key deletion: ERROR(${failureText(error)})`,
      );
    });
  } finally {
    interruption.end();
  }
  const fails = result.failures.size > 0;
  if (fails) tellFailures(result, session);
  const passes = judge(result, load, session) && !fails;
  session.terminal.line(passes ? 'PASS' : 'FAIL');
  if (!passes) throw new ExitError(ExitCode.error, '');
}

async function memoryOf(when: string, endpoint: string, session: Session): Promise<number> {
  const { options } = await session.settings();
  try {
    return await residentMemory(endpoint, options.tls);
  } catch (error) {
    session.terminal.line(failureText(error));
    session.terminal.line(`FAIL: Could not read process_resident_memory_bytes ${when}.`);
    throw new ExitError(ExitCode.error, '');
  }
}

async function datascale(line: CommandLine, session: Session): Promise<void> {
  const { keys, clients: count } = dataLoads[sizeOf(line)];
  const prefix = line.flags.text('prefix');
  const clients = await clientsOf(session, count);
  const [client] = clients;
  await refuseKeys(client, prefix);
  const endpoint = client.endpoints[0] ?? '';
  const before = await memoryOf('before the put operations', endpoint, session);
  const { keyBytes, valueBytes } = dataShape;
  const work = `${keys} key-value pairs, ${keyBytes + valueBytes} bytes per key-value`;
  session.terminal.line(
    `Start data scale check for work load [${work}, ${count} concurrent clients].`,
  );
  await session.terminal.flush();
  const load = new Load(clients, { prefix: bytesOf(prefix), ...dataShape });
  const result = await load.putAll(keys);
  const after = await memoryOf('after the put operations', endpoint, session);
  await cleanUp(client, line, session);
  if (result.failures.size > 0) {
    tellFailures(result, session);
    throw new ExitError(ExitCode.error, '');
  }
  const used = ((after - before) / mebibyte).toFixed(2);
  session.terminal.line(`PASS: Approximate system memory used : ${used} MB.`);
}

const flagsWith = (prefix: string): readonly FlagDefinition[] => [
  {
    name: 'load',
    type: 'string',
    fallback: 's',
    help: 's (small), m (medium), l (large) or xl (xLarge)',
    choices: Object.keys(sizes),
  },
  { name: 'prefix', type: 'string', fallback: prefix, help: 'where the keys are put' },
  { ...off, name: 'auto-compact', help: 'compact afterwards' },
  { ...off, name: 'auto-defrag', help: 'defragment every endpoint afterwards' },
];

export const checkCommand: CommandDefinition = {
  name: 'check',
  usage: '<subcommand>',
  summary: 'Whether the cluster keeps up',
  flags: [],
  commands: [
    {
      name: 'perf',
      usage: '[options]',
      summary: 'Put keys for a minute and tell whether the cluster keeps up',
      description:
        'Puts 150 keys a second from 50 clients, or with --load m 1,000 from 200, l 8,000 from\n' +
        '500, xl 15,000 from 1,000. It passes with 90 % of that, no request above 500 ms and a\n' +
        'standard deviation of at most 100 ms. The keys are deleted afterwards.',
      examples: [{ line: 'check perf --load m', tells: 'a medium load' }],
      flags: flagsWith('/etcdctl-check-perf/'),
      run: perf,
    },
    {
      name: 'datascale',
      usage: '[options]',
      summary: 'Put many keys and tell how much memory they take',
      description:
        'Puts 10,000 keys of 1 KiB, or with --load m 100,000, l 1,000,000, xl 3,000,000, and\n' +
        'asks the first endpoint for its memory before and after. The keys are deleted afterwards.',
      examples: [{ line: 'check datascale --auto-compact', tells: 'and forgets them' }],
      flags: flagsWith('/etcdctl-check-datascale/'),
      run: datascale,
    },
  ],
};
