/**
 * Runs a plan: first everything that can go wrong, while promises must hold; then the faults end
 * for a quorum, which must make progress, and for all, who must come to the same state.
 */
import { armFaultPoints, type FaultPoint } from '../../src/base/fault-point.ts';
import type { Member } from '../../src/server/member.ts';
import { clearsAtBytes } from '../../src/server/quota.ts';
import { stateHashOf, stateSizeBytes } from '../../src/server/state.ts';
import { checkHistory } from '../check/index.ts';
import type { Call, History, Operation } from '../check/history.ts';
import { LockLedger } from '../check/lock-ledger.ts';
import { Client, type Workload } from './client.ts';
import { type Breach, Cluster } from './cluster.ts';
import { streamOf } from './chance.ts';
import { Faults } from './faults.ts';
import type { Fault, FaultKind } from './fault-plan.ts';
import type { Plan } from './plan.ts';
import { LeaseHolder } from './lease-holder.ts';
import { LoggedLeases } from './logged-leases.ts';
import { lockName, LockHolder } from './lock-holder.ts';
import { lastingFaults } from './network.ts';
import { Operator } from './operator.ts';
import { Port } from './port.ts';
import { Recorder } from './recorder.ts';
import { Scheduler } from './scheduler.ts';
import type { Burst } from './stage.ts';
import { Trace } from './trace.ts';
import { truthOf } from './truth.ts';
import { Watcher } from './watcher.ts';

/** A run that saw less proves little, and does not count. */
export const enough = { operations: 300, faults: 10, elections: 2 } as const;
/** The first phase ends here even if too little happened. */
const chaosLimitMs = 40_000;
/** Time in which a healthy quorum must have a leader and answer, and all must agree. */
const progressLimitMs = 60_000;
/** Answers that a healthy quorum must give. */
const progressOperations = 20;
const sliceMs = 1_000;
/** Members that stay as they are for so long are settled: no request waits longer. */
const settledMs = 7_000;
/** How long each leader lasts while the leases of a healed cluster run out: less than they do. */
const reignMs = 4_000;
const leaderFalls: Fault = { kind: 'crash', target: 'leader', power: true };

export interface RunOptions {
  /** Takes the timeline, a line at a time. */
  readonly line?: (text: string) => void;
  /** Ends the run at this time, without the second phase. */
  readonly untilMs?: number;
}

export interface RunReport {
  readonly seed: number;
  readonly hash: string;
  readonly breaches: readonly Breach[];
  /** It saw enough to count. */
  readonly counts: boolean;
  readonly virtualMs: number;
  readonly events: number;
  readonly operations: number;
  readonly answered: number;
  readonly renewals: number;
  readonly expiredLeases: number;
  readonly locks: number;
  /** Changes of members that were agreed on, and answers that told who they were. */
  readonly memberChanges: number;
  readonly memberLists: number;
  readonly watchRecords: number;
  readonly elections: number;
  readonly statesCompared: number;
  readonly messages: number;
  readonly faults: Readonly<Partial<Record<FaultKind, number>>>;
  /** Steps at which a member was made to crash or fail. */
  readonly points: Readonly<Partial<Record<FaultPoint, number>>>;
  readonly history: History;
}

export async function simulate(plan: Plan, options: RunOptions = {}): Promise<RunReport> {
  const run = new Run(plan, options);
  return run.run();
}

class Run {
  readonly #plan: Plan;
  readonly #options: RunOptions;
  readonly #trace: Trace;
  readonly #scheduler: Scheduler;
  readonly #cluster: Cluster;
  readonly #recorder: Recorder;
  readonly #faults: Faults;
  readonly #workload: Workload;
  readonly #clients: Client[];
  readonly #watchers: Watcher[];
  readonly #ledger: LoggedLeases;
  readonly #holders: (LeaseHolder | LockHolder)[];
  readonly #locks = new LockLedger(lockName);
  readonly #operator: Operator | undefined;
  #bursts = 0;

