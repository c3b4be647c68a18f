/** What sections of the page are made of. */
import { grouped } from '../report/markdown.ts';
import type { Result } from './results.ts';

export interface Section {
  readonly title: string;
  /** One line for the overview. */
  readonly summary: string;
  /** Markdown. */
  readonly body: string;
  /** By the names of their files. */
  readonly charts: ReadonlyMap<string, string>;
}

/** A count and what is counted: `1 seed`, `2,000 seeds`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${grouped(count)} ${count === 1 ? one : many}`;
}

export function sumOf<Item>(items: readonly Item[], value: (item: Item) => number): number {
  return items.reduce((sum, item) => sum + value(item), 0);
}

/** Adds up counts by name. */
export function tally(
  counts: readonly Readonly<Partial<Record<string, number>>>[],
): Record<string, number> {
  const total: Record<string, number> = {};
  for (const each of counts) {
    for (const [name, count] of Object.entries(each))
      total[name] = (total[name] ?? 0) + (count ?? 0);
  }
  return total;
}

/** The figures that there are. */
export function figuresOf<Figures>(results: readonly Result<Figures>[]): readonly Figures[] {
  return results.flatMap(({ figures }) => (figures === null ? [] : [figures]));
}

/** Pieces that failed, or left nothing: never left out. Empty if there are none. */
export function failuresOf(results: readonly Result[]): string {
  const failed = results.filter(({ status, figures }) => status !== 0 || figures === null);
  if (failed.length === 0) return '';
  const lines = failed.map(({ key, status, figures }) => {
    return `- \`${key}\`: exit code ${status}${figures === null ? ', left no figures' : ''}\n`;
  });
  return `\n**Failed:**\n\n${lines.join('')}`;
}
