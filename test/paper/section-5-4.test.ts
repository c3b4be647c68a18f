/** The statements of the Raft paper about safety (5.4) and the five properties of figure 3. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Entry, MemberId } from '../../src/raft/index.ts';
import { clusterOf, type MemberOptions, type RaftCluster } from '../support/raft-cluster.ts';

const three = [1n, 2n, 3n];
const five = [1n, 2n, 3n, 4n, 5n];

describe('Raft 5.4.1: election restriction', () => {
  test.each([
    // the voter's log, the candidate's last entry, granted
    [[1], 1, 1, true],
    [[1], 2, 1, true],
    [[1, 1], 1, 1, false],
    [[1], 1, 2, true],
    [[1, 1, 1], 1, 2, true],
    [[1, 2], 5, 1, false],
    [[2], 1, 1, false],
    [[], 0, 0, true],
    [[1], 0, 0, false],
  ])(
    '5.4.1: a log of terms %j, a candidate that ends in (%i, %i): %s',
    (terms, index, logTerm, granted) => {
      const cluster = clusterOf(three, { index: 0 });
      cluster.member(1n).startWith({ term: 5, vote: 0n, commit: 0 }, terms);
      const request = { type: 'vote', from: 2n, to: 1n, term: 6, index, logTerm } as const;
      cluster.node(1n).step({ ...request, transfer: false });
      cluster.handleReady(1n);
      expect(cluster.take({ to: 2n })).toMatchObject([{ type: 'voteResponse', reject: !granted }]);
      expect(cluster.node(1n).status()).toMatchObject({ term: 6, vote: granted ? 2n : 0n });
    },
  );

  test('5.4.1: who lacks a committed entry cannot win, however often it tries', () => {
    const cluster = clusterOf(three);
    cluster.elect(1n);
    cluster.propose(1n, 'x');
    cluster.settle([1n, 2n]);
    cluster.take();
    for (let attempt = 0; attempt < 3; attempt++) {
      cluster.node(3n).campaign();
      cluster.settle([2n, 3n]);
      expect(cluster.node(3n).status().role).not.toBe('leader');
    }
    cluster.node(2n).campaign();
    cluster.settle([2n, 3n]);
    expect(cluster.node(2n).status().role).toBe('leader');
    expect(cluster.appliedCommands(3n)).toEqual(['x']);
  });
});

describe('Raft 5.4.2: entries of previous terms', () => {
  /** Figure 8 up to (c): entry 2 of term 2 is on a majority, led by 1 in term 4. */
  function figure8(): RaftCluster {
    const cluster = clusterOf(five, { index: 0 });
    const logs: readonly (readonly number[])[] = [[1, 2], [1, 2], [1], [1], [1, 3]];
    logs.forEach((terms, position) => {
      cluster.member(BigInt(position + 1)).startWith({ term: 3, vote: 0n, commit: 1 }, terms);
    });
    cluster.node(1n).campaign();
    cluster.settle([1n]);
    for (const id of [2n, 3n]) {
      cluster.deliver({ to: id, type: 'vote' });
      cluster.handleReady(id);
    }
    cluster.deliver({ to: 1n });
    expect(cluster.node(1n).status()).toMatchObject({ role: 'leader', term: 4 });
    return cluster;
  }

  /** Lets the leader bring its old entry, but not its new one, to members 2 and 3. */
  function replicateOldEntry(cluster: RaftCluster): void {
    cluster.handleReady(1n);
    for (const follower of [2n, 3n, 2n, 3n, 2n, 3n]) {
      for (const message of cluster.take({ to: follower })) {
        const cut = message.type === 'append' ? message.entries.filter(({ term }) => term < 4) : [];
        const sent = message.type === 'append' ? { ...message, entries: cut } : message;
        cluster.node(follower).step(sent);
      }
      cluster.settle([follower]);
      cluster.deliver({ to: 1n, from: follower });
      if (cluster.node(1n).hasReady()) cluster.handleReady(1n);
    }
  }

  test('5.4.2, figure 8 (c): an old entry on a majority is not committed by counting', () => {
    const cluster = figure8();
    replicateOldEntry(cluster);
    expect(cluster.member(3n).logTerms()).toEqual([1, 2]);
    const { progress, committed } = cluster.node(1n).status();
    const holders = progress.filter(({ match }) => match >= 2).map(({ member }) => member);
    expect(holders, 'a majority, and the leader knows it').toEqual([1n, 2n, 3n]);
    expect(cluster.member(2n).logTerms()).toEqual([1, 2]);
    expect(committed).toBe(1);
  });

  test('5.4.2, figure 8 (d): so a later leader may overwrite it', () => {
    const cluster = figure8();
    replicateOldEntry(cluster);
    cluster.take();
    cluster.member(5n).node.campaign();
    cluster.settle([2n, 3n, 4n, 5n]);
    cluster.node(5n).campaign();
    cluster.settle([2n, 3n, 4n, 5n]);
    expect(cluster.node(5n).status().role).toBe('leader');
    expect(cluster.member(3n).logTerms().slice(0, 2)).toEqual([1, 3]);
  });

  test('5.4.2, figure 8 (e): an entry of the own term commits it along, and then it stays', () => {
    const cluster = figure8();
    cluster.settle([1n, 2n, 3n]);
    expect(cluster.node(1n).status().committed).toBe(3);
    cluster.take();
    cluster.node(5n).campaign();
    cluster.settle([2n, 3n, 4n, 5n]);
    cluster.node(5n).campaign();
    cluster.settle([2n, 3n, 4n, 5n]);
    expect(cluster.node(5n).status().role).not.toBe('leader');
    expect(cluster.member(3n).logTerms()).toEqual([1, 2, 4]);
  });
});

