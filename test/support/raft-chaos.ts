/** A run of a Raft network in which everything that may happen does, by chance from a seed. */
import assert from 'node:assert/strict';
import { SeededRandom } from '../../src/base/random.ts';
import {
  type ConfChangeTransition,
  type ConfChangeType,
  type ConfChange,
  type ConfChangeSingle,
  type MemberId,
} from '../../src/raft/index.ts';
import type { HostOptions, RaftHost } from './raft-host.ts';
import { RaftNetwork } from './raft-network.ts';

/** Messages under way past this are lost, as in a full queue. */
const inFlightLimit = 400;

/** How likely each kind of event is in a run: drawn per run, so that runs differ in character. */
interface Weights {
  tick: number;
  deliver: number;
  drop: number;
  duplicate: number;
  ready: number;
  sync: number;
  apply: number;
  propose: number;
  read: number;
  confChange: number;
  transfer: number;
  meddle: number;
  cut: number;
  heal: number;
  crash: number;
  restart: number;
  /** As restart, after the loss of the log. */
  lose: number;
  compact: number;
}

export interface ChaosOutcome {
  readonly committed: number;
  readonly reads: number;
  readonly dropped: number;
  readonly maxTerm: number;
  readonly crashes: number;
  readonly confChanges: number;
  readonly snapshots: number;
  readonly losses: number;
  /** Losses after which the member had its log back before the run ended. */
  readonly recoveries: number;
  /** 1 if the run ended without a majority of members that have their logs. */
  readonly starvations: number;
  /** 1 if the run ended in a standstill, because who was removed was stopped too early. */
  readonly standstills: number;
}

const voters: readonly MemberId[] = [1n, 2n, 3n];
const spare: readonly MemberId[] = [4n, 5n, 6n];

export class RaftChaos {
  readonly network: RaftNetwork;
  readonly #random: SeededRandom;
  readonly #weights: Weights;
  readonly #events: readonly (keyof Weights)[];
  readonly #options: HostOptions;
  #total = 0;
  #proposals = 0;
  #crashes = 0;
  #confChanges = 0;
  #losses = 0;
  #recoveries = 0;
  /** The member that lost its log last, until it has it back. */
  #loser: RaftHost | undefined;
  readonly #abstaining: boolean;

  /** @param abstaining members that lost their log abstain, as they must */
  constructor(seed: number, abstaining = true) {
    this.#abstaining = abstaining;
    this.#random = new SeededRandom(seed);
    this.#options = this.#drawOptions();
    this.network = new RaftNetwork(voters, { seed, spare, options: this.#options });
    this.#weights = this.#drawWeights();
    this.#events = Object.keys(this.#weights) as (keyof Weights)[];
    for (const event of this.#events) this.#total += this.#weights[event];
  }

  #chance(probability: number): boolean {
    return this.#random.next() < probability;
  }

  #drawOptions(): HostOptions {
    const small = this.#chance(0.5);
    const leaseReads = this.#chance(0.25);
    const checkQuorum = leaseReads || this.#chance(0.7);
    return {
      leaseReads,
      electionTicks: 5 + this.#random.below(6),
      appendSizeLimitBytes: small ? 64 : 4096,
      committedSizeLimitBytes: small ? 48 : 4096,
      uncommittedSizeLimitBytes: small ? 400 : 1_000_000,
      inflightMessagesLimit: small ? 1 + this.#random.below(4) : 64,
      inflightBytesLimit: small ? 128 : 65_536,
      preVote: this.#chance(0.7),
      checkQuorum,
      stepDownOnRemoval: this.#chance(0.8),
      disableProposalForwarding: this.#chance(0.2),
    };
  }

  #drawWeights(): Weights {
    const rare = (scale: number): number => (this.#chance(0.6) ? this.#random.next() * scale : 0);
    const tick = 20 + this.#random.next() * 60;
    return {
      // A lease needs clocks that run alike: then one event is a tick of all.
      tick: this.#options.leaseReads === true ? tick / 6 : tick,
      deliver: 150,
      drop: rare(20),
      duplicate: rare(10),
      ready: 60,
      sync: 20 + this.#random.next() * 40,
      apply: 30,
      propose: 5 + this.#random.next() * 20,
      read: this.#options.leaseReads === true ? 15 : 5,
      confChange: rare(5),
      transfer: rare(1.5),
      meddle: rare(1.5),
      cut: rare(1),
      heal: 1,
      crash: rare(2),
      restart: 4,
      lose: rare(8),
      compact: rare(10),
    };
  }

  run(steps: number): ChaosOutcome {
    for (let each = 0; each < steps; each++) this.#step();
    const end = this.#converge();
    let maxTerm = 0;
    for (const host of this.network.hosts.values()) {
      maxTerm = Math.max(maxTerm, host.node.core.term);
    }
    return {
      committed: this.network.oracle.highestCommit,
      reads: this.network.answeredReads.length,
      dropped: this.network.dropped.length,
      maxTerm,
      crashes: this.#crashes,
      confChanges: this.#confChanges,
      snapshots: this.network.oracle.snapshots,
      losses: this.#losses,
      recoveries: this.#recoveries,
      starvations: end === 'starved' ? 1 : 0,
      standstills: end === 'standstill' ? 1 : 0,
    };
  }

  #step(): void {
    let left = this.#random.next() * this.#total;
    for (const event of this.#events) {
      left -= this.#weights[event];
      if (left < 0) {
        this.#happen(event);
        return;
      }
    }
  }

