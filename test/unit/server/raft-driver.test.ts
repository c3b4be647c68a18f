/** The driver between a real core and a host whose every answer the test decides. */
import { expect, test } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import {
  ConfChangeTransition,
  ConfChangeType,
  type Entry,
  EntryKind,
  MemoryStorage,
  type Message,
  noConfState,
  RawNode,
} from '../../../src/raft/index.ts';
import type { LogWrite } from '../../../src/server/log-write.ts';
import { RaftDriver } from '../../../src/server/raft-driver.ts';
import { raftConfig } from '../../../src/server/raft-options.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

interface Write {
  readonly batch: LogWrite;
  end(error?: Error): void;
}

interface Fixture {
  readonly clock: VirtualClock;
  readonly driver: RaftDriver;
  readonly writes: Write[];
  readonly sent: Message[];
  readonly applied: number[];
  readonly failures: Error[];
  readonly answers: { connected: boolean; awaited: boolean; mayApply: boolean };
  /** Ends the oldest write well. */
  written(): void;
}

function setUp(voters: readonly bigint[]): Fixture {
  const clock = new VirtualClock();
  const storage = new MemoryStorage({ ...noConfState, voters });
  const writes: Write[] = [];
  const sent: Message[] = [];
  const applied: number[] = [];
  const failures: Error[] = [];
  const answers = { connected: true, awaited: true, mayApply: true };
  const node = new RawNode(
    raftConfig({
      memberId: 1n,
      storage,
      applied: 0,
      heartbeatMs: 100,
      electionMs: 1000,
      preVote: true,
      random: new SeededRandom(1),
      logger: silentLogger,
    }),
  );
  const driver = new RaftDriver({
    node,
    clock,
    logger: silentLogger,
    tickMs: 100,
    observeTickDelay: () => undefined,
    host: {
      write: (batch, _sync, done) => {
        if (batch.hardState !== undefined) storage.setHardState(batch.hardState);
        storage.append(batch.entries);
        writes.push({ batch, end: done });
      },
      connected: () => answers.connected,
      awaited: () => answers.awaited,
      send: (messages) => {
        sent.push(...messages);
      },
      mayApply: () => answers.mayApply,
      apply: (entry: Entry) => {
        applied.push(entry.index);
      },
      takeChanges: (_from, entries) => entries,
      applyConfChange: () => undefined,
      applied: () => undefined,
      installSnapshot: () => undefined,
      leaderChanged: () => undefined,
      readStates: () => undefined,
      droppedReads: () => undefined,
      turn: () => undefined,
      stepped: () => undefined,
      failed: (error) => {
        failures.push(error);
      },
    },
  });
  driver.start(true);
  clock.runDue();
  const written = (): void => {
    writes.shift()?.end();
    clock.runDue();
  };
  return { clock, driver, writes, sent, applied, failures, answers, written };
}

function proposal(id: bigint): { id: bigint; data: Uint8Array } {
  return { id, data: new Uint8Array([Number(id)]) };
}

/** A follower of member 2 in term 1. */
function following(fixture: Fixture): void {
  const message = { type: 'heartbeat', from: 2n, to: 1n, term: 1, commit: 0, context: 1n } as const;
  fixture.driver.receive([message]);
  fixture.clock.runDue();
  fixture.written();
  fixture.sent.length = 0;
}

function proposed({ sent }: Fixture): number[] {
  return sent.flatMap((each) =>
    each.type === 'propose' ? each.entries.map(({ data }) => data[0] ?? 0) : [],
  );
}

test('nothing is applied before it is durable here, and what gathers meanwhile is one write', () => {
  const { clock, driver, writes, applied, written } = setUp([1n]);
  expect(writes.map(({ batch }) => batch.hardState)).toMatchObject([{ term: 1, vote: 1n }]);
  written();
  for (const id of [1n, 2n, 3n]) {
    driver.propose(proposal(id));
    clock.runDue();
  }
  expect(writes.map(({ batch }) => batch.entries.map(({ index }) => index))).toEqual([[1]]);
  expect(applied).toEqual([]);
  written();
  expect(applied).toEqual([1]);
  expect(writes.map(({ batch }) => batch.entries.map(({ index }) => index))).toEqual([[2, 3, 4]]);
  written();
  expect(applied).toEqual([1, 2, 3, 4]);
});

