/**
 * The Raft core stepped with any message that a decoder lets through, from members and strangers,
 * in any state, among messages of a network that works.
 *
 * A peer that lies is not defended against: it can make a member stop, because going on would risk
 * the data, and these are the ways. Whatever else it says, the member goes on, and what must hold
 * of one member alone holds.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ConfState, MemberId, Message } from '../../src/raft/index.ts';
import { RaftFailure } from '../../src/raft/check.ts';
import { RaftHost, type HostOptions } from '../support/raft-host.ts';
import type { RaftOracle } from '../support/raft-oracle.ts';
import { messages } from '../support/peer-messages.ts';
import { fuzz, type Verdict } from './fuzz.ts';

/** What a member says before it stops, and which lie makes it. */
const refusals: readonly RegExp[] = [
  // An append, heartbeat or snapshot from somebody who does not lead in that term.
  /^two leaders in term \d+: /,
  // A commit index beyond what the member has acknowledged.
  /^told to commit \d+, past the log's end \d+: acknowledged entries were lost$/,
  // An append with another entry in the place of a committed one.
  /^entry \d+ conflicts with a committed entry/,
  // An acknowledgement of entries that the leader never had.
  /^member \d+ acknowledged \d+, past the log's end$/,
];

const stranger = 9n;
/** Terms and indexes that meet those of members which have only just begun. */
const term = fc.nat(6);
const index = fc.nat(14);
/** Messages under way: older ones are lost, as in a network that is too slow. */
const underWayMax = 200;

type Step =
  | { readonly kind: 'message'; readonly message: Message }
  | { readonly kind: 'deliver'; readonly count: number; readonly skip: number }
  | {
      readonly kind:
        | 'tick'
        | 'campaign'
        | 'propose'
        | 'proposeChange'
        | 'read'
        | 'transfer'
        | 'forget'
        | 'ready'
        | 'sync'
        | 'apply'
        | 'compact'
        | 'restart'
        | 'unreachable'
        | 'snapshotStatus';
      readonly member: MemberId;
      readonly value: number;
    };

const confStates = fc
  .tuple(fc.integer({ min: 1, max: 5 }), fc.boolean())
  .map(([count, withLearner]): ConfState => ({
    voters: Array.from({ length: count }, (_, i) => BigInt(i + 1)),
    votersOutgoing: [],
    learners: withLearner ? [BigInt(count + 1)] : [],
    learnersNext: [],
    autoLeave: false,
  }));

function steps(members: readonly MemberId[]): fc.Arbitrary<Step> {
  const member = fc.constantFrom(...members);
  const anybody = fc.constantFrom(...members, stranger);
  const range = {
    from: anybody,
    to: member,
    members: anybody,
    term,
    index,
    context: fc.bigInt({ min: 0n, max: 6n }),
    data: fc.uint8Array({ maxLength: 4 }),
  };
  const snapshot = fc
    .record({ from: anybody, to: member, term, lastTerm: term, index, confState: confStates })
    .map(({ from, to, confState, ...numbers }): Message => {
      const term = Math.max(numbers.term, 1);
      const lastTerm = Math.min(Math.max(numbers.lastTerm, 1), term);
      const metadata = { index: Math.max(numbers.index, 1), term: lastTerm, confState };
      return { type: 'snapshot', from, to, term, snapshot: metadata };
    });
  const own = fc.record({
    kind: fc.constantFrom(
      'tick' as const,
      'campaign',
      'propose',
      'proposeChange',
      'read',
      'transfer',
      'forget',
      'ready',
      'sync',
      'apply',
      'compact',
      'restart',
      'unreachable',
      'snapshotStatus',
    ),
    member,
    value: fc.nat(15),
  });
  const deliver = fc.record({
    kind: fc.constant('deliver' as const),
    count: fc.integer({ min: 1, max: 12 }),
    skip: fc.nat(3),
  });
  return fc.oneof(
    {
      weight: 4,
      arbitrary: messages(range).map((message): Step => ({ kind: 'message', message })),
    },
    { weight: 1, arbitrary: snapshot.map((message): Step => ({ kind: 'message', message })) },
    { weight: 5, arbitrary: own },
    { weight: 4, arbitrary: deliver },
  );
}

/** Between members nothing holds once one of them is lied to. */
const noOracle = {
  written: () => undefined,
  applied: () => undefined,
  installed: () => undefined,
  restarted: () => undefined,
} as unknown as RaftOracle;

class Network {
  readonly hosts = new Map<MemberId, RaftHost>();
  readonly #underWay: Message[] = [];
  #contexts = 1000n;
  stopped = 0;

  constructor(members: readonly MemberId[], options: HostOptions) {
    const confState = {
      voters: members,
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    };
    for (const id of members) {
      this.hosts.set(id, new RaftHost(id, confState, Number(id), noOracle, options));
    }
  }

  /** Everything comes to rest: so messages meet members that have a leader and a log. */
  settle(rounds: number): void {
    for (let round = 0; round < rounds; round++) {
      for (const host of this.hosts.values()) this.#guard(host, () => this.#work(host));
      this.#deliver(underWayMax, 0);
    }
  }

