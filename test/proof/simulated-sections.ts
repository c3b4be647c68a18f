/** What came of simulated clusters: seeds, equal traces, planted mistakes. */
import { plantedBugs } from '../sim/bugs/index.ts';
import { rangesOf } from '../sim/summary.ts';
import { barChart, dotChart } from '../report/charts.ts';
import { grouped, image, table } from '../report/markdown.ts';
import type { BugFigures, SimulationFigures, TraceFigures } from './figures.ts';
import type { RecordedRange } from './ledger.ts';
import type { Result } from './results.ts';
import { counted, failuresOf, figuresOf, type Section, sumOf, tally } from './section.ts';

const msPerHour = 3_600_000;
const faultsChart = 'proof-faults-simulated.svg';
const pointsChart = 'proof-points-simulated.svg';
const bugsChart = 'proof-bugs.svg';

function rangesText(figures: readonly SimulationFigures[]): string {
  const seeds = figures.flatMap(({ ranges }) =>
    ranges.flatMap(({ first, last }) =>
      Array.from({ length: last - first + 1 }, (_, i) => first + i),
    ),
  );
  return rangesOf(seeds)
    .map(({ first, last }) => `${grouped(first)} to ${grouped(last)}`)
    .join(', ');
}

export function simulationSection(
  results: readonly Result<SimulationFigures>[],
  ledger: readonly RecordedRange[],
): Section {
  const figures = figuresOf(results);
  const total = (field: 'seeds' | 'counted' | 'answered' | 'operations' | 'elections'): number =>
    sumOf(figures, (each) => each[field]);
  const hours = sumOf(figures, ({ virtualMs }) => virtualMs) / msPerHour;
  const faults = tally(figures.map((each) => each.faults));
  const faultCount = sumOf(Object.values(faults), (count) => count);
  const points = tally(figures.map((each) => each.points));
  const failed = figures.flatMap((each) => each.failed);
  const rows: readonly (readonly [string, string | number])[] = [
    ['seeds', rangesText(figures)],
    ['seeds that saw enough to count', total('counted')],
    ['seeds that broke something', failed.length === 0 ? 'none' : failed.join(', ')],
    ['virtual hours', hours],
    ['operations', total('operations')],
    ['operations acknowledged', total('answered')],
    ['faults', faultCount],
    ['members struck at a named step', sumOf(Object.values(points), (count) => count)],
    ['elections', total('elections')],
    ['messages delivered', sumOf(figures, ({ messages }) => messages)],
    ['histories checked', total('seeds')],
    ['records of watches checked', sumOf(figures, ({ watchRecords }) => watchRecords)],
    ['states compared', sumOf(figures, ({ statesCompared }) => statesCompared)],
  ];
  const chart = barChart(
    {
      title: 'Faults in simulated clusters, by class',
      subtitle: `How often each happened in ${counted(total('seeds'), 'run')}`,
    },
    Object.entries(faults).map(([name, value]) => ({ label: name, value })),
  );
  const struck = barChart(
    {
      title: 'Members struck at a step of their work',
      subtitle: 'How often a member died, or its write failed, at each named step',
    },
    Object.entries(points).map(([name, value]) => ({ label: name, value })),
  );
  const body = `
Whole clusters in virtual time: a seed decides members, clients, faults and every delay. While a run
goes on, Raft's invariants are checked after every step; at its end every answer and every event of
its history.

${table(['figure', 'value'], rows)}${failuresOf(results)}
${image(faultsChart, 'Faults in simulated clusters, by class')}
${image(pointsChart, 'Members struck in simulated clusters, by the step of their work')}
${recordedText(ledger)}`;
  return {
    title: 'Simulation',
    summary:
      `${counted(total('seeds'), 'seed')}, ${grouped(hours)} virtual hours, ` +
      `${counted(total('answered'), 'operation')} acknowledged, ${counted(faultCount, 'fault')}`,
    body,
    charts: new Map([
      [faultsChart, chart],
      [pointsChart, struck],
    ]),
  };
}

