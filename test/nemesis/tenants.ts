/** All holders of leases and locks of a run, and the end of what they held. */
import { setTimeout as delay } from 'node:timers/promises';
import { utf8 } from '../../src/base/bytes.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { LeaseLeasesRequest, RangeRequest } from '../../src/gen/rpc.ts';
import { KV, Lease } from '../../src/gen/services.ts';
import type { History } from '../check/history.ts';
import type { MemberProcess } from '../support/cluster-process.ts';
import { CallError, GrpcClient } from '../support/grpc.ts';
import { eagerDialling } from './callers.ts';
import { type LeaseFigures, LeaseJournal } from './lease-journal.ts';
import { LeaseHolder } from './lease-holders.ts';
import { LockHolder } from './lock-holders.ts';
import type { Recorder } from './recorder.ts';
import type { TenantOptions } from './tenant.ts';

const leaseHolders = 4;
const lockHolders = 4;
const lookMs = 100;

export class Tenants {
  readonly #members: readonly MemberProcess[];
  readonly #recorder: Recorder;
  readonly #seed: number;
  readonly #journal = new LeaseJournal();
  readonly #running: Promise<void>[] = [];
  readonly #stopping = new AbortController();

  constructor(options: { members: readonly MemberProcess[]; recorder: Recorder; seed: number }) {
    this.#members = options.members;
    this.#recorder = options.recorder;
    this.#seed = options.seed;
  }

  start(): void {
    for (let i = 0; i < leaseHolders; i++) {
      this.#running.push(new LeaseHolder(this.#options(`l${i}`, i), i).run());
    }
    for (let i = 0; i < lockHolders; i++) {
      this.#running.push(new LockHolder(this.#options(`o${i}`, leaseHolders + i)).run());
    }
  }

  /** Lets go of all that is held, as who has died does. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#running);
  }

  /** What is left when there was time enough for all to run out; undefined if nothing is. */
  async leftAfter(limitMs: number): Promise<string | undefined> {
    const untilMs = performance.now() + limitMs;
    for (;;) {
      const left = await Promise.all(this.#members.map((member) => leftAt(member)));
      const found = left.find((each) => each !== undefined);
      if (found === undefined || performance.now() > untilMs) return found;
      await delay(lookMs);
    }
  }

  get facts(): Required<Pick<History, 'leases' | 'locks'>> {
    return this.#journal.facts;
  }

  get figures(): LeaseFigures {
    return this.#journal.figures;
  }

  #options(name: string, number: number): TenantOptions {
    return {
      name,
      members: this.#members,
      recorder: this.#recorder,
      journal: this.#journal,
      random: new SeededRandom(this.#seed + number),
      signal: this.#stopping.signal,
    };
  }
}

/** A lease that there still is at a member, or a key that hangs on one. */
async function leftAt(member: MemberProcess): Promise<string | undefined> {
  const client = new GrpcClient(member.address, eagerDialling);
  try {
    const { leases } = await client.unary(Lease.methods.leaseLeases, LeaseLeasesRequest.create());
    const [lease] = leases;
    if (lease !== undefined) return `${member.name} still has lease ${lease.id}`;
    const zero = utf8('\0');
    const all = RangeRequest.create({ key: zero, rangeEnd: zero });
    const { kvs } = await client.unary(KV.methods.range, all);
    const kv = kvs.find((each) => each.lease !== 0n);
    if (kv === undefined) return undefined;
    return `${member.name} has ${Buffer.from(kv.key).toString()} on lease ${kv.lease}`;
  } catch (error) {
    if (error instanceof CallError) return `${member.name} does not say: ${error.message}`;
    throw error;
  } finally {
    client.close();
  }
}
