/** The page of the benchmark and its charts, from measurements and from nothing else. */
import { dotChart, type Dots } from '../report/charts.ts';
import { grouped, image, table } from '../report/markdown.ts';
import type { Machine, Measurements, Turn } from './measurements.ts';
import { generatorLimit, type Medians, type Row, rowsOf } from './summary.ts';
import type { SystemName } from './systems.ts';

export interface Page {
  readonly text: string;
  /** By the names of their files, which the page shows. */
  readonly charts: ReadonlyMap<string, string>;
}

export function pageOf(measurements: Measurements): Page {
  const sizes = [...new Set(measurements.turns.map(({ members }) => members))].sort(
    (a, b) => a - b,
  );
  const charts = new Map<string, string>();
  const sections = sizes.map((members) => {
    const rows = rowsOf(measurements, members);
    return rows.length === 0 ? '' : sectionOf(members, rows, charts);
  });
  const all = sizes.flatMap((members) => rowsOf(measurements, members));
  const parts = [
    introductionOf(measurements),
    failuresOf(measurements.turns),
    ...sections,
    ceilingOf(all),
    verdictsOf(measurements.turns),
    generatorsOf(all),
  ];
  return { text: parts.filter((part) => part !== '').join('\n'), charts };
}

function introductionOf({ commit, begun, seconds, rounds, machine }: Measurements): string {
  const compared = machine.etcd === undefined ? 'etcd was not installed' : `etcd ${machine.etcd}`;
  return `# Benchmarks

Quorate beside etcd on one machine, members and load together on loopback: ratios tell more than
rates. Everything here is written by \`npm run bench\` from [benchmarks.json](benchmarks.json); the
same command measures it again, and [test/bench](../test/bench/README.md) says how.

- Quorate ${commit}; compared with ${compared}
- ${machineOf(machine)}
- begun ${begun}, when the load of the machine was ${grouped(machine.loadAverage)};
  ${counted(rounds, 'round')} in turns, ${counted(seconds, 'second')} for each load; figures are
  medians

Both sync each write to disk before it is acknowledged, on the same file system. A turn starts new
members, and counts only if every call was answered without an error and with the bytes expected,
and the revision has grown by exactly what was sent.
`;
}

export function machineOf({
  cpu,
  cores,
  memoryBytes,
  kernel,
  fileSystem,
  node,
  h2load,
}: Machine): string {
  const memory = `${Math.round(memoryBytes / 1024 ** 3)} GiB`;
  const generator = h2load === undefined ? 'without h2load' : `h2load ${h2load}`;
  const hardware = `${cpu}, ${counted(cores, 'core')}, ${memory}`;
  return `${hardware}; Linux ${kernel}, ${fileSystem}; Node ${node}; ${generator}`;
}

const counted = (count: number, one: string): string =>
  `${grouped(count)} ${one}${count === 1 ? '' : 's'}`;

function failuresOf(turns: readonly Turn[]): string {
  const failed = turns.filter((turn) => turn.failed !== undefined);
  if (failed.length === 0) return '';
  const lines = failed.map(({ workload, members, system, round, failed: why = '' }) => {
    const [firstLine = ''] = why.split('\n');
    const where = `\`${workload}\`, ${counted(members, 'member')}, ${system}, round ${round}`;
    return `- ${where}: ${firstLine}\n`;
  });
  return `**Failed turns**, without figures:\n\n${lines.join('')}`;
}

const of = (row: Row, system: SystemName, value: (medians: Medians) => string): string => {
  const medians = row.systems[system];
  return medians === undefined ? '' : value(medians);
};

const both = (row: Row, value: (medians: Medians) => string): string[] => [
  of(row, 'ours', value),
  of(row, 'etcd', value),
];

const ratioText = (ratio: number | undefined): string =>
  ratio === undefined ? '' : ratio.toFixed(2);
const milliseconds = (value: number | undefined): string =>
  value === undefined ? '' : value.toFixed(value < 10 ? 2 : 0);

