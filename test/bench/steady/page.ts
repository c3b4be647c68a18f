/** The page of the steady benchmark, from measurements and from nothing else. */
import { grouped, table } from '../../report/markdown.ts';
import { machineOf } from '../page.ts';
import { megabytes } from '../scale/page.ts';
import { turnText } from '../scale/turns.ts';
import {
  holdingNames,
  type Holdings,
  type SteadyMeasurements,
  type SteadyWindow,
  trendOf,
} from './figures.ts';

const titles: Readonly<Record<keyof Holdings, string>> = {
  residentBytes: 'MB resident',
  heapBytes: 'MB of heap',
  externalBytes: 'MB of buffers',
  openFiles: 'open files',
  diskBytes: 'MB on disk',
};

export function steadyPageOf(measurements: SteadyMeasurements): string {
  const { commit, begun, machine, keys, highestPerSecond, perSecond, windows } = measurements;
  const heads = [
    'minutes',
    'puts',
    'put p50 / p99 ms',
    ...holdingNames.map((name) => titles[name]),
    'longest turn ms',
  ];
  const trends = table(
    ['', 'second third of the time', 'last third, median', 'beyond the second'],
    holdingNames.map((name) => [titles[name], ...trendText(windows, name)]),
  );
  return `# Half of the load, for long

Three members on loopback take puts of 256 bytes to ${grouped(keys)} keys at half of the rate that
one client reaches with 100 under way, and forget history that is older than a minute. Everything
here is written by \`npm run bench:steady\` from [benchmarks-steady.json](benchmarks-steady.json).

- Quorate ${commit}
- ${machineOf(machine)}
- begun ${begun}, when the load of the machine was ${grouped(machine.loadAverage)}
- ${grouped(perSecond)} puts a second of ${grouped(highestPerSecond)}; they count from when they
  were due

What members hold is that of all three together: medians of samples, of the heap the least sample.
A turn is what an event loop does before it looks for what is new, by the CPU time of its thread,
at any one of them.

${table(heads, windows.map(rowOf))}
${trends}`;
}

function rowOf({
  untilSeconds,
  puts,
  latencies: { p50, p99 },
  holdings,
  longestTurnMs,
}: SteadyWindow): string[] {
  return [
    grouped(untilSeconds / 60),
    grouped(puts),
    `${p50.toFixed(1)} / ${p99.toFixed(1)}`,
    ...holdingNames.map((name) => held(name, holdings[name])),
    turnText(longestTurnMs),
  ];
}

const held = (name: keyof Holdings, value: number): string =>
  name === 'openFiles' ? grouped(value) : megabytes(value);

function trendText(windows: readonly SteadyWindow[], name: keyof Holdings): string[] {
  const trend = trendOf(windows, name);
  if (trend === undefined) return ['', '', ''];
  const { least, most, last } = trend;
  const beyond = last > most ? `+${((last / most - 1) * 100).toFixed(1)} %` : 'no';
  return [`${held(name, least)} to ${held(name, most)}`, held(name, last), beyond];
}
