/** docs/compatibility.md, as tests read it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const path = join(import.meta.dirname, '..', '..', 'docs', 'compatibility.md');

export type SupportState = 'works' | 'differs' | 'refused' | 'no effect' | 'not built';

const states: readonly string[] = ['works', 'differs', 'refused', 'no effect', 'not built'];

export interface SupportRow {
  /** Without backticks. */
  readonly name: string;
  /** Between name and state. */
  readonly more: readonly string[];
  readonly state: SupportState;
  readonly text: string;
}

/** The cells of the lines of the tables below a heading, without heads. */
export function cellsBelow(heading: string): readonly (readonly string[])[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  const begin = lines.findIndex((line) => line.replace(/^#+ /, '') === heading);
  if (begin < 0) throw new Error(`docs/compatibility.md has no heading ${heading}`);
  const length = lines.slice(begin + 1).findIndex((line) => line.startsWith('#'));
  const section = lines.slice(begin + 1, length < 0 ? undefined : begin + 1 + length);
  return section
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
    .slice(2);
}

/** The rows of a table whose last columns are state and differences. */
export function rowsBelow(heading: string): readonly SupportRow[] {
  const rows = cellsBelow(heading).map((cells): SupportRow => {
    const [name = '', ...rest] = cells;
    const [state = '', text = ''] = rest.slice(-2);
    if (!states.includes(state)) throw new Error(`${name}: '${state}' is no state`);
    const more = rest.slice(0, -2);
    return { name: name.replaceAll('`', ''), more, state: state as SupportState, text };
  });
  if (rows.length === 0) throw new Error(`docs/compatibility.md has no table below ${heading}`);
  return rows;
}

/** What there is in the program, and the states that its row may have. */
export interface Supported {
  readonly name: string;
  readonly states: readonly SupportState[];
  /** What a new row would be, if more is known than the name. */
  readonly row?: string;
}

/**
 * What is to be done to the table below `heading` so that it tells of the program; nothing if it
 * does. Rows of what the program lacks are fine in the state `not built`.
 */
export function corrections(heading: string, program: readonly Supported[]): string[] {
  const rows = rowsBelow(heading);
  const found = new Map(program.map((each) => [each.name, each]));
  const wildcards = rows.filter(({ name }) => name.endsWith('*')).map(({ name }) => name);
  const covers = (wildcard: string, name: string): boolean =>
    name.startsWith(wildcard.slice(0, -1));
  const changes: string[] = [];
  for (const { name, states: possible, row } of program) {
    if (rows.some((each) => each.name === name)) continue;
    if (wildcards.some((wildcard) => covers(wildcard, name))) continue;
    const cells = row ?? `| \`${name}\` | ${possible[0] ?? ''} | |`;
    changes.push(`below "${heading}" add the row: ${cells}`);
  }
  rows.forEach(({ name, state, text }, i) => {
    const supported = found.get(name);
    const isThere = name.endsWith('*')
      ? program.some((each) => covers(name, each.name))
      : supported !== undefined;
    const where = `below "${heading}", row \`${name}\`:`;
    if (rows.findIndex((each) => each.name === name) !== i)
      changes.push(`${where} remove it: twice`);
    if (!isThere && state !== 'not built') {
      changes.push(`${where} remove it, or say 'not built': the program has no such thing`);
    }
    if (supported !== undefined && !supported.states.includes(state)) {
      changes.push(`${where} the state must be ${supported.states.join(' or ')}, not ${state}`);
    }
    if (['differs', 'refused', 'no effect'].includes(state) && text === '') {
      changes.push(`${where} the last column must say how it differs`);
    }
  });
  return changes;
}
