/** The leader's clock of leases, with a log and a quorum that do as the test says. */
import { beforeEach, describe, expect, test } from 'vitest';
import type { Command } from '../../../src/apply/request.ts';
import { Lessor } from '../../../src/lease/lessor.ts';
import type { LeaseAnswer } from '../../../src/server/kept-lease.ts';
import { LeaseKeeper } from '../../../src/server/lease-keeper.ts';
import type { ReadDone } from '../../../src/server/linearizable-reads.ts';
import { ManualClock, MapBackend } from '../mvcc/fakes.ts';

const electionMs = 1_000;
const checkpointIntervalMs = 5_000;
const term = 3;

let clock: ManualClock;
let lessor: Lessor;
let keeper: LeaseKeeper;
/** Rounds that wait for their quorum. */
let rounds: ReadDone[];
/** What was appended and not applied yet. */
let log: { term: number; command: Command }[];
let takes: boolean;
let mayRevoke: boolean;
let grants = 0n;
const counts = { granted: 0, revoked: 0, renewed: 0, expired: 0 };

beforeEach(() => {
  clock = new ManualClock();
  rounds = [];
  log = [];
  takes = true;
  mayRevoke = true;
  Object.assign(counts, { granted: 0, revoked: 0, renewed: 0, expired: 0 });
  Lessor.load(new MapBackend(), new Map(), (_error, loaded) => {
    if (loaded !== undefined) lessor = loaded;
  });
  keeper = new LeaseKeeper({
    clock,
    metrics: {
      granted: () => counts.granted++,
      revoked: () => counts.revoked++,
      renewed: () => counts.renewed++,
      expired: () => counts.expired++,
    },
    electionMs,
    checkpointIntervalMs,
    confirm: (done) => rounds.push(done),
    mayRevoke: () => mayRevoke,
    propose: (proposedTerm, commands) => {
      if (takes) log.push(...commands.map((command) => ({ term: proposedTerm, command })));
      return takes;
    },
  });
  lessor.setListener(keeper);
  keeper.promote(term, lessor);
});

function grant(id: bigint, ttl: number): void {
  lessor.grant(id, ttl, ++grants);
}

function confirm(): void {
  for (const done of rounds.splice(0)) done(undefined);
  clock.settle();
}

/** Applies the log, or its first entries. */
function apply(count = log.length): Command[] {
  const applied = log.splice(0, count).map(({ command }) => command);
  for (const command of applied) {
    if (command.case === 'leaseRevoke') {
      const { id, grant: granted } = command.value;
      if (lessor.get(id)?.grant === granted) lessor.revoke(id);
    } else if (command.case === 'leaseCheckpoint') {
      for (const { id, remainingTtl, grant: granted } of command.value.checkpoints) {
        lessor.checkpoint(id, remainingTtl, granted);
      }
    }
  }
  return applied;
}

/** Lets time pass with ticks. */
function pass(ms: number): void {
  for (let passed = 0; passed < ms; passed += 100) {
    clock.advance(100);
    keeper.tick();
    clock.settle();
  }
}

/** The answer so far. */
function renew(id: bigint): LeaseAnswer[] {
  const answers: LeaseAnswer[] = [];
  keeper.renew(id, (answer) => answers.push(answer));
  return answers;
}

/** Revocations in the log: term and lease. */
function revocations(): [number, bigint][] {
  return log.flatMap((entry) => {
    const { command } = entry;
    return command.case === 'leaseRevoke' ? [[entry.term, command.value.id]] : [];
  });
}

