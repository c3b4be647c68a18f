/**
 * The power is cut while a real member on a real LevelDB works: its file operations are recorded,
 * and at many moments the disk is made anew as the cut may have left it. A member that starts on it
 * must not refuse, and must hold what was promised.
 *
 * Once and again with more: QUORATE_POWER_POINTS=1000 npm test -- test/storage/power/power-cuts.
 * QUORATE_POWER_SEED chooses the moments; QUORATE_POWER_RESULT is where the figures go, as JSON.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { SeededRandom, type Random } from '../../../src/base/random.ts';
import type { PowerScenarioFigures } from '../../proof/figures.ts';
import { recordFollower } from './follower.ts';
import { chooseSurvival, imageAfterCut, type Survival, writeImage } from './power-cut.ts';
import { cannotRecord, recordingMissing } from './recorder.ts';
import { cutMoments, recordAlone, type Recording } from './recording.ts';
import { brokenAlone, brokenFollower, brokenProcesses, type Start } from './survived.ts';

const points = Number(process.env['QUORATE_POWER_POINTS'] ?? 50);
const seed = Number(process.env['QUORATE_POWER_SEED'] ?? Date.now() % 1_000_000);
const resultPath = process.env['QUORATE_POWER_RESULT'];
/** Of so many points, one is tried with real processes as well. */
const pointsPerProcessStart = 15;
/** Recording takes up to a minute on a busy machine; a point up to 5 s where values are large. */
const timeoutMs = 120_000 + 5000 * points;

/** A log so short that it is compacted all the time. */
const flags = ['--snapshot-count=40', '--snapshot-catchup-entries=10'];
const small = { least: 10, most: 3000 };
const large = { least: 200_000, most: 1_000_000 };

interface Plan {
  readonly name: string;
  /** Part of the points. */
  readonly share: number;
  /** What may be left of the disk, at each point. */
  readonly survivals: number;
  readonly record: (random: Random) => Promise<Recording>;
  readonly broken: (start: Start) => Promise<string[]>;
}

const plans: readonly Plan[] = [
  {
    name: 'a member alone that starts again and again',
    share: 0.6,
    survivals: 3,
    record: (random) =>
      recordAlone(
        [
          { run: { writes: 60, clients: 1, valueBytes: small }, ends: 'kill' },
          { run: { writes: 150, clients: 6, valueBytes: small }, ends: 'stop' },
          { run: { writes: 60, clients: 3, valueBytes: small }, ends: 'kill' },
        ],
        flags,
        random,
      ),
    broken: brokenAlone,
  },
  {
    name: 'a member alone with values so large that logs and tables follow each other',
    share: 0.16,
    survivals: 2,
    record: (random) =>
      recordAlone(
        [
          { run: { writes: 40, clients: 1, valueBytes: large }, ends: 'kill' },
          { run: { writes: 50, clients: 4, valueBytes: large }, ends: 'kill' },
        ],
        flags,
        random,
      ),
    broken: brokenAlone,
  },
  {
    name: 'a follower that installs a snapshot',
    share: 0.24,
    survivals: 3,
    record: (random) => recordFollower(flags, random),
    broken: brokenFollower,
  },
];

interface Figures extends PowerScenarioFigures {
  readonly kinds: readonly string[];
  readonly seconds: number;
}

const figures: Figures[] = [];

/** In memory where there is such a place: the disks made here need not outlive a power cut. */
function scratch(): string {
  return existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
}

/** One point: what may be left of the disk, several times, and a start on each. */
class Point {
  readonly #plan: Plan;
  readonly #recording: Recording;
  readonly #random: Random;
  readonly #kind: string;
  readonly #moment: number;
  readonly failures: string[] = [];

  constructor(plan: Plan, recording: Recording, random: Random, kinds: Kinds) {
    this.#plan = plan;
    this.#recording = recording;
    this.#random = random;
    const names = [...kinds.keys()];
    this.#kind = names[random.below(names.length)] ?? '';
    const moments = kinds.get(this.#kind) ?? [];
    this.#moment = moments[random.below(moments.length)] ?? 0;
  }

  async start(): Promise<void> {
    const recording = this.#recording;
    const random = this.#random;
    const directory = mkdtempSync(join(scratch(), 'quorate-power-'));
    const survival = chooseSurvival(random);
    writeImage(imageAfterCut(recording.disk, this.#moment, survival, random), directory);
    const path = join(directory, recording.dataName);
    const problems = await this.#plan.broken({ recording, moment: this.#moment, path, random });
    rmSync(directory, { recursive: true, force: true });
    this.#note(survival, problems);
  }

  async startProcesses(): Promise<void> {
    const survival = chooseSurvival(this.#random);
    const image = imageAfterCut(this.#recording.disk, this.#moment, survival, this.#random);
    this.#note(survival, await brokenProcesses(this.#recording, this.#moment, image));
  }

  #note({ names, content }: Survival, problems: readonly string[]): void {
    const [first] = problems;
    if (first === undefined) return;
    const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
    const left = `names: ${names}, content: ${content}`;
    const where = `cut at moment ${this.#moment} (${this.#kind}), left are ${left}`;
    this.failures.push(`${where}: ${first}${more}`);
    console.log(this.failures.at(-1));
  }
}

type Kinds = ReadonlyMap<string, readonly number[]>;

async function cutOften(plan: Plan, random: Random): Promise<Figures> {
  const startMs = performance.now();
  const recording = await plan.record(random);
  try {
    recording.endRecording();
    const kinds = cutMoments(recording.disk);
    const wanted = Math.ceil(points * plan.share);
    const failures: string[] = [];
    let processStarts = 0;
    for (let i = 0; i < wanted; i++) {
      const point = new Point(plan, recording, random, kinds);
      for (let start = 0; start < plan.survivals; start++) await point.start();
      if (i % pointsPerProcessStart === pointsPerProcessStart - 1) {
        await point.startProcesses();
        processStarts += 1;
      }
      failures.push(...point.failures);
    }
    return {
      scenario: plan.name,
      seed,
      calls: recording.disk.moments / 2,
      promised: recording.promised.filter(({ moment }) => moment < Infinity).length,
      points: wanted,
      starts: wanted * plan.survivals,
      processStarts,
      kinds: [...kinds.keys()].sort(),
      seconds: Math.round((performance.now() - startMs) / 1000),
      failures,
    };
  } finally {
    await recording.close();
  }
}

describe.skipIf(cannotRecord !== undefined)(`power cuts${recordingMissing}`, () => {
  afterAll(() => {
    if (resultPath !== undefined) writeFileSync(resultPath, JSON.stringify(figures, undefined, 2));
  });

  test.each(plans)('$name', { timeout: timeoutMs }, async (plan) => {
    const found = await cutOften(plan, new SeededRandom(seed));
    figures.push(found);
    console.log(
      `seed ${seed}: ${found.points} points of ${found.calls} calls, ${found.starts} starts and ` +
        `${found.processStarts} of processes, ${found.promised} promises, ${found.seconds} s`,
    );
    expect(found.promised).toBeGreaterThan(50);
    expect(found.failures).toEqual([]);
  });
});