test('a failed write ends everything: it is told once, and nothing is sent or written after', () => {
  const fixture = setUp([1n, 2n, 3n]);
  const { clock, driver, writes, sent, failures } = fixture;
  const vote = { type: 'vote', from: 2n, to: 1n, term: 1, index: 0, logTerm: 0 } as const;
  driver.receive([{ ...vote, transfer: false }]);
  clock.runDue();
  expect(sent).toEqual([]);
  writes.shift()?.end(new Error('full'));
  clock.advance(60_000);
  driver.receive([{ ...vote, term: 2, transfer: true }]);
  clock.advance(60_000);
  expect(failures.map(({ message }) => message)).toEqual(['full']);
  expect([sent, writes]).toEqual([[], []]);
});

test('a follower hands a proposal on once, and only while its leader can be reached', () => {
  const fixture = setUp([1n, 2n, 3n]);
  const { clock, driver, answers } = fixture;
  following(fixture);
  answers.connected = false;
  driver.propose(proposal(7n));
  clock.advance(200);
  expect(proposed(fixture)).toEqual([]);
  answers.connected = true;
  driver.wake();
  clock.advance(200);
  expect(proposed(fixture)).toEqual([7]);
  // Whatever becomes of it: its outcome is unknown from here on.
  driver.receive([{ type: 'heartbeat', from: 3n, to: 1n, term: 2, commit: 0, context: 1n }]);
  clock.advance(500);
  expect(proposed(fixture)).toEqual([7]);
});

test('a proposal that nobody waits for any more is not made', () => {
  const fixture = setUp([1n, 2n, 3n]);
  const { clock, driver, answers } = fixture;
  answers.connected = false;
  following(fixture);
  driver.propose(proposal(7n));
  clock.runDue();
  answers.awaited = false;
  answers.connected = true;
  driver.wake();
  clock.advance(200);
  expect(proposed(fixture)).toEqual([]);
  expect(driver.waitingProposals).toBe(0);
});

test('of entries overwritten before their write began only the last version is written', () => {
  const fixture = setUp([1n, 2n, 3n]);
  const { clock, driver, writes } = fixture;
  following(fixture);
  const append = (from: bigint, term: number, index: number, terms: readonly number[]): void => {
    const data = new Uint8Array(0);
    const entries = terms.map((each, i) => {
      return { index: index + 1 + i, term: each, kind: 0 as const, data };
    });
    const logTerm = index === 0 ? 0 : 1;
    driver.receive([{ type: 'append', from, to: 1n, term, index, logTerm, entries, commit: 0 }]);
    clock.runDue();
  };
  append(2n, 1, 0, [1, 1, 1]);
  append(2n, 1, 3, [1, 1]);
  append(3n, 2, 3, [2]);
  fixture.written();
  const [write] = writes;
  expect(write?.batch.hardState).toMatchObject({ term: 2 });
  expect(write?.batch.entries.map(({ index, term }) => [index, term])).toEqual([[4, 2]]);
});

test('entries wait while the state has too much that is not written', () => {
  const { clock, driver, applied, answers, written } = setUp([1n]);
  written();
  answers.mayApply = false;
  written();
  clock.advance(500);
  expect([driver.committedIndex, applied]).toEqual([1, []]);
  answers.mayApply = true;
  driver.wake();
  clock.runDue();
  expect(applied).toEqual([1]);
});

test('a process that was stopped for long counts that as one tick', () => {
  const fixture = setUp([1n, 2n, 3n]);
  const { clock, sent } = fixture;
  following(fixture);
  // The clock moves on without the callbacks that were due, as under SIGSTOP.
  clock.skip(30_000);
  clock.runDue();
  expect(sent).toEqual([]);
  clock.advance(2000);
  expect(sent.some(({ type }) => type === 'preVote')).toBe(true);
});

const passedOn = (id: number, from = 3n): Message => {
  const entry = { index: 0, term: 0, kind: 0 as const, data: new Uint8Array([id]) };
  return { type: 'propose', from, to: 1n, term: 0, entries: [entry] };
};

