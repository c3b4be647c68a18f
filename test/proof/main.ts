/** `npm run proof`: runs the parts that are asked for and writes the page of what came of them. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { PartName } from './figures.ts';
import { firstSeed, readLedger, recorded, writeLedger } from './ledger.ts';
import { type ProofOptions, proofOptions, usage } from './options.ts';
import { writePage } from './page.ts';
import { keepsOthers, type Piece, piecesOf, readFigures, type Wanted } from './parts.ts';
import { hasPassed, ResultsDirectory, type Result, whyRefused } from './results.ts';

/** What the scripts know of the repository. */
export interface Repository {
  readonly root: string;
  /** What is checked out, with a `+` if files differ from it. */
  readonly commit: () => string;
  /** Whether a commit has the same files, but for the page and what belongs to it. */
  readonly isSame: (commit: string) => boolean;
}

/** @param args as on the command line; resolves to the exit code */
export async function proof(args: readonly string[], repository: Repository): Promise<number> {
  let options;
  try {
    options = proofOptions(args);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    return 2;
  }
  if (!options.help) return new Proof(options, repository).run();
  console.log(usage);
  return 0;
}

class Proof {
  readonly #options: ProofOptions;
  readonly #repository: Repository;
  readonly #results: ResultsDirectory;
  readonly #out: string;
  readonly #commit: string;

  constructor(options: ProofOptions, repository: Repository) {
    this.#options = options;
    this.#repository = repository;
    this.#out = resolve(repository.root, options.out);
    this.#results = new ResultsDirectory(join(this.#out, 'proof'));
    this.#commit = repository.commit();
  }

  async run(): Promise<number> {
    const { mixed, report, parts, budget, parallel, nodes } = this.#options;
    if (!isCommit(this.#commit) && !mixed) {
      const why = this.#commit.endsWith('+') ? 'there are changed files' : 'there is no commit';
      console.error(`refused, as ${why} (${this.#commit}): results would be of nothing known`);
      return 1;
    }
    mkdirSync(this.#out, { recursive: true });
    const from =
      this.#options.from ??
      firstSeed(readLedger(this.#ledgerPath), (commit) => this.#isSame(commit));
    if (!report) {
      for (const part of parts) await this.#runPart(part, { budget, from, parallel, nodes });
    }
    return this.#report();
  }

  /** Changed files are never the same: nobody knows what they were. */
  #isSame(commit: string): boolean {
    if (!isCommit(commit) || !isCommit(this.#commit)) return false;
    return commit === this.#commit || this.#repository.isSame(commit);
  }

  get #ledgerPath(): string {
    return join(this.#out, 'proof-runs.json');
  }

  async #runPart(part: PartName, wanted: Wanted): Promise<void> {
    const scratch = mkdtempSync(join(tmpdir(), 'quorate-proof-'));
    const figures = join(scratch, 'figures');
    const pieces = piecesOf(part, wanted, figures);
    const done = this.#forget(part, pieces);
    for (const piece of pieces.filter(({ key }) => !done.has(key))) {
      console.log(`== ${part}: ${piece.key}`);
      rmSync(figures, { force: true });
      this.#results.save(part, await this.#runPiece(part, piece, figures));
      if (part === 'simulation') this.#record();
    }
    rmSync(scratch, { recursive: true });
  }

  /** Removes results that the plan does not count on; returns the keys of those that it does. */
  #forget(part: PartName, pieces: readonly Piece[]): ReadonlySet<string> {
    const planned = new Set(pieces.map(({ key }) => key));
    const done = new Set<string>();
    for (const { key, commit, figures } of this.#results.load(part)) {
      const isUsable = this.#isSame(commit) && figures !== null && !this.#options.again;
      if (isUsable && planned.has(key)) done.add(key);
      else if (!isUsable || !keepsOthers(part)) this.#results.remove(part, key);
    }
    return done;
  }

  async #runPiece(part: PartName, piece: Piece, figures: string): Promise<Result> {
    const startMs = performance.now();
    const child = spawn(piece.node.path, piece.arguments, {
      cwd: this.#repository.root,
      stdio: 'inherit',
      env: { ...process.env, ...piece.environment, QUORATE_COMMIT: this.#commit },
    });
    const status = await new Promise<number>((done, failed) => {
      child.on('error', failed);
      child.on('exit', (code) => done(code ?? 1));
    });
    const commit = this.#repository.commit();
    return {
      key: piece.key,
      // Whoever changes files meanwhile may have changed what ran.
      commit: commit === this.#commit ? commit : this.#commit.replace(/\+?$/, '+'),
      node: piece.node.version,
      seconds: Math.round((performance.now() - startMs) / 1000),
      status,
      figures: existsSync(figures) ? readFigures(part, figures) : null,
    };
  }

  #record(): void {
    const ledger = readLedger(this.#ledgerPath);
    writeLedger(this.#ledgerPath, recorded(ledger, this.#results.load('simulation')));
  }

  #report(): number {
    const results = this.#results.loadAll();
    const refusal = whyRefused(results, this.#commit, (commit) => this.#isSame(commit));
    if (refusal !== undefined && !this.#options.mixed) {
      console.error(`refused: ${refusal}; --mixed takes them as they are`);
      return 1;
    }
    const isMixed = refusal !== undefined;
    const path = writePage(this.#out, { results, ledger: readLedger(this.#ledgerPath), isMixed });
    console.log(`written: ${path}`);
    const failed = Object.entries(results).filter(([, each]) => !hasPassed(each));
    for (const [part] of failed) console.log(`FAILED: ${part}`);
    return failed.length === 0 ? 0 : 1;
  }
}

/** Neither unknown nor with changed files. */
function isCommit(name: string): boolean {
  return /^[0-9a-f]+$/.test(name);
}
