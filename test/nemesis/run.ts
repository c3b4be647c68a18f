/** One run: a cluster, clients, a scenario, recovery, and the verdict. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { utf8 } from '../../src/base/bytes.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { PutRequest, RangeRequest } from '../../src/gen/rpc.ts';
import type { History, Violation } from '../check/history.ts';
import { checkHistory } from '../check/index.ts';
import type { ClusterProcess, MemberProcess } from '../support/cluster-process.ts';
import { startQuorate } from '../support/quorate.ts';
import { memberHashes } from '../support/writers.ts';
import { Battlefield, type Incident } from './battlefield.ts';
import { PinnedCaller } from './callers.ts';
import { SmallDisk } from './disks.ts';
import type { LeaseFigures } from './lease-journal.ts';
import { Observer, observe } from './observer.ts';
import { keyPrefix, keyPrefixEnd } from './operations.ts';
import { catchUpEntries, snapshotCount } from './options.ts';
import { strayMembers } from './member-changes.ts';
import { PeerNetwork } from './peer-network.ts';
import { Recorder } from './recorder.ts';
import { attackUntilOver, type Scenario } from './scenarios.ts';
import { Tenants } from './tenants.ts';
import { Traffic } from './traffic.ts';
import { Watchers } from './watchers.ts';
import { Witnesses } from './witnesses.ts';

/** Low, so that the machine is not what fails and checks stay quick. */
const callsPerSecond = 300;
const memberFlags = [
  `--snapshot-count=${snapshotCount}`,
  `--snapshot-catchup-entries=${catchUpEntries}`,
];
/** How long a whole cluster may take to serve, to tell watchers, and to have applied the same. */
const progressLimitMs = 30_000;

export interface RunOptions {
  readonly seed: number;
  readonly members: number;
  readonly seconds: number;
  readonly scenario: Scenario;
}

export interface RunResult {
  readonly violations: readonly Violation[];
  readonly history: History;
  readonly incidents: readonly Incident[];
  readonly faults: ReadonlyMap<string, number>;
  readonly counts: Recorder['counts'];
  readonly leases: LeaseFigures;
  readonly watchedEvents: number;
  readonly leaderTerms: number;
  readonly checkMs: number;
  /** Each member's log, by the member's name. */
  readonly logs: ReadonlyMap<string, string>;
}

export async function runNemesis(options: RunOptions): Promise<RunResult> {
  const network = new PeerNetwork();
  const disks: SmallDisk[] = [];
  const cluster = await startQuorate({
    members: options.members,
    flags: memberFlags,
    mayEnd: true,
    advertise: (peerUrls) => network.open(peerUrls),
    ...(options.scenario.smallDisks === true ? { dataDir: dataDirOnDisk(disks) } : {}),
  });
  try {
    return await new Run(options, cluster, network).run();
  } finally {
    await Promise.all(cluster.members.map((member) => member.stop()));
    for (const disk of disks) disk.unmount();
    await cluster.stop();
    await network.close();
  }
}

function dataDirOnDisk(disks: SmallDisk[]): (name: string, directory: string) => string {
  return (name, directory) => {
    const disk = new SmallDisk(join(directory, `disk-${name}`));
    const problem = disk.mount();
    if (problem !== undefined) throw new Error(`cannot mount ${disk.path}: ${problem}`);
    disks.push(disk);
    return join(disk.path, 'data');
  };
}

class Run {
  readonly #options: RunOptions;
  readonly #recorder = new Recorder();
  readonly #field: Battlefield;
  /** The members; parts that hold it see it change. */
  readonly #roster: MemberProcess[];
  readonly #traffic: Traffic;
  readonly #tenants: Tenants;
  readonly #watchers: Watchers;
  readonly #witnesses: Witnesses;
  readonly #observer: Observer;
  readonly #violations: Violation[] = [];