/** Seeds of all commits; the same seed of another commit is another run. */
function recordedText(ledger: readonly RecordedRange[]): string {
  const seeds = sumOf(ledger, (range) => range.seeds);
  const hours = sumOf(ledger, ({ virtualHours }) => virtualHours);
  const commits = new Set(ledger.map(({ commit }) => commit)).size;
  const rows = ledger.map((range) => [
    range.commit,
    `${grouped(range.from)} to ${grouped(range.from + range.seeds - 1)}`,
    range.seeds,
    range.failed,
    range.virtualHours,
    range.node,
  ]);
  return `
Recorded so far, with ranges of earlier commits: ${counted(seeds, 'seed')} and ${grouped(hours)}
virtual hours, on ${counted(commits, 'commit')}.

${table(['commit', 'seeds', 'count', 'failed', 'virtual hours', 'Node'], rows)}`;
}

export function tracesSection(results: readonly Result<TraceFigures>[]): Section {
  const versions = results.map(({ node }) => node);
  const figures = figuresOf(results);
  const seeds = Math.max(0, ...figures.map(({ hashes }) => Object.keys(hashes).length));
  const isSame = new Set(figures.map(({ traces }) => traces)).size <= 1;
  const differing = figures.flatMap((each) => each.differing);
  const twice = differing.length === 0 ? 'equal' : `differing: ${differing.join(', ')}`;
  const across = isSame ? 'equal on all' : '**different** between versions';
  const rows = results.map(({ node, figures: each }) => [
    node,
    each === null ? '' : Object.keys(each.hashes).length,
    each === null ? '' : each.differing.length,
    each === null ? '' : `\`${each.traces}\``,
  ]);
  return {
    title: 'Equal traces',
    summary:
      `${counted(seeds, 'seed')} twice on Node ${versions.join(' and ')}: ` + `${twice}, ${across}`,
    body: `
A run is replayed from its seed alone: every seed ran twice on each version of Node, and everything
that happened had to be the same, in the same order.

${table(['Node', 'seeds, twice', 'differing', 'hash of all traces'], rows)}${failuresOf(results)}`,
    charts: new Map(),
  };
}

export function bugsSection(results: readonly Result<BugFigures>[]): Section {
  const figures = figuresOf(results);
  const hunted = figures.flatMap(({ bugs }) => bugs).toSorted((a, b) => a.seeds - b.seeds);
  const caught = hunted.filter(({ rule }) => rule !== undefined);
  const missed = hunted.filter(({ rule }) => rule === undefined);
  const sorted = [...caught, ...missed];
  const most = Math.max(1, ...sorted.map(({ seeds }) => seeds));
  const chart = dotChart(
    {
      title: 'Seeds until a planted mistake was caught',
      subtitle: 'One mistake each, planted in a sound server; further left is sooner',
    },
    {
      from: 1,
      to: 10 ** Math.max(1, Math.ceil(Math.log10(most))),
      unit: 'seeds, a factor of ten from line to line',
      tick: (value) => grouped(value),
    },
    sorted.map(({ id, rule, seeds }) =>
      rule === undefined
        ? { label: id, values: [], instead: `not caught within ${grouped(seeds)}` }
        : { label: id, values: [seeds] },
    ),
  );
  const rows = sorted.map(({ id, mistake, title, rule, seeds }) => [
    mistake,
    `\`${id}\``,
    title,
    rule === undefined ? `not within ${grouped(seeds)}` : seeds,
    rule ?? '**not caught**',
  ]);
  const later = figures[0]?.later ?? [];
  const middle = caught[Math.floor((caught.length - 1) / 2)]?.seeds ?? 0;
  return {
    title: 'Planted mistakes',
    summary:
      `${caught.length} of ${counted(hunted.length, 'mistake')} caught, ` +
      `half of them within ${counted(middle, 'seed')}` +
      (hunted.length < plantedBugs.length ? `; ${plantedBugs.length} are known` : ''),
    body: `
Checks that find nothing prove nothing. So mistakes that others made are planted in the server, one
at a time, and the simulator must find each. Numbers name classic mistakes, words the part of the
server.

${image(bugsChart, 'Seeds until each planted mistake was caught')}
${table(['mistake', 'name', 'what is wrong', 'seeds until caught', 'caught by'], rows)}
${
  later.length === 0
    ? ''
    : `Not planted, as what they are about does not exist yet:

${table(
  ['mistake', 'what would be wrong', 'comes with'],
  later.map(({ mistake, title, comesWith }) => [mistake, title, comesWith]),
)}`
}${failuresOf(results)}`,
    charts: new Map([[bugsChart, chart]]),
  };
}