  constructor(plan: Plan, options: RunOptions) {
    this.#plan = plan;
    this.#options = options;
    this.#trace = new Trace(options.line);
    this.#scheduler = new Scheduler(this.#trace);
    this.#trace.useClock(() => this.#scheduler.nowMs);
    this.#cluster = new Cluster(plan, this.#scheduler, this.#trace);
    this.#recorder = new Recorder(this.#trace, () => this.#scheduler.nowMs);
    this.#faults = new Faults(
      this.#cluster,
      (burst) => this.#burst(burst),
      (fault) => this.#operator?.begin(fault),
    );
    const port = new Port({
      cluster: this.#cluster,
      chance: streamOf(plan.seed, 'port'),
      reaches: (position) => this.#faults.clientsReach(position),
    });
    this.#workload = { plan, port, recorder: this.#recorder, compacted: 0 };
    this.#clients = plan.clients.map((each) => new Client(each, this.#workload));
    this.#watchers = plan.watchers.map((each) => new Watcher(each, this.#workload));
    this.#ledger = new LoggedLeases(
      () => this.#scheduler.nowMs,
      (rule, text) => this.#cluster.broken(rule, text),
    );
    const { ledger } = this.#cluster;
    this.#cluster.oracle.onApplied = (entry) => {
      this.#ledger.applied(entry);
      ledger?.applied(entry);
    };
    if (plan.membership !== undefined && ledger !== undefined) {
      const strike = (fault: Fault, forMs: number): void =>
        this.#faults.schedule([{ atMs: 0, forMs, fault }]);
      const { membership } = plan;
      this.#operator = new Operator({
        cluster: this.#cluster,
        plan: membership,
        ledger,
        port,
        strike,
      });
    }
    this.#holders = [
      ...plan.leaseHolders.map((each) => new LeaseHolder(each, this.#workload, this.#ledger)),
      ...plan.lockHolders.map((each) => new LockHolder(each, this.#workload, this.#locks)),
    ];
  }

  async run(): Promise<RunReport> {
    this.#cluster.start();
    for (const client of this.#clients) client.start();
    for (const watcher of this.#watchers) watcher.start();
    for (const holder of this.#holders) holder.start();
    this.#operator?.start();
    this.#faults.schedule(this.#plan.faults);
    const { untilMs } = this.#options;
    if (untilMs !== undefined) await this.#pass(untilMs);
    else await this.#phases();
    armFaultPoints(undefined);
    return this.#report(untilMs === undefined);
  }

  get #broken(): boolean {
    return this.#cluster.breaches.length > 0;
  }

  async #phases(): Promise<void> {
    await this.#pass(this.#plan.chaosMs);
    while (!this.#broken && !this.#sawEnough() && this.#scheduler.nowMs < chaosLimitMs) {
      // Faults that found no victim leave a run too quiet: the leader falls until it is not.
      this.#faults.schedule([{ atMs: 0, forMs: sliceMs / 2, fault: leaderFalls }]);
      await this.#pass(this.#scheduler.nowMs + 2 * sliceMs);
    }
    if (!this.#broken) await this.#membersSettle();
    if (!this.#broken) await this.#quorumHeals();
    if (!this.#broken) await this.#allHeal();
    if (!this.#broken) await this.#leasesEnd();
    if (!this.#broken) await this.#alarmsEnd();
  }

  async #pass(untilMs: number): Promise<void> {
    await this.#scheduler.run(untilMs, () => this.#broken);
  }

  #sawEnough(): boolean {
    return (
      this.#recorder.answered >= enough.operations &&
      this.#faults.count >= enough.faults &&
      this.#cluster.oracle.elections >= enough.elections
    );
  }

  /** Which quorum is to do without the others shows when no change is under way any more. */
  async #membersSettle(): Promise<void> {
    const { cluster, operator } = { cluster: this.#cluster, operator: this.#operator };
    const { ledger } = cluster;
    if (operator === undefined || ledger === undefined) return;
    this.#trace.say('run', 'the members settle');
    this.#faults.heal();
    operator.stop();
    for (const member of cluster.members) member.start();
    let { latest } = ledger;
    let sinceMs = this.#scheduler.nowMs;
    await this.#until(
      'membership-progress',
      () => {
        const unsettled = operator.busy || cluster.unsettled !== undefined;
        if (unsettled || latest !== ledger.latest) {
          sinceMs = this.#scheduler.nowMs;
          ({ latest } = ledger);
        }
        return this.#scheduler.nowMs - sinceMs >= settledMs;
      },
      () => cluster.unsettled ?? 'changes of members went on',
    );
  }

  /** The rest stays away: a quorum must do without it. */
  async #quorumHeals(): Promise<void> {
    const { voters, wanted, chance } = this.#cluster;
    const quorum = Math.floor(voters.length / 2) + 1;
    // What is damaged may turn out to be lost once it starts.
    const sound = wanted.filter(
      (each) => voters.includes(each) && each.disk !== 'damaged' && each.disk !== 'emptied',
    );
    if (sound.length < quorum) {
      this.#cluster.broken('quorum', 'more members are lost than faults were planned for');
      return;
    }
    this.#trace.say('run', 'a quorum heals');
    this.#faults.heal();
    const stays = chance.shuffled(sound).slice(0, quorum);
    // Learners stay: the next change may count on them.
    const away = wanted.filter((each) => voters.includes(each) && !stays.includes(each));
    for (const member of away) if (member.process !== undefined) member.crash(1e9, true);
    for (const member of wanted) if (!away.includes(member)) member.start();
    if (this.#operator !== undefined) for (const client of this.#clients) client.unpin();
    const before = this.#recorder.answered;
    await this.#until(
      'progress',
      () => this.#recorder.answered >= before + progressOperations,
      () => `a healthy quorum gave ${this.#recorder.answered - before} answers`,
    );
    // Who are up must be a quorum of one member more (`cluster/quorum-check.ts`).
    const quorumOfMore = voters.length === 1 ? 1 : Math.floor((voters.length + 1) / 2) + 1;
    for (const member of away.slice(0, quorumOfMore - quorum)) member.start();
    await this.#takesInOneMore();
    for (const member of away) member.start();
  }

  async #takesInOneMore(): Promise<void> {
    if (this.#broken || this.#operator === undefined) return;
    const { network, plan } = this.#cluster;
    const usual = lastingFaults(plan.network);
    // Who is to count as healthy must have been connected for a while.
    network.setFaults({ ...usual, drop: 0 });
    let added = false;
    this.#operator.addSurely(() => {
      added = true;
    });
    await this.#until(
      'change-progress',
      () => added,
      () => 'a healthy quorum took in no member',
    );
    network.setFaults(usual);
  }

  async #allHeal(): Promise<void> {
    this.#trace.say('run', 'all heal');
    for (const client of this.#clients) client.stop();
    for (const holder of this.#holders) holder.stop();
    await this.#until(
      'convergence',
      () =>
        !this.#clients.some(({ busy }) => busy) &&
        !this.#holders.some(({ busy }) => busy) &&
        this.#converged(),
      () => this.#differences(),
    );
    if (!this.#broken) await this.#removedEnd();
    if (this.#broken) return;
    const revision = this.#cluster.leader?.running?.store.revision ?? 0;
    await this.#until(
      'watch-progress',
      () => this.#watchers.every((watcher) => watcher.knowsUpTo(revision)),
      () => 'a watcher has not been sent all events',
    );
    for (const watcher of this.#watchers) watcher.stop();
  }

  /** Removed members that are started again, with all that they had, end by themselves. */
  async #removedEnd(): Promise<void> {
    const { removed } = this.#cluster;
    if (removed.length === 0) return;
    this.#trace.say('run', 'removed members come back');
    for (const member of removed) member.startAgain();
    await this.#until(
      'removal',
      () => removed.every(({ retired }) => retired),
      () => {
        const left = removed.filter(({ retired }) => !retired).map(({ name }) => name);
        return `${left.join(', ')} did not end, though removed,`;
      },
    );
  }

  /** Leases that nobody renews run out, though no leader lasts as long as they do. */
  async #leasesEnd(): Promise<void> {
    let reignEndsMs = this.#scheduler.nowMs + reignMs;
    await this.#until(
      'lease-progress',
      () => {
        if (this.#scheduler.nowMs >= reignEndsMs) {
          reignEndsMs = this.#scheduler.nowMs + reignMs;
          this.#passOnLeadership();
        }
        return this.#cluster.wanted.every(({ running }) => running?.lessor.size === 0);
      },
      () => 'leases that nobody renews did not run out',
    );
  }

  /** Nobody clears alarms by hand: those without a reason must be gone. */
  async #alarmsEnd(): Promise<void> {
    const isNeedless = (member: Member): boolean =>
      member.alarms.list().some(({ quotaBytes }) => {
        return stateSizeBytes(member) <= clearsAtBytes(quotaBytes);
      });
    await this.#until(
      'alarm-progress',
      () =>
        !this.#cluster.wanted.some(({ running }) => running === undefined || isNeedless(running)),
      () => 'an alarm for a lack of space that is over did not clear',
    );
  }

  #passOnLeadership(): void {
    const { leader, voters } = this.#cluster;
    const next = voters.find((member) => member !== leader);
    if (leader === undefined || next === undefined) return;
    leader.process?.run(() => leader.running?.transferLeader(next.id));
  }

  async #until(rule: string, holds: () => boolean, otherwise: () => string): Promise<void> {
    const limitMs = this.#scheduler.nowMs + progressLimitMs;
    while (!this.#broken && !holds()) {
      if (this.#scheduler.nowMs >= limitMs) {
        this.#cluster.broken(rule, `${otherwise()} within ${progressLimitMs / 1000} s`);
        return;
      }
      await this.#pass(this.#scheduler.nowMs + sliceMs / 10);
    }
  }

  #converged(): boolean {
    const states = new Set<string>();
    for (const member of this.#cluster.wanted) {
      const { running } = member;
      if (running === undefined) return false;
      const { appliedIndex, committedIndex } = running.server;
      if (appliedIndex !== committedIndex) return false;
      states.add(`${appliedIndex} ${stateHashOf(running)}`);
    }
    return states.size === 1;
  }

  #differences(): string {
    const states = this.#cluster.wanted.map(({ name, running }) => {
      if (running === undefined) return `${name} is down`;
      const { appliedIndex, committedIndex } = running.server;
      return `${name} has applied ${appliedIndex} of ${committedIndex}`;
    });
    return `the members did not come to one state: ${states.join(', ')}`;
  }

  /** Clients that ask once, all at the same time. */
  #burst({ requests, reads, member }: Burst): void {
    const number = ++this.#bursts;
    for (let i = 0; i < requests; i++) {
      const name = `b${number}.${i + 1}`;
      const position = member ?? i % this.#plan.members;
      const plan = { name, member: position, thinkMs: 0, timeoutMs: 3_000 };
      new Client(plan, this.#workload).askOnce(i < reads ? 'get' : 'put');
    }
  }

  /** What services did for their clients, as what may have happened at any time. */
  #operationsOf(calls: readonly Call[]): Operation[] {
    const first = this.#recorder.operations.length + this.#recorder.ofServices.length;
    const rest = { startMs: 0, endMs: this.#scheduler.nowMs };
    const outcome = { kind: 'unknown', reason: 'done for a client of a service' } as const;
    return calls.map((call, i) => {
      return { id: first + i, client: `service ${i}`, member: '', call, ...rest, outcome };
    });
  }

  #report(complete: boolean): RunReport {
    const { oracle, breaches, network } = this.#cluster;
    this.#recorder.endAll();
    const { operations, watches, answered } = this.#recorder;
    for (const { name, running } of this.#cluster.wanted) {
      if (running === undefined) continue;
      this.#recorder.states.push({
        member: name,
        index: running.server.appliedIndex,
        revision: running.store.revision,
        hash: stateHashOf(running).toString(16),
      });
    }
    const { events, ofServices } = truthOf(oracle.entries);
    const history: History = {
      operations,
      ofServices: [...this.#recorder.ofServices, ...this.#operationsOf(ofServices)],
      watches,
      states: this.#recorder.states,
      events,
    };
    const found: Breach[] = [...breaches];
    if (complete || breaches.length > 0) {
      for (const { rule, text } of checkHistory(history)) {
        found.push({ rule, text, atMs: this.#scheduler.nowMs });
      }
      const text = this.#locks.breach(events);
      if (text !== undefined) {
        found.push({ rule: 'lock-owner', text, atMs: this.#scheduler.nowMs });
      }
    }
    return {
      seed: this.#plan.seed,
      hash: this.#trace.hash,
      breaches: found,
      counts: this.#sawEnough(),
      virtualMs: this.#scheduler.nowMs,
      events: this.#scheduler.count,
      operations: operations.length,
      answered,
      renewals: this.#ledger.renewals,
      expiredLeases: this.#ledger.expired,
      locks: this.#locks.locks,
      memberChanges: sumOf(this.#cluster.ledger?.changes),
      memberLists: this.#operator?.lists ?? 0,
      watchRecords: watches.reduce((sum, { records }) => sum + records.length, 0),
      elections: oracle.elections,
      statesCompared: oracle.statesCompared,
      messages: network.delivered,
      faults: this.#faults.injected,
      points: this.#faults.points.struck,
      history,
    };
  }
}

function sumOf(counts: Readonly<Record<string, number>> = {}): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}