test('what others pass on waits for a leader, and until that one can be reached', () => {
  const fixture = setUp([1n, 2n, 3n]);
  const { clock, driver, answers } = fixture;
  driver.receive([passedOn(7)]);
  clock.advance(200);
  answers.connected = false;
  following(fixture);
  driver.receive([passedOn(8)]);
  clock.advance(200);
  expect(proposed(fixture)).toEqual([]);
  answers.connected = true;
  driver.wake();
  clock.advance(200);
  expect(proposed(fixture)).toEqual([7, 8]);
});

test('what others pass on goes back to one that leads by now', () => {
  const fixture = setUp([1n, 2n, 3n]);
  following(fixture);
  fixture.driver.receive([passedOn(7, 2n)]);
  fixture.clock.runDue();
  expect(fixture.sent).toMatchObject([{ type: 'propose', from: 1n, to: 2n }]);
});

test('what others pass on is forgotten when nobody can wait for it any more', () => {
  const fixture = setUp([1n, 2n, 3n]);
  fixture.answers.connected = false;
  following(fixture);
  fixture.driver.receive([passedOn(7)]);
  fixture.clock.skip(5001);
  fixture.answers.connected = true;
  fixture.driver.wake();
  fixture.clock.runDue();
  expect(proposed(fixture)).toEqual([]);
});

test('what others pass on beyond what may wait is dropped', () => {
  const fixture = setUp([1n, 2n, 3n]);
  const { answers, clock, driver } = fixture;
  answers.connected = false;
  following(fixture);
  driver.receive(Array.from({ length: 20_001 }, (_, i) => passedOn(i & 255)));
  answers.connected = true;
  driver.wake();
  clock.runDue();
  expect(proposed(fixture).length).toBe(20_000);
});

/** Member 1 leads in term 1. */
function leading(fixture: Fixture): void {
  const { clock, driver, sent } = fixture;
  clock.advance(2000);
  for (const type of ['preVoteResponse', 'voteResponse'] as const) {
    driver.receive([{ type, from: 2n, to: 1n, term: 1, reject: false }]);
    clock.runDue();
    fixture.written();
  }
  fixture.written();
  const answer = { type: 'appendResponse', from: 2n, to: 1n, term: 1, index: 1 } as const;
  driver.receive([{ ...answer, reject: false, rejectHint: 0, logTerm: 0 }]);
  clock.runDue();
  expect(driver.isLeader).toBe(true);
  sent.length = 0;
}

test('what others pass on to a leader that hands over goes to the next one', () => {
  const fixture = setUp([1n, 2n, 3n]);
  const { clock, driver } = fixture;
  leading(fixture);
  driver.transferLeader(2n);
  clock.runDue();
  driver.receive([passedOn(7), passedOn(8, 2n)]);
  clock.runDue();
  driver.receive([{ type: 'heartbeat', from: 2n, to: 1n, term: 2, commit: 0, context: 1n }]);
  clock.runDue();
  expect(proposed(fixture)).toEqual([7, 8]);
});

test('what others pass on to a leader that cannot hand over is its own to append', () => {
  const fixture = setUp([1n, 2n, 3n]);
  const { clock, driver, writes } = fixture;
  leading(fixture);
  driver.transferLeader(2n);
  clock.runDue();
  driver.receive([passedOn(7)]);
  clock.advance(900);
  const written = (): unknown[] =>
    writes.flatMap(({ batch }) => batch.entries.map(({ data }) => data[0]));
  expect(written()).toEqual([]);
  clock.advance(200);
  expect(written()).toEqual([7]);
});

const response = { to: 1n, term: 1, reject: false, rejectHint: 0, logTerm: 0 } as const;
const appendResponse = { ...response, type: 'appendResponse' } as const;

/** Member 2 says that it holds everything up to `index`. */
function acknowledged(fixture: Fixture, index: number): void {
  fixture.driver.receive([{ ...appendResponse, from: 2n, index }]);
  fixture.clock.runDue();
}

