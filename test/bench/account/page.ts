/** The page of the account, from its data and from nothing else. */
import { grouped, table } from '../../report/markdown.ts';
import type { Machine } from '../measurements.ts';
import { machineOf } from '../page.ts';
import type { Account, WorkloadAccount } from './account.ts';
import { stageNames } from './stages.ts';

export interface AccountData {
  readonly commit: string;
  /** As in ISO 8601. */
  readonly begun: string;
  readonly machine: Machine;
  readonly accounts: readonly WorkloadAccount[];
  /** Microseconds of CPU that a server on grpc-js takes that only answers, by workload. */
  readonly ceilings: Readonly<Record<string, number>>;
}

const titles: Readonly<Record<string, string>> = {
  kernel: 'kernel (system calls of the event loop)',
  'native code': 'native code (libuv, the engine)',
  collector: 'garbage collector, on the thread of the event loop',
  'HTTP/2 and streams': 'HTTP/2 and streams',
  gRPC: 'gRPC',
  codec: 'codecs of messages',
  API: 'checks and handlers of the API',
  server: 'server: waiting, batches, reads by index',
  raft: 'Raft core and its driver',
  transport: 'messages between members',
  log: 'log',
  apply: 'apply',
  state: 'state: revisions, keys, backend',
  watch: 'watches',
  other: 'timers, promises and what belongs to nobody',
  'other threads': 'other threads: LevelDB, libuv, collector',
};

export function accountPageOf({ commit, begun, machine, accounts, ceilings }: AccountData): string {
  const sections = accounts.map((account) => sectionOf(account, ceilings[account.workload]));
  return `# Where the time goes

Microseconds of CPU that one request costs three members, by stage, from profiles of the members
under load. Written by \`npm run bench:account\` from
[benchmarks-account.json](benchmarks-account.json).

- Quorate ${commit}
- ${machineOf(machine)}
- begun ${begun}, when the load of the machine was ${grouped(machine.loadAverage)}

A sample of a profile belongs to the innermost frame that is somebody's: buffers, events and
LevelDB's binding count for who called them. Time in the kernel is the system's count for the thread
of the event loop, and is taken from what the profiles call native. A profiler slows members down,
and they do not stay awake for what comes soon (\`--busy-poll=false\`), as a profile takes that for
work: rates here are below those of the benchmark.

${sections.join('\n')}`;
}

function sectionOf(account: WorkloadAccount, ceiling: number | undefined): string {
  const { title, perSecond, leader, follower } = account;
  const stages = [...stageNames, 'other threads'] as const;
  const rows = stages
    .filter((stage) => text(leader[stage]) !== '' || text(follower[stage]) !== '')
    .map((stage) => [titles[stage] ?? stage, text(leader[stage]), text(follower[stage])]);
  rows.push(['**sum**', `**${text(sumOf(leader))}**`, `**${text(sumOf(follower))}**`]);
  const limit =
    ceiling === undefined
      ? ''
      : `\nA server on grpc-js that answers the same bytes again and again: ${text(ceiling)} µs.\n`;
  return `## ${title}

${grouped(Math.round(perSecond))} a second while profiled.

${table(['µs of CPU for one request', 'leader', 'a follower'], rows)}${limit}`;
}

const sumOf = (account: Account): number => Object.values(account).reduce((sum, us) => sum + us, 0);

/** Empty for what rounds to nothing. */
function text(us: number | undefined): string {
  const rounded = (us ?? 0).toFixed(1);
  return rounded === '0.0' ? '' : rounded;
}
