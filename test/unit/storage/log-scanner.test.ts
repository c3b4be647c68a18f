/**
 * What was acknowledged is read, or the log is refused; what a power cut left of the last record,
 * whose write had not completed, is neither read nor a reason to refuse. Behind it are the zeros of
 * a file that was made longer ahead, or the end of the file.
 */
import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import { CorruptionError } from '../../../src/storage/errors.ts';
import { blockBytes, headerBytes } from '../../../src/storage/log-format.ts';
import { logSteps, scanLog } from '../../../src/storage/log-scanner.ts';
import { encodeLog } from '../../support/level-log.ts';

const sectorBytes = 512;

/** Without zeros, so that no sector of it looks as if it had never been written. */
function record(seed: number, sizeBytes: number): Buffer {
  return Buffer.from(Array.from({ length: sizeBytes }, (_, i) => 1 + ((seed * 31 + i * 7) % 255)));
}

function read(bytes: Buffer): { readonly count: number; readonly torn: boolean } | 'refused' {
  try {
    const { records, torn } = scanLog(bytes, 'log');
    return { count: records.length, torn };
  } catch (error) {
    expect(error).toBeInstanceOf(CorruptionError);
    return 'refused';
  }
}

function withZeros(bytes: Buffer, zeros: number): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(zeros)]);
}

/** Sizes of the records before the last one, and of it: in one block, at its end, over several. */
const layouts = [
  { before: [300, 200], last: 300 },
  { before: [500], last: 5 },
  { before: [32_768 - 7 - 7 - 20], last: 300 },
  { before: [32_768 - 7 - 7], last: 600 },
  { before: [32_768 - 7 - 3], last: 600 },
  { before: [20_000], last: 60_000 },
];

describe.each([0, 511, 100_000])('with %d zeros at the end', (zeros) => {
  test.each(layouts)('all is read: $before, $last', ({ before, last }) => {
    const records = [...before, last].map((size, i) => record(i, size));
    const { bytes, starts } = encodeLog(records);
    const scanned = scanLog(withZeros(bytes, zeros), 'log');
    expect(scanned.records.map((each) => Buffer.from(each))).toEqual(records);
    expect(scanned).toMatchObject({ starts, torn: false, endsAt: bytes.length });
  });

  test.each(layouts)('a flipped bit in the last record is refused: $before, $last', (layout) => {
    const records = [...layout.before, layout.last].map((size, i) => record(i, size));
    const { bytes, starts } = encodeLog(records);
    const start = starts.at(-1) as number;
    const whole = withZeros(bytes, zeros);
    for (let at = start; at < bytes.length; at++) {
      // All bits of the header, and of the data some bytes at both ends and each hundredth.
      const isHeader = at < start + headerBytes;
      if (!isHeader && at > start + 20 && at < bytes.length - 10 && at % 101 !== 0) continue;
      for (let bit = isHeader ? 0 : at % 8; bit < 8; bit += isHeader ? 1 : 8) {
        whole[at] = (whole[at] as number) ^ (1 << bit);
        expect([at, bit, read(whole)]).toEqual([at, bit, 'refused']);
        whole[at] = (whole[at] as number) ^ (1 << bit);
      }
    }
  });

  test('an earlier record that is damaged is refused', () => {
    const { bytes, starts } = encodeLog([record(1, 700), record(2, 40_000), record(3, 300)]);
    for (const at of [0, 100, starts[1] ?? 0, 20_000, 33_000]) {
      const damaged = withZeros(bytes, zeros);
      damaged.fill(0, at, at + 512);
      expect([at, read(damaged)]).toEqual([at, 'refused']);
    }
  });
});

test.each([0, 1, 511, 70_000])('a record whose last pieces were not written: %d zeros', (zeros) => {
  for (let size = 4_097; size < 30_000; size += 331) {
    for (const before of [100, 107, 300, 513]) {
      const { bytes, starts } = encodeLog([record(size, before), record(before, size)]);
      // LevelDB writes through a buffer of the C library, which begins behind the record before.
      for (let cut = (starts[1] as number) + 4_096; cut < bytes.length; cut += 4_096) {
        const written = bytes.subarray(0, cut);
        const left = zeros === 0 ? written : withZeros(written, bytes.length - cut + zeros);
        expect([size, before, cut, read(left)]).toEqual([
          ...[size, before, cut],
          { count: 1, torn: true },
        ]);
      }
    }
  }
});

test('what a power cut left of the last record is passed over', () => {
  const random = new SeededRandom(7);
  const outcomes = new Map<string, number>();
  for (let round = 0; round < 1_500; round++) {
    const sizes = Array.from({ length: random.below(4) }, () => 1 + random.below(2_000));
    if (random.below(3) === 0) sizes.push(32_000 + random.below(1_000));
    const last = 1 + random.below(random.below(4) === 0 ? 70_000 : 3_000);
    const records = [...sizes, last].map((size, i) => record(round + i, size));
    const { bytes, starts } = encodeLog(records);
    const start = starts.at(-1) as number;
    const cut = withZeros(bytes, random.below(2) * random.below(70_000));
    const lost: number[] = [];
    for (let at = start; at < bytes.length;) {
      const next = Math.min(bytes.length, at - (at % sectorBytes) + sectorBytes);
      if (random.below(2) === 0) {
        cut.fill(0, at, next);
        lost.push(at);
      }
      at = next;
    }
    const outcome = read(cut);
    expect(outcome, `round ${round}`).not.toBe('refused');
    if (outcome === 'refused') continue;
    const isWhole = lost.length === 0;
    expect(outcome.count, `round ${round}`).toBe(records.length - (isWhole ? 0 : 1));
    if (isWhole) expect(outcome.torn, `round ${round}`).toBe(false);
    const kind = isWhole ? 'whole' : outcome.torn ? 'torn' : 'nothing of it';
    outcomes.set(kind, (outcomes.get(kind) ?? 0) + 1);
  }
  for (const kind of ['whole', 'torn', 'nothing of it']) {
    expect(outcomes.get(kind), kind).toBeGreaterThan(100);
  }
});

test('a torn record is not mistaken for records because its value holds a log', () => {
  const inner = encodeLog([record(1, 200), record(2, 300)]).bytes;
  const last = Buffer.concat([record(3, 40_000), inner, record(4, 40_000)]);
  const { bytes, starts } = encodeLog([record(5, 700), last]);
  const torn = Buffer.from(bytes);
  const hole = (starts[1] as number) + 2 * sectorBytes;
  torn.fill(0, hole - (hole % sectorBytes), hole - (hole % sectorBytes) + sectorBytes);
  expect(read(torn)).toEqual({ count: 1, torn: true });
  // A record that follows is found all the same.
  const more = encodeLog([record(5, 700), last, record(6, 100)]).bytes;
  more.set(torn);
  expect(read(more)).toBe('refused');
});

/** Which look like headers of fragments everywhere, short ones and long ones. */
test.each(['01', '3f01'])('what may hide a record is searched in small steps: %s', (pattern) => {
  const data = Buffer.alloc(20 * blockBytes, pattern, 'hex');
  const { bytes, starts } = encodeLog([record(1, 700), data]);
  bytes.fill(0, (starts[1] as number) + sectorBytes, (starts[1] as number) + 3 * sectorBytes);
  const searched: number[] = [];
  for (const step of logSteps(bytes, 'log')) searched.push(step);
  expect(Math.max(...searched)).toBeLessThanOrEqual(blockBytes);
  expect(searched.length).toBeGreaterThan(1_000);
});