  take(step: Step): void {
    if (step.kind === 'deliver') {
      this.#deliver(step.count, step.skip);
      return;
    }
    const host = this.hosts.get(step.kind === 'message' ? step.message.to : step.member);
    if (host === undefined) return;
    this.#guard(host, () => {
      if (step.kind === 'message') host.node.step(step.message);
      else this.#act(host, step.kind, step.value);
    });
  }

  #work(host: RaftHost): void {
    while (host.node.hasReady()) host.takeReady();
    host.sync();
    host.apply();
    this.#send(host);
  }

  #send(host: RaftHost): void {
    this.#underWay.push(...host.outbox.splice(0));
    this.#underWay.splice(0, this.#underWay.length - underWayMax);
  }

  #deliver(count: number, skip: number): void {
    for (const message of this.#underWay.splice(skip, count)) {
      const host = this.hosts.get(message.to);
      if (host !== undefined) this.#guard(host, () => host.node.step(message));
    }
  }

  /** Does something at a member; if it stops for one of the known reasons, it starts anew. */
  #guard(host: RaftHost, action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof RaftFailure)) throw error;
      if (!refusals.some((each) => each.test(error.message))) throw error;
      this.stopped++;
      host.crash();
      host.restart();
    }
    host.check();
  }

  #act(host: RaftHost, kind: Exclude<Step['kind'], 'message' | 'deliver'>, value: number): void {
    const { node } = host;
    const target = BigInt(1 + (value % (this.hosts.size + 1)));
    switch (kind) {
      case 'tick':
        for (let ticks = 0; ticks <= value; ticks++) node.tick();
        return;
      case 'campaign':
        node.campaign();
        return;
      case 'propose':
        node.propose([Uint8Array.of(value)]);
        return;
      case 'proposeChange': {
        const type = ([0, 1, 3] as const)[value % 3] ?? 0;
        node.proposeConfChange({
          transition: value % 2 === 0 ? 0 : 1,
          changes: [{ type, member: target }],
          context: new Uint8Array(),
        });
        return;
      }
      case 'read':
        node.readIndex(this.#contexts++);
        return;
      case 'transfer':
        node.transferLeader(target);
        return;
      case 'forget':
        node.forgetLeader();
        return;
      case 'ready':
        if (node.hasReady()) host.takeReady();
        this.#send(host);
        return;
      case 'sync':
        host.sync(Math.min(host.writes.length, 1 + (value % 3)), value % 2 === 1);
        this.#send(host);
        return;
      case 'apply':
        host.apply(Math.min(host.toApply.length, value));
        if (value % 4 === 0) host.flush();
        return;
      case 'compact':
        host.compact(value % 4);
        return;
      case 'restart':
        host.crash(value % 2);
        host.restart();
        return;
      case 'unreachable':
        node.reportUnreachable(target);
        return;
      case 'snapshotStatus':
        node.reportSnapshot(target, value % 2 === 0);
        return;
    }
  }
}

const hostOptions: fc.Arbitrary<HostOptions> = fc.record({
  preVote: fc.boolean(),
  checkQuorum: fc.boolean(),
  stepDownOnRemoval: fc.boolean(),
  disableProposalForwarding: fc.boolean(),
  electionTicks: fc.constantFrom(3, 10),
  inflightMessagesLimit: fc.constantFrom(1, 4, 256),
});

interface Run {
  readonly options: HostOptions;
  readonly rounds: number;
  readonly actions: readonly Step[];
}

function runs(members: readonly MemberId[]): fc.Arbitrary<Run> {
  return fc.record({
    options: hostOptions,
    rounds: fc.nat(6),
    actions: fc.array(steps(members), { minLength: 5, maxLength: 60, size: 'max' }),
  });
}

describe('the Raft core takes any message', () => {
  for (const count of [1, 3, 5]) {
    const members = Array.from({ length: count }, (_, i) => BigInt(i + 1));
    const attempt = ({ options, rounds, actions }: Run): Verdict => {
      const network = new Network(members, options);
      if (rounds > 0) network.take({ kind: 'campaign', member: 1n, value: 0 });
      network.settle(rounds);
      for (const action of actions) network.take(action);
      network.settle(2);
      // The members work on: no work is left over that nobody does.
      for (const host of network.hosts.values()) {
        for (let turns = 0; host.node.hasReady(); turns++) {
          expect(turns, 'a member never rests').toBeLessThan(100);
          host.takeReady();
          host.sync();
        }
      }
      return network.stopped > 0 ? 'refused' : 'accepted';
    };
    fuzz(`among ${count}`, runs(members), attempt, { weight: 0.5 });
  }

  test('and says which lies it stops for', () => {
    const entry = { index: 2, term: 1, kind: 0, data: new Uint8Array() } as const;
    const way = { from: 2n, to: 1n, term: 1 };
    const lies: readonly Message[] = [
      { type: 'heartbeat', ...way, from: 3n, commit: 0, context: 0n },
      { type: 'heartbeat', ...way, commit: 99, context: 0n },
      { type: 'append', ...way, index: 1, logTerm: 1, commit: 2, entries: [entry] },
    ];
    const network = new Network([1n, 2n, 3n], {});
    const [host] = network.hosts.values();
    expect(host).toBeDefined();
    network.take({
      kind: 'message',
      message: {
        type: 'append',
        ...way,
        index: 0,
        logTerm: 0,
        commit: 1,
        entries: [{ ...entry, index: 1 }],
      },
    });
    for (const message of lies) network.take({ kind: 'message', message });
    expect(network.stopped).toBe(2);
  });
});
