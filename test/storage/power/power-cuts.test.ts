/**
 * The power is cut while a real member on a real LevelDB works: its file operations are recorded,
 * and at many moments the disk is made anew as the cut may have left it. A member that starts on it
 * must not refuse, and must hold what was promised.
 *
 * More for a longer look: QUORATE_POWER_POINTS=1000 npm test -- test/storage/power.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import { chooseSurvival, imageAfterCut, writeImage } from './power-cut.ts';
import { cutMoments, record, type RecordingPlan } from './recording.ts';
import { cannotRecord, recordingMissing } from './recorder.ts';
import { brokenPromises } from './survived.ts';

const points = Number(process.env['QUORATE_POWER_POINTS'] ?? 50);
const seed = Number(process.env['QUORATE_POWER_SEED'] ?? Date.now() % 1_000_000);
const scratch = '/dev/shm';

const shortLog = ['--snapshot-count=40', '--snapshot-catchup-entries=10'];
const small = { least: 10, most: 3000 };
const large = { least: 200_000, most: 1_000_000 };

const plans: readonly (RecordingPlan & { readonly share: number })[] = [
  {
    name: 'small values, many starts',
    share: 0.7,
    flags: shortLog,
    runs: [
      { writes: 60, clients: 1, valueBytes: small, ends: 'killed' },
      { writes: 150, clients: 6, valueBytes: small, ends: 'stopped' },
      { writes: 60, clients: 3, valueBytes: small, ends: 'killed' },
    ],
  },
  {
    name: 'large values, logs and tables that follow each other',
    share: 0.3,
    flags: shortLog,
    runs: [
      { writes: 40, clients: 1, valueBytes: large, ends: 'killed' },
      { writes: 50, clients: 4, valueBytes: large, ends: 'killed' },
    ],
  },
];

test.each(plans)(`$name${recordingMissing}`, { timeout: 600_000 }, async (plan) => {
  if (cannotRecord !== undefined) return;
  const random = new SeededRandom(seed);
  console.log(`seed ${seed}`);
  const startMs = performance.now();
  const recording = await record(plan, random);
  const { disk } = recording;
  console.log(
    `${disk.moments / 2} calls, ${disk.sent.length} sent, ${recording.promised.length} promised, ${performance.now() - startMs} ms`,
  );
  const kinds = cutMoments(disk);
  console.log([...kinds].map(([k, v]) => `${k}: ${v.length}`).join('\n'));
  const names = [...kinds.keys()];
  const failures = new Map<string, number>();
  for (let point = 0; point < points; point++) {
    const kind = names[random.below(names.length)]!;
    const moments = kinds.get(kind)!;
    const moment = moments[random.below(moments.length)]!;
    const survival = chooseSurvival(random);
    const directory = mkdtempSync(join(scratch, 'quorate-power-'));
    writeImage(imageAfterCut(disk, moment, survival, random), directory);
    const problems = await brokenPromises(
      recording,
      moment,
      join(directory, recording.dataName),
      random,
    );
    if (problems.length > 0) {
      const text = problems[0]!.replaceAll(directory, '');
      console.log(`${point} ${kind} @${moment} ${survival.names} ${survival.content}: ${text}`);
      failures.set(text.replace(/\d+/g, 'N'), (failures.get(text.replace(/\d+/g, 'N')) ?? 0) + 1);
    }
    rmSync(directory, { recursive: true, force: true });
  }
  console.log([...failures].map(([k, v]) => `${v}: ${k}`).join('\n'));
  console.log(`${performance.now() - startMs} ms`);
});
