/** A cluster with many keys: how long it takes to fill, restart, grow and compact it. */
import { setTimeout as delay } from 'node:timers/promises';
import { Cluster, KV } from '../../../src/gen/services.ts';
import type { ClusterProcess, Joiner, MemberProcess } from '../../support/cluster-process.ts';
import { Connection } from '../connection.ts';
import { putKeys } from '../prepare.ts';
import { residentBytes } from '../resources.ts';
import { leaderOf, type MemberSystem } from '../systems.ts';
import { withMeteredMembers } from './metered-members.ts';
import { PacedPuts } from './paced-puts.ts';
import type { PhaseFigures, ScaleFigures } from './figures.ts';
import { longestTurnMs, turnText } from './turns.ts';

const prefix = 'scale';
/** Puts a second: far below what either system takes, so that queues come from what disturbs. */
const perSecond = 500;
/** Versions that are superseded before the compaction, if there are as many keys. */
const supersededMost = 1_000_000;
/** Time for what was put off to be done, before memory is looked at or a phase begins. */
const settleMsMost = 5_000;
/** For a restarted member to count as healthy. */
const healthyTimeoutMs = 15_000;
/** For a member to be ready that reads or is sent millions of keys. */
const readyTimeoutMs = 600_000;
/** So that a new member gets a snapshot, and a state of five million keys has room. */
const flags = ['--snapshot-count=1000', '--quota-backend-bytes=8589934592'];

export interface ScaleOptions {
  readonly root: string;
  readonly directory: string;
  readonly keys: number;
  /** How long the steady load goes on by itself; no pause between phases is longer. */
  readonly quietSeconds: number;
  /** Told what was measured, as it goes on. */
  readonly log: (line: string) => void;
}

/** @throws Error if a call failed or an answer is wrong */
export async function runScale(system: MemberSystem, options: ScaleOptions): Promise<ScaleFigures> {
  const { root, directory } = options;
  const metered = { root, directory, prefix: `${system}-scale-`, flags };
  return withMeteredMembers(system, metered, (cluster, own) =>
    new Scenario(system, cluster, own, options).run(),
  );
}

class Scenario {
  readonly #system: MemberSystem;
  readonly #cluster: ClusterProcess;
  readonly #directory: string;
  readonly #options: ScaleOptions;
  readonly #running: MemberProcess[];

  constructor(
    system: MemberSystem,
    cluster: ClusterProcess,
    directory: string,
    options: ScaleOptions,
  ) {
    this.#system = system;
    this.#cluster = cluster;
    this.#directory = directory;
    this.#options = options;
    this.#running = [...cluster.members];
  }