function sectionOf(members: number, rows: readonly Row[], charts: Map<string, string>): string {
  const name = members === 1 ? 'One member' : `${members} members`;
  const rates = table(
    ['workload', 'ours /s', 'etcd /s', 'ours / etcd', 'p50 ms ours', 'etcd', 'p99 ms ours', 'etcd'],
    rows.map((row) => [
      row.busyGenerators.length > 0 ? `${row.title} *` : row.title,
      ...both(row, ({ perSecond }) => grouped(Math.round(perSecond))),
      row.rateRatio === undefined ? '' : `**${ratioText(row.rateRatio)}**`,
      ...both(row, ({ p50 }) => milliseconds(p50)),
      ...both(row, ({ p99 }) => milliseconds(p99)),
    ]),
  );
  const costs = table(
    ['workload', 'CPU s ours', 'etcd', 'ours / etcd', 'peak MB ours', 'etcd'],
    rows.map((row) => [
      row.title,
      ...both(row, ({ cpuPerMillion }) => grouped(cpuPerMillion)),
      row.cpuRatio === undefined ? '' : `**${ratioText(row.cpuRatio)}**`,
      ...both(row, ({ peakBytes }) => grouped(Math.round(peakBytes / 1e6))),
    ]),
  );
  const pictures = [
    ratioChart(charts, `benchmarks-rate-${members}.svg`, rows, {
      title: `Operations a second, ours / etcd, ${counted(members, 'member')}`,
      subtitle: 'A dot for each round; to the right of 1 we do more. Powers of ten.',
      values: ({ rateRatios }) => rateRatios,
    }),
    ratioChart(charts, `benchmarks-cpu-${members}.svg`, rows, {
      title: `CPU time for an operation, ours / etcd, ${counted(members, 'member')}`,
      subtitle: 'All members together, a dot for each round; to the left of 1 we need less.',
      values: ({ cpuRatios }) => cpuRatios,
    }),
  ];
  return `## ${name}

${rates}
CPU seconds of all members for a million operations, and the memory that they held at most:

${costs}${pictures.map((picture) => (picture === '' ? '' : `\n${picture}`)).join('')}`;
}

interface RatioChart {
  readonly title: string;
  readonly subtitle: string;
  readonly values: (row: Row) => readonly number[];
}

/** The image's Markdown; empty where there is nothing to compare with. */
function ratioChart(
  charts: Map<string, string>,
  name: string,
  rows: readonly Row[],
  { title, subtitle, values }: RatioChart,
): string {
  const dots = rows
    .map((row): Dots => ({ label: row.workload, values: values(row) }))
    .filter((row) => row.values.length > 0);
  if (dots.length === 0) return '';
  const all = dots.flatMap((row) => [...row.values]);
  const axis = {
    from: 10 ** Math.min(-1, Math.floor(Math.log10(Math.min(...all)))),
    to: 10 ** Math.max(1, Math.ceil(Math.log10(Math.max(...all)))),
    unit: 'ours / etcd',
    // Powers come with the error of their last digit.
    tick: (value: number) => String(Number(value.toPrecision(3))),
  };
  charts.set(name, dotChart({ title, subtitle }, axis, dots));
  return image(name, title);
}

function ceilingOf(rows: readonly Row[]): string {
  const measured = rows.filter(({ systems }) => systems.constant !== undefined);
  if (measured.length === 0) return '';
  const lines = table(
    ['workload', 'ours /s', 'constant /s', 'ours / constant', 'constant, CPU s'],
    measured.map((row) => [
      row.title,
      of(row, 'ours', ({ perSecond }) => grouped(Math.round(perSecond))),
      of(row, 'constant', ({ perSecond }) => grouped(Math.round(perSecond))),
      ratioText(row.ceilingRatio),
      of(row, 'constant', ({ cpuPerMillion }) => grouped(cpuPerMillion)),
    ]),
  );
  return `## Beside a server on grpc-js

One that does nothing but answer with the same bytes, under the same load as one member of ours; CPU
seconds are for a million calls.

${lines}`;
}

function verdictsOf(turns: readonly Turn[]): string {
  const rows = turns.flatMap(({ workload, members, system, figures }) => {
    const verdict = figures?.verdict;
    if (verdict === undefined) return [];
    const result = verdict.passed ? 'PASS' : '**FAIL**';
    return [[workload, String(members), system, result, verdict.lines.join('; ')]];
  });
  if (rows.length === 0) return '';
  const heads = ['load', 'members', 'system', 'verdict', 'what it says'];
  return `## etcdctl check perf\n\n${table(heads, rows)}`;
}

function generatorsOf(rows: readonly Row[]): string {
  const busy = rows.filter(({ busyGenerators }) => busyGenerators.length > 0);
  if (busy.length === 0) return '';
  const lines = busy.map(({ workload, members, busyGenerators }) => {
    return `- \`${workload}\`, ${counted(members, 'member')}: ${busyGenerators.join(', ')}\n`;
  });
  return `## Busy generators

\\* The generator used more than ${generatorLimit * 100} % of its core, so it may be what limits the
rate: there, CPU time for an operation is the figure.

${lines.join('')}`;
}