type Step =
  | { readonly kind: StepOfOne; readonly who: number }
  | { readonly kind: 'deliver' | 'lose' | 'repeat'; readonly which: number }
  | { readonly kind: 'calm' };
type StepOfOne = 'tick' | 'campaign' | 'work' | 'write' | 'apply' | 'propose' | 'crash';

const ofOne = (weight: number, kind: StepOfOne): fc.WeightedArbitrary<Step> => ({
  weight,
  arbitrary: fc.record({ kind: fc.constant(kind), who: fc.nat({ max: 4 }) }),
});
const ofMessage = (
  weight: number,
  kind: 'deliver' | 'lose' | 'repeat',
): fc.WeightedArbitrary<Step> => ({
  weight,
  arbitrary: fc.record({ kind: fc.constant(kind), which: fc.nat({ max: 1000 }) }),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  ofOne(8, 'work'),
  ofOne(6, 'write'),
  ofOne(4, 'apply'),
  ofMessage(14, 'deliver'),
  ofOne(4, 'propose'),
  ofOne(2, 'tick'),
  ofOne(1, 'campaign'),
  ofMessage(1, 'lose'),
  ofMessage(1, 'repeat'),
  ofOne(1, 'crash'),
  // Without calm moments hardly anything would ever be agreed upon.
  { weight: 2, arbitrary: fc.constant({ kind: 'calm' }) },
);

/** Watches a cluster and fails as soon as one of figure 3's properties does not hold. */
class Figure3 {
  readonly cluster: RaftCluster;
  readonly #leaders = new Map<number, MemberId>();
  readonly #leaderLogs = new Map<string, readonly Entry[]>();
  readonly #applied = new Map<number, Entry>();
  commits = 0;
  elections = 0;

  constructor(cluster: RaftCluster) {
    this.cluster = cluster;
  }

  check(): void {
    for (const { id, node } of this.cluster.members.values()) {
      const { role, term } = node.status();
      if (role === 'leader') this.#checkLeader(id, term);
      this.#checkApplied(id);
    }
    this.#checkLogMatching();
  }

  #fullLog(id: MemberId): readonly Entry[] {
    const { log } = this.cluster.node(id).core;
    const entries = log.slice(log.firstIndex(), log.lastIndex + 1, Infinity);
    return typeof entries === 'symbol' ? [] : entries;
  }

  #checkLeader(id: MemberId, term: number): void {
    const known = this.#leaders.get(term);
    if (known === undefined) {
      this.elections++;
      this.#leaders.set(term, id);
      const own = new Map(this.#fullLog(id).map((entry) => [entry.index, entry]));
      for (const [index, entry] of this.#applied) {
        expect(own.get(index)?.term, `leader completeness at ${index}`).toBe(entry.term);
      }
    } else {
      expect(id, `election safety in term ${term}`).toBe(known);
    }
    const log = this.#fullLog(id);
    const before = this.#leaderLogs.get(`${id} ${term}`) ?? [];
    expect(log.slice(0, before.length), 'leader append-only').toEqual(before);
    this.#leaderLogs.set(`${id} ${term}`, log);
  }

  #checkApplied(id: MemberId): void {
    for (const entry of this.cluster.member(id).applied) {
      const other = this.#applied.get(entry.index);
      if (other === undefined) {
        this.#applied.set(entry.index, entry);
        this.commits++;
      } else {
        expect(entry, `state machine safety at ${entry.index}`).toEqual(other);
      }
    }
  }

  #checkLogMatching(): void {
    const logs = [...this.cluster.members.keys()].map((id) => this.#fullLog(id));
    const [first = [], ...others] = logs;
    for (const other of others) {
      const shared = first.findLastIndex((entry, at) => other[at]?.term === entry.term);
      expect(other.slice(0, shared + 1), 'log matching').toEqual(first.slice(0, shared + 1));
    }
  }
}