  constructor(options: RunOptions, cluster: ClusterProcess, network: PeerNetwork) {
    const { seed } = options;
    const members = [...cluster.members];
    this.#roster = members;
    const recorder = this.#recorder;
    this.#options = options;
    this.#field = new Battlefield({
      cluster,
      network,
      random: new SeededRandom(seed),
      roster: members,
      nowMs: () => recorder.nowMs(),
      answered: () => recorder.counts.answered,
    });
    this.#witnesses = new Witnesses(members, recorder);
    this.#watchers = new Watchers({ members, recorder, seed: seed * 1000 });
    this.#observer = new Observer(members, recorder);
    this.#traffic = new Traffic({
      members,
      recorder,
      seed: seed * 1000 + 500,
      callsPerSecond,
      compactable: () => this.#witnesses.known,
    });
    this.#tenants = new Tenants({ members, recorder, seed: seed * 1000 + 700 });
  }

  async run(): Promise<RunResult> {
    const { seconds, scenario } = this.#options;
    const clients = [this.#traffic, this.#tenants];
    for (const part of [this.#witnesses, this.#watchers, this.#observer, ...clients]) part.start();
    this.#field.begin(seconds * 1000);
    await attackUntilOver(this.#field, scenario);
    const { needs } = scenario;
    if (needs !== undefined && !this.#field.faults.has(needs)) {
      this.#violate('fault-happens', `nobody was ${needs}`);
    }
    await this.#recover();
    await Promise.all(clients.map((client) => client.stop()));
    const left = await this.#tenants.leftAfter(progressLimitMs);
    if (left !== undefined) this.#violate('lease-expires', left);
    await this.#lastWrites();
    await this.#watchers.stop();
    await this.#compareStates();
    const stray = await strayMembers(this.#roster);
    if (stray !== undefined) this.#violate('member-list', stray);
    await this.#observer.stop();
    await this.#witnesses.stop();
    for (const ending of this.#field.unmeantEndings) this.#violate('unmeant-end', ending);
    const logs = await this.#logs();
    return this.#judge(logs);
  }

  async #recover(): Promise<void> {
    try {
      await this.#field.recover();
    } catch (error) {
      this.#violate('recovers', error instanceof Error ? error.message : String(error));
    }
    // Clients find their members again, and go on for a moment in peace.
    await delay(1000);
  }

  /** Nothing is wrong any more, so every member takes a write and shows it to every witness. */
  async #lastWrites(): Promise<void> {
    let revision = 0;
    for (const member of this.#roster) {
      const caller = new PinnedCaller(member);
      const put = PutRequest.create({ key: utf8('last'), value: utf8(member.name) });
      revision = Math.max(revision, await this.#ask(caller, { kind: 'put', request: put }));
      const all = RangeRequest.create({ key: keyPrefix, rangeEnd: keyPrefixEnd });
      await this.#ask(caller, { kind: 'range', request: all });
      caller.close();
    }
    if (await this.#witnesses.reach(revision, progressLimitMs)) return;
    const { known } = this.#witnesses;
    this.#violate('watch-progress', `watchers know ${known} of ${revision} revisions`);
  }

  async #ask(caller: PinnedCaller, call: Parameters<PinnedCaller['call']>[0]): Promise<number> {
    const ended = this.#recorder.begin(`last-${caller.member}`, caller.member, call);
    const outcome = await caller.call(call, progressLimitMs);
    ended(outcome);
    if (outcome.kind === 'answered') return outcome.answer.header?.revision ?? 0;
    const why = outcome.kind === 'unknown' ? outcome.reason : outcome.message;
    this.#violate('progress', `${caller.member} does not serve a ${call.kind}: ${why}`);
    return 0;
  }

  /** All members come to the same index, and there to the same state. */
  async #compareStates(): Promise<void> {
    const members = this.#roster;
    const untilMs = performance.now() + progressLimitMs;
    for (;;) {
      const observed = await Promise.all(members.map((member) => observe(member)));
      const indexes = new Set(observed.map((each) => each?.index));
      if (indexes.size === 1 && !indexes.has(undefined)) {
        for (const [i, state] of observed.entries()) {
          if (state !== undefined) this.#recorder.state({ member: nameOf(members, i), ...state });
        }
        break;
      }
      if (performance.now() > untilMs) {
        this.#violate('converges', `members stay at ${[...indexes].join(', ')}`);
        return;
      }
      await delay(100);
    }
    const hashes = await memberHashes(members).catch((error: unknown) => {
      this.#violate('hash-kv', String(error));
      return [];
    });
    const distinct = new Set(hashes.map(({ kv }) => kv));
    if (distinct.size > 1) this.#violate('hash-kv', `hashes differ: ${[...distinct].join(', ')}`);
  }

  async #logs(): Promise<ReadonlyMap<string, string>> {
    const logs = new Map<string, string>();
    for (const { name, logPath } of this.#field.everyone) {
      const text = await readFile(logPath, 'utf8');
      logs.set(name, text);
      const fatal = /^.*(quorate: fatal|AssertionFailure).*$/m.exec(text)?.[0];
      if (fatal !== undefined) this.#violate('assertion', `${name}: ${fatal}`);
    }
    return logs;
  }

  #judge(logs: ReadonlyMap<string, string>): RunResult {
    const startedMs = performance.now();
    const { events, violations } = this.#witnesses.truth();
    const history = this.#recorder.history({
      events,
      restored: this.#field.restored,
      ...this.#tenants.facts,
    });
    const found = [...this.#violations, ...violations, ...checkHistory(history)];
    return {
      violations: found,
      history,
      incidents: this.#field.incidents,
      faults: this.#field.faults,
      counts: this.#recorder.counts,
      leases: this.#tenants.figures,
      watchedEvents: this.#recorder.eventCount,
      leaderTerms: termsWithLeader(logs),
      checkMs: performance.now() - startedMs,
      logs,
    };
  }

  #violate(rule: string, text: string): void {
    this.#field.note(`violation of ${rule}: ${text.slice(0, 200)}`);
    this.#violations.push({ rule, text, operations: [] });
  }
}

function nameOf(members: readonly MemberProcess[], i: number): string {
  return members[i]?.name ?? '';
}

/** Terms in which somebody led, as the members' logs tell. */
function termsWithLeader(logs: ReadonlyMap<string, string>): number {
  const terms = new Set<string>();
  for (const text of logs.values()) {
    for (const [, term] of text.matchAll(/"role":"leader","term":(\d+)/g)) terms.add(term ?? '');
  }
  return terms.size;
}