describe('what runs out', () => {
  test('is revoked in the keeper’s term, after a quorum has confirmed it, and once', () => {
    grant(1n, 10);
    grant(2n, 5);
    pass(4_900);
    expect(rounds).toEqual([]);
    pass(100);
    expect(rounds).toHaveLength(1);
    pass(500);
    expect(rounds).toHaveLength(1);
    expect(revocations()).toEqual([]);
    confirm();
    expect(revocations()).toEqual([[term, 2n]]);
    pass(1_000);
    confirm();
    expect(revocations()).toHaveLength(1);
    apply();
    expect([...lessor.all()].map(({ id }) => id)).toEqual([1n]);
    expect(counts).toMatchObject({ revoked: 1, expired: 1 });
  });

  test('waits while the state takes no revocations, and goes when it does again', () => {
    grant(1n, 5);
    pass(5_000);
    confirm();
    expect(revocations()).toEqual([[term, 1n]]);
    // It came to the log behind an alarm.
    log.length = 0;
    mayRevoke = false;
    lessor.refused(1n, grants);
    pass(1_000);
    expect(rounds).toEqual([]);
    mayRevoke = true;
    pass(100);
    confirm();
    expect(revocations()).toEqual([[term, 1n]]);
    apply();
    expect(lessor.size).toBe(0);
    expect(counts).toMatchObject({ revoked: 1, expired: 1 });
  });

  test('stays if a renewal comes before the confirmation', () => {
    grant(1n, 5);
    pass(4_000);
    const answers = renew(1n);
    confirm();
    expect(answers).toEqual([{ outcome: 'alive', seconds: 5 }]);
    pass(4_900);
    expect(rounds).toEqual([]);
    pass(200);
    confirm();
    expect(revocations()).toEqual([[term, 1n]]);
  });

  test('is not proposed by one that was deposed meanwhile', () => {
    grant(1n, 5);
    pass(5_000);
    keeper.demote();
    confirm();
    expect(log).toEqual([]);
    keeper.promote(term + 2, lessor);
    pass(5_900);
    expect(rounds).toEqual([]);
    pass(200);
    confirm();
    expect(revocations()).toEqual([[term + 2, 1n]]);
  });

  test('is tried again when the log does not take it', () => {
    grant(1n, 5);
    takes = false;
    pass(5_000);
    confirm();
    expect(log).toEqual([]);
    takes = true;
    pass(100);
    confirm();
    expect(revocations()).toEqual([[term, 1n]]);
  });

  test('goes in batches, the next when the last is applied', () => {
    for (let id = 1n; id <= 500n; id++) grant(id, 5);
    pass(5_100);
    confirm();
    const sizes: number[] = [];
    while (log.length > 0) {
      sizes.push(log.length);
      apply();
      confirm();
    }
    expect(sizes).toEqual([200, 200, 100]);
    expect(lessor.size).toBe(0);
  });

  test('is not renewed any more: the answer waits for its end', () => {
    grant(1n, 5);
    clock.advance(5_000);
    const early = renew(1n);
    confirm();
    expect(early).toEqual([]);
    keeper.tick();
    confirm();
    const late = renew(1n);
    confirm();
    expect(late).toEqual([]);
    apply();
    expect([early, late]).toEqual([[{ outcome: 'missing' }], [{ outcome: 'missing' }]]);
    expect(counts.renewed).toBe(0);
  });

  test('whose revocation comes to nothing lives on for the next leader', () => {
    grant(1n, 5);
    clock.advance(5_000);
    const answers = renew(1n);
    keeper.tick();
    confirm();
    keeper.demote();
    expect(answers).toEqual([{ outcome: 'retry' }]);
  });

  test('does not take along another lease that has its id by then', () => {
    grant(1n, 5);
    pass(5_000);
    confirm();
    lessor.revoke(1n);
    grant(1n, 5);
    apply();
    expect(lessor.has(1n)).toBe(true);
    pass(5_000);
    confirm();
    apply();
    expect(lessor.has(1n)).toBe(false);
  });
});

describe('a renewal', () => {
  test('is not answered before a quorum has confirmed the leader', () => {
    grant(1n, 5);
    const answers = renew(1n);
    expect(answers).toEqual([]);
    rounds.splice(0)[0]?.('timeout');
    expect(answers).toEqual([{ outcome: 'retry' }]);
    expect(renew(404n)).toEqual([]);
  });

  test('is for others to answer where the time is not kept', () => {
    grant(1n, 5);
    keeper.demote();
    expect(renew(1n)).toEqual([{ outcome: 'retry' }]);
    expect(rounds).toEqual([]);
  });
});

describe('a checkpoint', () => {
  const noted = (): number[] =>
    log.flatMap(({ command }) =>
      command.case === 'leaseCheckpoint'
        ? command.value.checkpoints.map(({ remainingTtl }) => remainingTtl)
        : [],
    );

  test('is made each interval while more than one is left', () => {
    grant(1n, 17);
    grant(2n, 5);
    pass(5_000);
    expect(noted()).toEqual([12]);
    pass(5_000);
    expect(noted()).toEqual([12, 7]);
    pass(6_900);
    // Now and then one too many costs nothing; one that never comes would.
    expect(noted()).toEqual([12, 7, 2]);
  });

  test('that is under way is withdrawn too before a renewal is answered', () => {
    grant(1n, 20);
    pass(5_000);
    expect(lessor.get(1n)?.remainingSeconds).toBe(0);
    const answers = renew(1n);
    confirm();
    expect(noted()).toEqual([15, 0]);
    apply(1);
    expect(lessor.get(1n)?.remainingSeconds).toBe(15);
    expect(answers).toEqual([]);
    apply(1);
    expect(lessor.get(1n)?.remainingSeconds).toBe(0);
    expect(answers).toEqual([{ outcome: 'alive', seconds: 20 }]);
    const again = renew(1n);
    confirm();
    expect(again).toEqual([{ outcome: 'alive', seconds: 20 }]);
    expect(log).toEqual([]);
  });

  test('is withdrawn later if the log does not take it, and the renewals wait', () => {
    for (const id of [1n, 2n]) grant(id, 20);
    pass(5_000);
    apply();
    takes = false;
    const answers = [renew(1n), renew(2n)];
    confirm();
    pass(1_000);
    expect(answers).toEqual([[], []]);
    takes = true;
    pass(100);
    expect(noted()).toEqual([0, 0]);
    expect(log).toHaveLength(1);
    apply();
    expect(answers.flat()).toHaveLength(2);
  });

  test('goes on with the next leader, which grants no more than was left', () => {
    grant(1n, 20);
    pass(10_000);
    apply();
    keeper.demote();
    clock.advance(60_000);
    keeper.promote(term + 1, lessor);
    expect(keeper.leftMs(1n)).toBe(10_000 + electionMs);
    pass(5_000);
    expect(noted()).toEqual([6]);
  });

  test('of a lease that is gone is not waited for', () => {
    grant(1n, 20);
    pass(5_000);
    const answers = renew(1n);
    confirm();
    lessor.revoke(1n);
    expect(answers).toEqual([{ outcome: 'missing' }]);
    grant(1n, 20);
    apply();
    const again = renew(1n);
    confirm();
    expect(again).toEqual([{ outcome: 'alive', seconds: 20 }]);
  });
});