function play(watch: Figure3, each: Step): void {
  const { cluster } = watch;
  if (each.kind === 'calm') {
    for (const id of cluster.members.keys()) cluster.handleReady(id);
    cluster.deliver();
    return;
  }
  if ('which' in each) {
    const { network } = cluster;
    if (network.length === 0) return;
    const position = each.which % network.length;
    const message = network[position];
    if (message === undefined) return;
    if (each.kind !== 'repeat') network.splice(position, 1);
    if (each.kind === 'lose') return;
    cluster.node(message.to).step(message);
    return;
  }
  const id = BigInt((each.who % cluster.members.size) + 1);
  const node = cluster.node(id);
  switch (each.kind) {
    case 'tick':
      cluster.tick(id);
      break;
    case 'campaign':
      node.campaign();
      break;
    case 'propose':
      node.propose([Buffer.from(`${id} ${watch.commits}`)]);
      break;
    case 'crash':
      cluster.member(id).restart();
      break;
    case 'work':
      if (node.hasReady()) cluster.takeReady(id);
      break;
    case 'write':
      cluster.finishWrite(id);
      break;
    case 'apply':
      cluster.finishApply(id);
      break;
  }
}

describe('Raft figure 3: what is true at all times', () => {
  const variants: readonly (readonly [string, MemberOptions])[] = [
    ['plain Raft', {}],
    ['pre-vote', { preVote: true }],
    ['check-quorum', { checkQuorum: true }],
    ['pre-vote and check-quorum', { preVote: true, checkQuorum: true }],
  ];

  test.each(variants)(
    'figure 3: whatever gets lost, repeated, reordered or crashes (%s)',
    (_name, options) => {
      let commits = 0;
      let elections = 0;
      fc.assert(
        fc.property(
          fc.array(step, { minLength: 150, maxLength: 400 }),
          fc.constantFrom(3, 5),
          (steps, size) => {
            const cluster = clusterOf(five.slice(0, size), options);
            for (const member of cluster.members.values()) {
              member.electionTimeout = 3 + (Number(member.id) % 3);
              member.restart();
            }
            const watch = new Figure3(cluster);
            for (const each of steps) {
              play(watch, each);
              watch.check();
            }
            commits += watch.commits;
            elections += watch.elections;
          },
        ),
        { numRuns: 30, seed: 3 },
      );
      // The properties are worth something only if things happen.
      expect(elections).toBeGreaterThan(20);
      expect(commits).toBeGreaterThan(20);
    },
  );
});