  async run(): Promise<ScaleFigures> {
    const { keys, quietSeconds } = this.#options;
    const emptyBytes = this.#residentBytes();
    const load = await this.#phase('load', () => this.#putAll(keys));
    await this.#settle();
    const fullBytes = this.#residentBytes();
    const restart = await this.#phase('restart of a follower', () => this.#restartFollower());
    await this.#settle();
    const leader = await this.#leader();
    const puts = await PacedPuts.start(leader.address, { prefix, keys, perSecond });
    await this.#settle();
    try {
      const quiet = await this.#phase('puts alone', () => delay(quietSeconds * 1000), puts);
      const joining = await this.#add();
      const join = await this.#phase('a new member', () => this.#join(joining), puts);
      await this.#settle();
      const superseded = Math.min(keys, supersededMost);
      const overwrite = await this.#phase(
        `${superseded} overwritten`,
        () => this.#putAll(superseded),
        puts,
      );
      await this.#settle();
      const compaction = await this.#phase('compaction', () => this.#compact(), puts);
      await puts.stop();
      await this.#checkLast(keys);
      const phases = { load, restart, quiet, join, overwrite, compaction };
      return { keys, superseded, emptyBytes, fullBytes, phases };
    } catch (error) {
      await puts.stop().catch(() => undefined);
      throw error;
    }
  }

  async #phase(
    name: string,
    work: () => Promise<unknown>,
    puts?: PacedPuts,
  ): Promise<PhaseFigures> {
    const fromMs = Date.now();
    puts?.forget();
    const startMs = performance.now();
    await work();
    const seconds = (performance.now() - startMs) / 1000;
    const latencies = puts?.take().latencies;
    const names = this.#running.map((member) => member.name);
    const figures: PhaseFigures = {
      seconds,
      ...(latencies !== undefined && { latencies }),
      ...(this.#system === 'ours' && {
        longestTurnMs: longestTurnMs(this.#directory, names, fromMs, Date.now()),
      }),
    };
    const turn = figures.longestTurnMs;
    const parts = [`${name}: ${seconds.toFixed(1)} s`];
    if (latencies !== undefined) parts.push(`put p99 ${latencies.p99.toFixed(1)} ms`);
    if (turn !== undefined) parts.push(`longest turn ${turnText(turn)} ms`);
    this.#options.log(parts.join(', '));
    return figures;
  }

  #settle(): Promise<void> {
    return delay(Math.min(settleMsMost, this.#options.quietSeconds * 1000));
  }

  async #putAll(keys: number): Promise<void> {
    const { address } = await this.#leader();
    await putKeys(address, prefix, keys);
  }

  async #restartFollower(): Promise<void> {
    const leader = await this.#leader();
    const follower = this.#running.find((member) => member !== leader) as MemberProcess;
    await follower.stop();
    await follower.start();
    await follower.ready(readyTimeoutMs);
  }

  /** Adds a member to the cluster, which is not started yet. */
  async #add(): Promise<MemberProcess> {
    const { address } = await this.#leader();
    const joiner = await this.#cluster.joiner();
    const untilMs = performance.now() + healthyTimeoutMs;
    for (;;) {
      try {
        return joiner.member(await added(address, joiner));
      } catch (error) {
        // Only once all have been heard of for seconds, and one has just been restarted.
        const isUnhealthy = error instanceof Error && error.message.includes('unhealthy');
        if (!isUnhealthy || performance.now() > untilMs) throw error;
        await delay(500);
      }
    }
  }

  /** Starts the member with an empty disk; it is in when it answers a linearizable read. */
  async #join(member: MemberProcess): Promise<void> {
    this.#running.push(member);
    await member.start();
    await member.ready(readyTimeoutMs);
  }

  async #compact(): Promise<void> {
    const { address } = await this.#leader();
    await withConnection(address, async (connection) => {
      const { header } = await connection.unary(KV.methods.range, { key: Buffer.from('~') });
      const revision = header?.revision ?? 0;
      await connection.unary(KV.methods.compact, { revision, physical: true });
    });
  }

  /** @throws Error unless the newest member has all the keys */
  async #checkLast(keys: number): Promise<void> {
    const last = this.#running.at(-1) as MemberProcess;
    const request = { key: Buffer.from(prefix), rangeEnd: Buffer.from('~'), countOnly: true };
    const { count } = await withConnection(last.address, (connection) =>
      connection.unary(KV.methods.range, request),
    );
    if (count !== keys) throw new Error(`the new member has ${count} keys, not ${keys}`);
  }

  /** What the members hold together. */
  #residentBytes(): number {
    return this.#running.reduce((sum, { pid }) => sum + residentBytes(pid ?? 0), 0);
  }

  async #leader(): Promise<MemberProcess> {
    const at = await leaderOf(this.#running.map(({ address }) => address));
    return this.#running[at] as MemberProcess;
  }
}

/** Adds the member; resolves to what it is to be told of all members. */
async function added(address: string, joiner: Joiner): Promise<string> {
  return withConnection(address, async (connection) => {
    const request = { peerUrls: [joiner.peerUrl] };
    const { member, members: all } = await connection.unary(Cluster.methods.memberAdd, request);
    return all
      .map(({ id, name, peerUrls }) => `${id === member?.id ? joiner.name : name}=${peerUrls[0]}`)
      .join(',');
  });
}

async function withConnection<T>(
  address: string,
  use: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = await Connection.open(address);
  try {
    return await use(connection);
  } finally {
    connection.close();
  }
}
