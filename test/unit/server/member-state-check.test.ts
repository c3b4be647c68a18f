/** Which state on the disk is marked when a member turns out to be wrong. */
import { expect, test } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import { silentMetrics } from '../../../src/base/metrics.ts';
import type { MemberOptions } from '../../../src/server/member-options.ts';
import { stateCheckOf } from '../../../src/server/member-state-check.ts';
import type { RaftDriver } from '../../../src/server/raft-driver.ts';
import type { State } from '../../../src/server/state.ts';
import type { StateCheck } from '../../../src/server/state-check.ts';
import type { HashNote } from '../../../src/transport/hash-notes.ts';
import { stateDigestAlgorithm } from '../../../src/mvcc/state-digest.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const leader = 2n;

/** A state database that tells what was put into it. */
function backendAt(index: number): {
  readonly put: (key: string) => void;
  readonly keys: string[];
} {
  const keys: string[] = [];
  const confState = { voters: [1n, 2n, 3n] };
  const put = (key: string): void => void keys.push(key);
  const more = { flushedIndex: index, appliedIndex: index, appliedTerm: 1, applied: () => {} };
  return { put, keys, confState, ...more } as ReturnType<typeof backendAt>;
}

/** The leader's verdict about the newest state that the member tells of. */
function condemn(check: StateCheck, notes: HashNote[], index: number): void {
  const asks = { kind: 'hashAsks', algorithm: stateDigestAlgorithm, from: index } as const;
  check.received(leader, { ...asks, tos: [index] });
  const answer = notes.at(-1);
  if (answer?.kind !== 'hashAnswers') throw new Error('no answer');
  const [digest] = answer.digests;
  if (digest === undefined) throw new Error('no digest');
  const verdict = { kind: 'hashVerdict', from: index, first: index, certain: true } as const;
  check.received(leader, { ...verdict, digest });
}

test('a verdict about a state that a snapshot is replacing does not mark the new one', () => {
  const [before, after] = [backendAt(5), backendAt(9)];
  const directory = { backend: before };
  const notes: HashNote[] = [];
  const parts = { stateDigest: { high: 1, low: 2 } };
  const state = { store: parts, membership: parts, lessor: parts, alarms: parts, downgrade: parts };
  const check = stateCheckOf(
    {
      memberId: 1n,
      directory,
      clock: new VirtualClock(),
      logger: silentLogger,
      metrics: silentMetrics,
      transport: { sendNote: (_to: bigint, note: HashNote) => notes.push(note) > 0 },
    } as unknown as MemberOptions,
    { leader, term: 1 } as unknown as RaftDriver,
    () => state as unknown as State,
  );
  // The directory has the new state's database while that is still being read.
  directory.backend = after;
  condemn(check, notes, 5);
  expect(check.refuses).toBe(true);
  expect(after.keys).toEqual([]);

  check.restarted(9);
  expect(check.refuses).toBe(false);
  condemn(check, notes, 9);
  expect(after.keys).toHaveLength(1);
  expect(before.keys).toEqual([]);
});
