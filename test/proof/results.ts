/**
 * Results on disk: a file for each piece of a part, `docs/proof/PART/KEY.json`, complete or not
 * there at all, so that a proof that was stopped goes on with the next piece.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PartFigures, PartName } from './figures.ts';

/** What became of one piece. */
export interface Result<Figures = unknown> {
  /** Names the piece within its part: what was asked for. */
  readonly key: string;
  /** Sources that it is a result of; a `+` says that files differed from the commit. */
  readonly commit: string;
  /** Version of Node that ran it. */
  readonly node: string;
  readonly seconds: number;
  /** Exit code of the command: zero if nothing was wrong. */
  readonly status: number;
  /** Null if the command left none. */
  readonly figures: Figures | null;
}

export type Results = {
  readonly [Name in PartName]: readonly Result<PartFigures[Name]>[];
};

export class ResultsDirectory {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  save(part: PartName, result: Result): void {
    const directory = join(this.#path, part);
    mkdirSync(directory, { recursive: true });
    const path = join(directory, `${result.key}.json`);
    writeFileSync(`${path}.new`, `${JSON.stringify(result, undefined, 2)}\n`);
    renameSync(`${path}.new`, path);
  }

  /** In the order of their keys, numbers in them by value. */
  load<Name extends PartName>(part: Name): readonly Result<PartFigures[Name]>[] {
    let names: string[];
    try {
      names = readdirSync(join(this.#path, part));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
    return names
      .filter((name) => name.endsWith('.json'))
      .sort(new Intl.Collator('en', { numeric: true }).compare)
      .map((name) => {
        const text = readFileSync(join(this.#path, part, name), 'utf8');
        return JSON.parse(text) as Result<PartFigures[Name]>;
      });
  }

  loadAll(): Results {
    return {
      simulation: this.load('simulation'),
      traces: this.load('traces'),
      bugs: this.load('bugs'),
      nemesis: this.load('nemesis'),
      damage: this.load('damage'),
      crashes: this.load('crashes'),
      power: this.load('power'),
      fuzz: this.load('fuzz'),
    };
  }

  remove(part: PartName, key: string): void {
    rmSync(join(this.#path, part, `${key}.json`), { force: true });
  }
}

/** Whether a file may differ between a result's commit and what is checked out. */
export type SameSources = (commit: string) => boolean;

/**
 * Why the results must not stand on one page as if they belonged together; undefined if they may.
 *
 * @param commit what is checked out
 */
export function whyRefused(
  results: Results,
  commit: string,
  isSame: SameSources,
): string | undefined {
  const strange = Object.entries(results).flatMap(([part, each]) =>
    commitsOf(each)
      .filter((other) => !isSame(other))
      .map((other) => `${part} of ${other}`),
  );
  if (strange.length === 0) return undefined;
  const others = strange.join(', ');
  return `the sources are those of ${commit}, but there are results of others: ${others}`;
}

/** Each once. */
export function commitsOf(results: readonly Result[]): readonly string[] {
  return [...new Set(results.map(({ commit }) => commit))];
}

/** Nothing was wrong, and there is something to show. An empty list has passed. */
export function hasPassed(results: readonly Result[]): boolean {
  return results.every(({ status, figures }) => status === 0 && figures !== null);
}