test('what a leader sends leaves before its own write is made', () => {
  const fixture = setUp([1n, 2n, 3n]);
  const { clock, driver, sent, writes } = fixture;
  leading(fixture);
  driver.propose(proposal(7n));
  // What was asked for before the turn runs after it, and before all that the turn asks for.
  const after: unknown[] = [];
  clock.defer(() =>
    after.push(
      sent.map(({ type }) => type),
      writes.length,
    ),
  );
  clock.runDue();
  expect(after).toEqual([['append'], 0]);
  expect(writes).toHaveLength(1);
});

test('a follower hears of a commit with the next entries, or a little later by itself', () => {
  const fixture = setUp([1n, 2n, 3n]);
  const { clock, driver, sent, written } = fixture;
  leading(fixture);
  clock.advance(1);
  const told = (): unknown[] =>
    sent
      .splice(0)
      .filter(({ to }) => to === 2n)
      .map((message) => [message.type, 'commit' in message ? message.commit : undefined]);
  told();
  for (const [index, id] of [
    [2, 7n],
    [3, 8n],
  ] as const) {
    driver.propose(proposal(id));
    clock.runDue();
    expect(told()).toEqual([['append', index - 1]]);
    written();
    acknowledged(fixture, index);
    expect(driver.committedIndex).toBe(index);
    expect(told()).toEqual([]);
  }
  clock.advance(1);
  expect(told()).toEqual([['committed', undefined]]);
  // Its own client may wait for that.
  driver.receive([{ ...passedOn(9), from: 2n }]);
  clock.runDue();
  told();
  written();
  acknowledged(fixture, 4);
  expect(told()).toEqual([['committed', undefined]]);
});

test('whoever is removed hears that it is committed before that is applied', () => {
  const fixture = setUp([1n, 2n, 3n]);
  const { clock, driver, sent, written } = fixture;
  leading(fixture);
  clock.advance(1);
  sent.length = 0;
  const changes = [{ type: ConfChangeType.remove, member: 3n }];
  const transition = ConfChangeTransition.auto;
  const context = new Uint8Array(0);
  expect(driver.proposeConfChange({ transition, changes, context })).toBeUndefined();
  driver.wake();
  clock.runDue();
  sent.length = 0;
  // Both followers have it before it is durable here.
  for (const from of [2n, 3n]) {
    const answer = { type: 'appendResponse', from, to: 1n, term: 1, index: 2 } as const;
    driver.receive([{ ...answer, reject: false, rejectHint: 0, logTerm: 0 }]);
  }
  clock.runDue();
  expect(driver.committedIndex).toBe(2);
  expect(sent).toEqual([]);
  written();
  expect(sent.map(({ type, to }) => [type, to])).toEqual([
    ['committed', 2n],
    ['committed', 3n],
  ]);
});

test('a leader stays awake for its writes while these can usually be applied soon', () => {
  const fixture = setUp([1n, 2n, 3n]);
  const { clock, driver, written } = fixture;
  leading(fixture);
  let index = 1;
  const write = (tookMs: number): void => {
    driver.propose(proposal(7n));
    clock.runDue();
    // The others are done at once.
    acknowledged(fixture, ++index);
    driver.receive([{ ...appendResponse, from: 3n, index }]);
    clock.advance(tookMs);
    written();
  };
  for (let count = 0; count < 60; count++) write(2);
  expect(clock.awakeMs).toEqual([]);
  for (let count = 0; count < 60; count++) write(0.1);
  expect(clock.awakeMs.length).toBeGreaterThan(30);
});

test('a follower does not stay awake for its writes', () => {
  const fixture = setUp([1n, 2n, 3n]);
  const { clock, driver, writes, written } = fixture;
  following(fixture);
  for (let index = 1; index <= 60; index++) {
    const entry = { index, term: 1, kind: EntryKind.normal, data: new Uint8Array(1) };
    const previous = { index: index - 1, logTerm: index === 1 ? 0 : 1, commit: index - 1 };
    driver.receive([{ type: 'append', from: 2n, to: 1n, term: 1, ...previous, entries: [entry] }]);
    clock.runDue();
    expect(writes).toHaveLength(1);
    clock.advance(0.1);
    written();
  }
  expect(clock.awakeMs).toEqual([]);
});
