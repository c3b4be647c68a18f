/** What came of damaged disks, power cuts and damaged input. */
import { type StackedBar, stackedChart } from '../report/charts.ts';
import { grouped, image, table } from '../report/markdown.ts';
import type { CrashFigures, DamageFigures, FuzzFigures, PowerFigures } from './figures.ts';
import type { Result } from './results.ts';
import { counted, failuresOf, figuresOf, type Section, sumOf, tally } from './section.ts';
import { colours } from '../report/svg.ts';

const damageChart = 'proof-damage.svg';

/** Known outcomes, with colour and meaning; an unknown one is shown too. */
const outcomes: readonly (readonly [name: string, colour: string, meaning: string])[] = [
  ['untouched', colours.green, 'nothing that counts was lost, and nobody noticed'],
  ['repaired', colours.blue, 'the member noticed and got back from the others what was lost'],
  ['refused', colours.purple, 'the member says what is damaged and does not start'],
  ['waiting', colours.red, 'no majority is sound: nobody leads, and they say what they wait for'],
];

const scopeTitles: Readonly<Record<string, string>> = {
  one: 'one of five members',
  minority: 'two of five',
  all: 'all five',
};

export function damageSection(results: readonly Result<DamageFigures>[]): Section {
  const cases = figuresOf(results)
    .flat()
    .map(({ case: title, outcome }) => {
      const parts = title.split(', ');
      return { target: parts[0] ?? '', scope: parts.at(-1) ?? '', outcome };
    });
  const others = [...new Set(cases.map(({ outcome }) => outcome))].filter(
    (name) => !outcomes.some(([known]) => known === name),
  );
  const legend = [
    ...outcomes.map(([name, colour]) => [name, colour] as const),
    ...others.map((name) => [name, colours.orange] as const),
  ];
  const targets = [...new Set(cases.map(({ target }) => target))];
  const rowsOf = (scope: string): StackedBar[] =>
    targets.map((target) => {
      const concerned = cases.filter((each) => each.target === target && each.scope === scope);
      return { label: target, counts: tally(concerned.map(({ outcome }) => ({ [outcome]: 1 }))) };
    });
  const panels = Object.entries(scopeTitles).map(([scope, title]) => ({
    title,
    rows: rowsOf(scope),
  }));
  const total = tally(cases.map(({ outcome }) => ({ [outcome]: 1 })));
  const named = legend.filter(([name]) => (total[name] ?? 0) > 0);
  const meanings = new Map(outcomes.map(([name, , meaning]) => [name, meaning]));
  return {
    title: 'Damaged files',
    summary:
      `${counted(cases.length, 'case')}: ` +
      named.map(([name]) => `${grouped(total[name] ?? 0)} ${name}`).join(', '),
    body: `
Every file of a member by its kind, damaged in every way, at one, two or all of five members.
Whatever comes of it, no answer may be wrong and nothing acknowledged may be missing from one.

${image(damageChart, 'Outcomes of damage by file and by members hit')}
${table(
  ['outcome', 'cases', 'meaning'],
  named.map(([name]) => [name, total[name] ?? 0, meanings.get(name) ?? '']),
)}${failuresOf(results)}`,
    charts: new Map([
      [
        damageChart,
        stackedChart(
          {
            title: 'What comes of damaged files',
            subtitle: 'Cases by file, by how many of five members were hit, and by outcome',
          },
          legend.filter(([name]) => (total[name] ?? 0) > 0),
          panels,
        ),
      ],
    ]),
  };
}

export function crashesSection(results: readonly Result<CrashFigures>[]): Section {
  const figures = figuresOf(results);
  const writes = sumOf(figures, (each) => each.writes);
  const recoveries = sumOf(figures, (each) => each.recoveries);
  const rows = figures.map((each) => [each.seed, each.operations, each.writes, each.recoveries]);
  return {
    title: 'Crashes at every write',
    summary: `${counted(writes, 'crash point')}, ${counted(recoveries, 'recovery', 'recoveries')}`,
    body: `
The power goes during each write of a script; all, none or part of the writes under way survive.
What is found afterwards is a prefix of the script that holds all that was acknowledged.

${table(['script', 'operations', 'writes', 'recoveries'], rows)}${failuresOf(results)}`,
    charts: new Map(),
  };
}

export function powerSection(results: readonly Result<PowerFigures>[]): Section {
  const figures = figuresOf(results).flat();
  const scenarios = [...new Set(figures.map(({ scenario }) => scenario))];
  const points = sumOf(figures, (each) => each.points);
  const starts = sumOf(figures, (each) => each.starts + each.processStarts);
  const failures = figures.flatMap((each) => each.failures);
  const rows = scenarios.map((scenario) => {
    const those = figures.filter((each) => each.scenario === scenario);
    return [
      scenario,
      sumOf(those, ({ calls }) => calls),
      sumOf(those, (each) => each.points),
      sumOf(those, (each) => each.starts),
      sumOf(those, ({ processStarts }) => processStarts),
      sumOf(those, (each) => each.failures.length),
    ];
  });
  const heads = ['recorded', 'calls', 'moments', 'starts', 'of processes', 'broken promises'];
  const broken = failures.map((text) => `- ${text}\n`).join('');
  return {
    title: 'Power cuts',
    summary: `${counted(points, 'moment')}, ${counted(starts, 'start')} on what was left`,
    body: `
The file operations of real members are recorded; at many moments the disk is made anew as a power
cut may have left it, and a member started on it. It must start, and hold what was promised.

${table(heads, rows)}${broken === '' ? '' : `\n${broken}`}${failuresOf(results)}`,
    charts: new Map(),
  };
}

export function fuzzSection(results: readonly Result<FuzzFigures>[]): Section {
  const figures = figuresOf(results).flat();
  const inputs = sumOf(figures, (each) => each.inputs);
  // More than a hundred messages are decoded in the same way: a line for each package.
  const groups = new Map<string, FuzzFigures[number][]>();
  for (const each of figures) {
    const group = /^(.+)\.[A-Z]\w*$/.exec(each.decoder)?.[1];
    const name = group === undefined ? each.decoder : `messages of ${group}`;
    groups.set(name, [...(groups.get(name) ?? []), each]);
  }
  const rows = [...groups].map(([name, those]) => {
    const verdicts = tally(those.map((each) => each.verdicts));
    return [
      those.length === 1 ? name : `${name}: ${those.length}`,
      sumOf(those, (each) => each.inputs),
      verdicts['accepted'] ?? 0,
      verdicts['refused'] ?? 0,
      verdicts['unchanged'] ?? 0,
    ];
  });
  return {
    title: 'Damaged input',
    summary: `${counted(figures.length, 'decoder')}, ${counted(inputs, 'input')}`,
    body: `
Everything that reads what came from elsewhere, given input that was damaged or made up. None may
crash, take long, or believe what an input says of its own size.

${table(['decoder', 'inputs', 'accepted', 'refused', 'unchanged'], rows)}${failuresOf(results)}`,
    charts: new Map(),
  };
}
