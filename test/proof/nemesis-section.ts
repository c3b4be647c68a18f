/** What came of real processes under faults. */
import { barChart, dotChart } from '../report/charts.ts';
import { grouped, image, table } from '../report/markdown.ts';
import type { NemesisFigures } from './figures.ts';
import type { Result } from './results.ts';
import { counted, failuresOf, figuresOf, type Section, sumOf, tally } from './section.ts';

const faultsChart = 'proof-faults-processes.svg';
const silenceChart = 'proof-silence.svg';

/** Faults at named steps are of one class each, wherever they happen. */
const classes: readonly (readonly [RegExp, string])[] = [
  [/^killed at /, 'death at a named step'],
  [/^fail(ed)? at /, 'write error at a named step'],
  [/^delay at /, 'stall at a named step'],
];

function classOf(kind: string): string {
  return classes.find(([pattern]) => pattern.test(kind))?.[1] ?? kind;
}

export function nemesisSection(results: readonly Result<NemesisFigures>[]): Section {
  const all = figuresOf(results).flatMap(({ runs }) => runs);
  const made = all.filter(({ verdict }) => verdict !== 'skipped');
  const faults = tally(
    made.map((run) => {
      const entries = Object.entries(run.faults);
      return tally(entries.map(([kind, count]) => ({ [classOf(kind)]: count })));
    }),
  );
  const faultCount = sumOf(Object.values(faults), (count) => count);
  const acknowledged = sumOf(made, (run) => run.acknowledged);
  const scenarios = [...new Set(all.map(({ scenario }) => scenario))].sort();
  const runsOf = (scenario: string): typeof all => made.filter((run) => run.scenario === scenario);
  const rows = scenarios.map((scenario) => {
    const runs = runsOf(scenario);
    const [first] = all.filter((run) => run.scenario === scenario && run.verdict === 'skipped');
    return [
      scenario,
      runs.length,
      sumOf(runs, (run) => run.acknowledged),
      sumOf(runs, (run) => sumOf(Object.values(run.faults), (count) => count)),
      sumOf(runs, ({ checked }) => checked.operations),
      sumOf(runs, ({ checked }) => checked.watchedEvents),
      sumOf(runs, ({ checked }) => checked.states),
      verdictOf(runs.filter(({ verdict }) => verdict === 'failed').length, first?.reasons[0]),
    ];
  });
  const heads = ['scenario', 'runs', 'acknowledged', 'faults'];
  const checkHeads = ['operations checked', 'events checked', 'states compared', 'verdict'];
  const seconds = sumOf(made, (run) => run.seconds);
  const undecided = sumOf(made, ({ checked }) => checked.undecided);
  return {
    title: 'Real processes under faults',
    summary:
      `${counted(made.length, 'run')} of ${counted(scenarios.length, 'scenario')}, ` +
      `${counted(acknowledged, 'operation')} acknowledged, ${counted(faultCount, 'fault')}`,
    body: `
Three or five servers on loopback, killed, paused, restarted, cut off from each other, slowed down,
and made to fail at named steps, while clients work and watchers watch. In all
${counted(seconds, 'second')} of attacks; every history was checked as those of simulations are.
Checks that could not be decided: ${undecided === 0 ? 'none' : undecided}.

${table([...heads, ...checkHeads], rows)}${failureReasons(made)}${failuresOf(results)}
${image(faultsChart, 'Faults of real processes, by class')}
How long nobody's write was acknowledged, at most, in each run. It includes times without a quorum,
for which no cluster can be blamed, all that a busy machine adds, and up to five seconds at the end
of a run, when clients have stopped and the leases that are left expire.

${image(silenceChart, 'Longest time without an acknowledged write, by scenario')}`,
    charts: new Map([
      [
        faultsChart,
        barChart(
          {
            title: 'Faults of real processes, by class',
            subtitle: `How often each happened in ${counted(made.length, 'run')}`,
          },
          Object.entries(faults).map(([name, value]) => ({ label: name, value })),
        ),
      ],
      [
        silenceChart,
        dotChart(
          {
            title: 'Longest time without an acknowledged write',
            subtitle: 'A dot for each run, by scenario; further left is better',
          },
          {
            from: 10,
            to: 100_000,
            unit: 'a factor of ten from line to line',
            tick: (value) => (value < 1000 ? `${value} ms` : `${value / 1000} s`),
          },
          scenarios.map((scenario) => ({
            label: scenario,
            values: runsOf(scenario).map((run) => run.longestSilenceMs),
            ...(runsOf(scenario).length === 0 && { instead: 'skipped' }),
          })),
        ),
      ],
    ]),
  };
}

function verdictOf(failed: number, skippedBecause: string | undefined): string {
  if (failed > 0) return `**${grouped(failed)} failed**`;
  return skippedBecause === undefined ? 'passed' : `skipped, as ${skippedBecause}`;
}

function failureReasons(runs: NemesisFigures['runs']): string {
  const failed = runs.filter(({ verdict }) => verdict === 'failed');
  if (failed.length === 0) return '';
  const lines = failed.map(({ scenario, seed, members, reasons }) => {
    return `- ${scenario}, seed ${seed}, ${members} members: ${reasons.join('; ')}\n`;
  });
  return `\n${lines.join('')}`;
}