  #pick(): RaftHost {
    const hosts = [...this.network.hosts.values()];
    return hosts[this.#random.below(hosts.length)] as RaftHost;
  }

  #happen(event: keyof Weights): void {
    const { network } = this;
    if (event === 'heal') {
      network.heal();
      return;
    }
    if (event === 'deliver' || event === 'drop' || event === 'duplicate') {
      this.#moveMessage(event);
      return;
    }
    if (event === 'tick' && this.#options.leaseReads === true) {
      for (const each of network.hosts.values()) {
        if (each.alive) network.act(each, ({ node }) => node.tick());
      }
      return;
    }
    const host = this.#pick();
    if (event === 'restart') {
      if (!host.alive) host.restart();
      return;
    }
    if (event === 'lose') {
      this.#lose(host);
      return;
    }
    if (!host.alive) return;
    if (event === 'crash') {
      this.#crashes++;
      host.crash(this.#random.below(host.writes.length + 1));
      return;
    }
    if (event === 'cut') {
      this.#cut(host);
      return;
    }
    if (event === 'read') {
      network.read(host.id);
      return;
    }
    network.act(host, () => this.#local(event, host));
  }

  /** One member at a time: while two abstain, three of five may be too few to go on. */
  #lose(host: RaftHost): void {
    this.#noticeRecovery();
    if (host.alive || (this.#loser !== undefined && this.#loser !== host)) return;
    // Who is no voter cannot do harm, and may never hear from a leader again.
    if (!host.node.core.tracker.isVoter(host.id)) return;
    if (this.#loser === undefined) this.#losses++;
    this.#loser = host;
    host.loseLog(this.#abstaining);
    host.restart();
  }

  #noticeRecovery(): void {
    if (this.#loser?.abstains !== false) return;
    this.#recoveries++;
    this.#loser = undefined;
  }

  #local(event: keyof Weights, host: RaftHost): void {
    switch (event) {
      case 'tick': {
        host.node.tick();
        return;
      }
      case 'ready':
        if (host.node.hasReady()) host.takeReady();
        return;
      case 'sync': {
        host.sync(1 + this.#random.below(host.writes.length + 1), this.#chance(0.5));
        return;
      }
      case 'apply': {
        host.apply(1 + this.#random.below(host.toApply.length + 1));
        return;
      }
      case 'propose': {
        this.#propose(host);
        return;
      }
      case 'confChange': {
        this.#confChange(host);
        return;
      }
      case 'transfer':
        host.node.transferLeader(this.#pick().id);
        return;
      case 'meddle': {
        this.#meddle(host);
        return;
      }
      case 'compact':
        host.flush();
        if (this.#chance(0.5)) host.compact(this.#random.below(5));
        return;
      default:
        assert.fail(`no event ${event}`);
    }
  }

  #moveMessage(event: 'deliver' | 'drop' | 'duplicate'): void {
    const { network } = this;
    const { inFlight } = network;
    if (inFlight.length > inFlightLimit) this.#dropMessage(0);
    if (inFlight.length === 0) return;
    // Mostly in order, as connections are, with some overtaking.
    const position = this.#chance(0.7) ? 0 : this.#random.below(inFlight.length);
    const message = inFlight[position];
    if (message === undefined) return;
    if (event === 'drop') {
      this.#dropMessage(position);
      return;
    }
    if (event === 'deliver') inFlight.splice(position, 1);
    if (event === 'duplicate') {
      if (network.connected(message)) network.deliver(message);
      return;
    }
    network.deliverOrLose(message);
  }

  #dropMessage(position: number): void {
    const [message] = this.network.inFlight.splice(position, 1);
    if (message?.type !== 'snapshot') return;
    const sender = this.network.host(message.from);
    if (!sender.alive) return;
    this.network.act(sender, () => sender.node.reportSnapshot(message.to, false));
  }

  #propose(host: RaftHost): void {
    const count = 1 + this.#random.below(4);
    const datas: Uint8Array[] = [];
    for (let each = 0; each < count; each++) {
      this.#proposals++;
      const data = new Uint8Array(4 + this.#random.below(30));
      new DataView(data.buffer).setUint32(0, this.#proposals);
      datas.push(data);
    }
    host.node.propose(datas);
  }

  #confChange(host: RaftHost): void {
    const changes: ConfChangeSingle[] = [];
    const count = this.#chance(0.6) ? 1 : this.#random.below(4);
    for (let each = 0; each < count; each++) {
      const type = this.#random.below(4) as ConfChangeType;
      changes.push({ type, member: this.#pick().id });
    }
    const transition = this.#random.below(3) as ConfChangeTransition;
    const change: ConfChange = { transition, changes, context: new Uint8Array(0) };
    if (host.node.proposeConfChange(change) === undefined) this.#confChanges++;
  }

  #meddle(host: RaftHost): void {
    switch (this.#random.below(4)) {
      case 0: {
        host.node.campaign();
        return;
      }
      case 1: {
        host.node.forgetLeader();
        return;
      }
      case 2: {
        host.node.reportUnreachable(this.#pick().id);
        return;
      }
      default: {
        host.node.reportSnapshot(this.#pick().id, this.#chance(0.5));
        return;
      }
    }
  }

  #cut(host: RaftHost): void {
    const { network } = this;
    switch (this.#random.below(4)) {
      case 0:
      case 1:
        network.isolate(host.id);
        return;
      case 2:
        network.isolate(host.id, this.#pick().id);
        return;
      default:
        network.cut(host.id, this.#pick().id);
    }
  }

  /** Faults end: the members must agree again, take proposals and answer reads. */
  #converge(): 'converged' | 'standstill' | 'starved' {
    const { network } = this;
    network.heal();
    for (const host of network.hosts.values()) if (!host.alive) host.restart();
    network.settle();
    const goal = network.oracle.highestCommit;
    for (let round = 0; round < 200; round++) {
      network.tick();
      if (round % 20 === 19) this.#leaveJoint();
      this.#stopRemovedLeader();
      if (round > 60 && this.#converged(goal)) break;
    }
    this.#noticeRecovery();
    if (!this.#converged(goal) && this.#lostItsRemovedLeader()) return 'standstill';
    if (!this.#converged(goal) && this.#starved()) return 'starved';
    assert.ok(this.#converged(goal), `no convergence: ${this.#describe()}`);
    const leader = network.leader();
    assert.ok(leader);
    const before = network.oracle.highestCommit;
    const answered = network.answeredReads.length;
    assert.equal(network.propose(leader.id, 'after'), undefined);
    network.settle();
    assert.ok(network.oracle.highestCommit > before, 'nothing commits after the faults');
    network.read(leader.id);
    network.settle();
    assert.ok(network.answeredReads.length > answered, 'no read is answered after the faults');
    return 'converged';
  }

  /** Some configuration in use has no majority without the member that abstains. */
  #starved(): boolean {
    const loser = this.#loser?.id;
    if (loser === undefined) return false;
    return [...this.network.hosts.values()].some(({ node }) => {
      const { incoming, outgoing } = node.core.tracker.config.voters;
      return [incoming, outgoing].some((half) => half.has(loser) && half.size <= 2);
    });
  }

  /** Only removed members that were stopped know that their removal is committed. */
  #lostItsRemovedLeader(): boolean {
    const hosts = [...this.network.hosts.values()];
    const isRemaining = ({ node: { core } }: RaftHost): boolean => core.tracker.isVoter(core.id);
    const committed = ({ node }: RaftHost): number => node.core.log.committed;
    const known = Math.max(0, ...hosts.filter(isRemaining).map(committed));
    return hosts.some((host) => !host.alive && !isRemaining(host) && committed(host) > known);
  }

  /** An explicit joint configuration is left by its host alone. */
  #leaveJoint(): void {
    const leader = this.network.leader();
    if (leader === undefined) return;
    const leave = { transition: 0, changes: [], context: new Uint8Array(0) } as const;
    this.network.act(leader, () => leader.node.proposeConfChange(leave));
  }

  /** Without step-down on removal it is the host that stops a member which is none any more. */
  #stopRemovedLeader(): void {
    const leader = this.network.leader();
    if (leader?.node.core.tracker.progress.has(leader.id) === false) leader.crash();
  }

  #converged(goal: number): boolean {
    const leader = this.network.leader();
    if (leader === undefined || leader.appliedIndex < goal) return false;
    const { progress } = leader.node.core.tracker;
    return [...progress.keys()].every(
      (member) => this.network.host(member).appliedIndex === leader.appliedIndex,
    );
  }

  #describe(): string {
    return [...this.network.hosts.values()]
      .map((host) => {
        const { core } = host.node;
        const { lastIndex, committed, applied } = core.log;
        return (
          `${host.id}: ${core.role} of ${core.leader} term ${core.term} last ${lastIndex} ` +
          `committed ${committed} applied ${applied} voters ${core.tracker.voterIds().join()}`
        );
      })
      .join('\n');
  }
}
