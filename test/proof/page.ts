/** The page of proofs and its charts, from results and from nothing else. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { table } from '../report/markdown.ts';
import type { PartName } from './figures.ts';
import type { RecordedRange } from './ledger.ts';
import { commitsOf, hasPassed, type Result, type Results } from './results.ts';
import { bugsSection, simulationSection, tracesSection } from './simulated-sections.ts';
import { nemesisSection } from './nemesis-section.ts';
import type { Section } from './section.ts';
import { crashesSection, damageSection, fuzzSection, powerSection } from './storage-sections.ts';

export interface PageInput {
  readonly results: Results;
  readonly ledger: readonly RecordedRange[];
  /** Not all results are of one commit. */
  readonly isMixed: boolean;
}

export interface Page {
  readonly text: string;
  /** Charts by the names of their files, which the page shows. */
  readonly charts: ReadonlyMap<string, string>;
}

const introduction = `# Proof

What was tried to break the promises of the [README](../README.md), and what came of it. Everything
here is written by \`npm run proof\` from results of the commit named with each part; the same
command on the same commit runs it again ([test/proof](../test/proof/README.md)). How the parts
work: [simulation](../test/sim/README.md), [real processes](../test/nemesis/README.md),
[architecture](../ARCHITECTURE.md).
`;

const mixedWarning = `
**The parts below are not all of one commit**, or files differed from it (\`+\`): the table says
which is of which.
`;

/** In the order of the page. */
export function pageOf({ results, ledger, isMixed }: PageInput): Page {
  const sections: readonly (readonly [PartName, Section])[] = [
    ['simulation', simulationSection(results.simulation, ledger)],
    ['traces', tracesSection(results.traces)],
    ['bugs', bugsSection(results.bugs)],
    ['nemesis', nemesisSection(results.nemesis)],
    ['damage', damageSection(results.damage)],
    ['crashes', crashesSection(results.crashes)],
    ['power', powerSection(results.power)],
    ['fuzz', fuzzSection(results.fuzz)],
  ];
  const overview = table(
    ['part', 'what was done', 'verdict', 'commit', 'Node'],
    sections.map(([name, { title, summary }]) => {
      const part: readonly Result[] = results[name];
      const nodes = [...new Set(part.map(({ node }) => node))].sort();
      if (part.length === 0) return [title, 'not run', '', '', ''];
      const verdict = hasPassed(part) ? 'passed' : '**FAILED**';
      return [title, summary, verdict, commitsOf(part).join(', '), nodes.join(', ')];
    }),
  );
  const bodies = sections
    .filter(([name]) => results[name].length > 0)
    .map(([, { title, body }]) => `\n## ${title}\n\n${body.trim()}\n`);
  const text = [introduction, isMixed ? mixedWarning : '', '\n', overview, ...bodies].join('');
  return { text, charts: new Map(sections.flatMap(([, { charts }]) => [...charts])) };
}

/** Returns the path of the page. */
export function writePage(directory: string, input: PageInput): string {
  const { text, charts } = pageOf(input);
  mkdirSync(directory, { recursive: true });
  for (const [name, chart] of charts) writeFileSync(join(directory, name), chart);
  const path = join(directory, 'proof.md');
  writeFileSync(path, text);
  return path;
}
