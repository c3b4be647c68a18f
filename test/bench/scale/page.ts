/** The page of the scale benchmark, from measurements and from nothing else. */
import { grouped, table } from '../../report/markdown.ts';
import { machineOf } from '../page.ts';
import type { MemberSystem } from '../systems.ts';
import type { PhaseName, ScaleFigures, ScaleMeasurements, ScaleTurn } from './figures.ts';
import { turnText } from './turns.ts';

/** What each phase is, and whether puts went on beside it. */
const phases: readonly (readonly [PhaseName, string])[] = [
  ['load', 'put all keys, a hundred in a transaction, 8 under way'],
  ['restart', 'a follower is stopped and is ready again'],
  ['quiet', 'nothing but the puts'],
  ['join', 'a new member gets everything and answers'],
  ['overwrite', 'keys are overwritten, a hundred in a transaction'],
  ['compaction', 'what was overwritten is compacted and removed'],
];

export function scalePageOf({ commit, begun, machine, turns }: ScaleMeasurements): string {
  const compared = machine.etcd === undefined ? 'etcd was not installed' : `etcd ${machine.etcd}`;
  const amounts = [...new Set(turns.map(({ keys }) => keys))];
  const sections = amounts.map((keys) => sectionOf(keys, turns));
  return `# Many keys

Three members on loopback with keys of 256 bytes each. Everything here is written by
\`npm run bench:scale\` from [benchmarks-scale.json](benchmarks-scale.json).

- Quorate ${commit}; compared with ${compared}
- ${machineOf(machine)}
- begun ${begun}, when the load of the machine was ${grouped(machine.loadAverage)}

From the third phase on, 500 puts a second go to random keys; they count from when they were due.
A turn is what an event loop does before it looks for what is new; it is measured by the CPU time of
its thread, at any of our members.

${sections.join('\n')}`;
}

function sectionOf(keys: number, turns: readonly ScaleTurn[]): string {
  const turnOf = (system: MemberSystem): ScaleTurn | undefined =>
    turns.find((turn) => turn.system === system && turn.keys === keys);
  const [ours, theirs] = [turnOf('ours'), turnOf('etcd')];
  const failures = [ours, theirs].flatMap((turn) =>
    turn?.failed === undefined ? [] : [`**Failed**, ${turn.system}: ${turn.failed.split('\n')[0]}`],
  );
  const both = (value: (figures: ScaleFigures) => string): string[] =>
    [ours, theirs].map((turn) => (turn?.figures === undefined ? '' : value(turn.figures)));
  const memory = table(
    ['all members together', 'ours', 'etcd'],
    [
      ['MB without keys', ...both(({ emptyBytes }) => megabytes(emptyBytes))],
      ['MB with all keys', ...both(({ fullBytes }) => megabytes(fullBytes))],
      ['bytes for a key at a member', ...both((figures) => grouped(bytesOfKey(figures)))],
    ],
  );
  const heads = ['phase', 's ours', 's etcd', 'put p50 / p99 ms ours', 'etcd', 'longest turn ms'];
  const rows = phases.map(([name, title]) => [
    title,
    ...both((figures) => figures.phases[name].seconds.toFixed(1)),
    ...both(({ phases: { [name]: phase } }) => latencyText(phase.latencies)),
    turnText(ours?.figures?.phases[name].longestTurnMs),
  ]);
  return `## ${grouped(keys)} keys

${failures.map((line) => `${line}\n\n`).join('')}${memory}
${table(heads, rows)}`;
}

const members = 3;

const bytesOfKey = ({ emptyBytes, fullBytes, keys }: ScaleFigures): number =>
  Math.round((fullBytes - emptyBytes) / keys / members);

export const megabytes = (bytes: number): string => grouped(Math.round(bytes / 1e6));

function latencyText(latencies: { p50: number; p99: number } | undefined): string {
  return latencies === undefined ? '' : `${latencies.p50.toFixed(1)} / ${latencies.p99.toFixed(1)}`;
}
