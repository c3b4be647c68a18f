/** Clients that hold leases: grant, renew, hang keys on them, ask, and revoke or let go. */
import { utf8 } from '../../src/base/bytes.ts';
import {
  DeleteRangeRequest,
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseRevokeRequest,
  LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
  PutRequest,
  RangeRequest,
} from '../../src/gen/rpc.ts';
import type { CallContext } from '../../src/api/handler.ts';
import type { Call, Outcome } from '../check/history.ts';
import { type Chance, streamOf } from './chance.ts';
import { Client, noSuchLease, type Workload } from './client.ts';
import type { LoggedLeases } from './logged-leases.ts';
import type { Life } from './member.ts';
import type { LeaseHolderPlan } from './plan.ts';
import { clientOwner, type Ending } from './port.ts';

/** What a holder does with its lease, and how often. */
const deedWeights = { renew: 78, ask: 12, revoke: 4, abandon: 6 };
/** What it does with the keys that it hangs on leases, and how often it does that instead. */
const keyDeedWeights = { put: 60, detach: 10, delete: 6, read: 24 };
const keyDeedShare = 0.5;
/** Before the keys of all other clients, whose ranges have no end. */
const leasedPrefix = 'b/';

export class LeaseHolder {
  readonly name: string;
  readonly #plan: LeaseHolderPlan;
  readonly #workload: Workload;
  readonly #ledger: LoggedLeases;
  readonly #chance: Chance;
  /** Beside the other one, so that holders without keys do what they did before there were any. */
  readonly #keyChance: Chance;
  /** Asks for what is done to the keys. */
  readonly #client: Client;
  #writes = 0;
  #position: number;
  /** The lease that it holds. */
  #lease: bigint | undefined;
  #granted = 0;
  #stopped = false;
  busy = false;

  constructor(plan: LeaseHolderPlan, workload: Workload, ledger: LoggedLeases) {
    this.name = plan.name;
    this.#plan = plan;
    this.#workload = workload;
    this.#ledger = ledger;
    this.#chance = streamOf(workload.plan.seed, `lease holder ${plan.name}`);
    this.#keyChance = streamOf(workload.plan.seed, `keys of ${plan.name}`);
    const { name, timeoutMs } = plan;
    this.#client = new Client({ name, member: undefined, thinkMs: 0, timeoutMs }, workload);
    this.#position = this.#chance.below(workload.plan.members);
  }

  start(): void {
    this.#later(() => this.#next());
  }

  /** Lets go of what it holds. */
  stop(): void {
    this.#stopped = true;
  }

  #later(callback: () => void): void {
    const ms = this.#chance.between(0, 2 * this.#plan.thinkMs);
    this.#workload.port.cluster.scheduler.after(ms, clientOwner, callback);
  }

  #next(): void {
    if (this.#stopped) return;
    if (this.#lease === undefined) {
      this.#grant();
      return;
    }
    const id = this.#lease;
    if (this.#plan.keys > 0 && this.#keyChance.chance(keyDeedShare)) {
      this.#useKeys(id);
      return;
    }
    switch (this.#chance.weighted(deedWeights)) {
      case 'renew':
        this.#renew(id);
        break;
      case 'ask':
        this.#ask(id);
        break;
      case 'revoke':
        this.#revoke(id);
        break;
      case 'abandon':
        this.#lease = undefined;
        this.#later(() => this.#next());
        break;
    }
  }

  #grant(): void {
    // Half of the ids are the server's choice.
    const own = BigInt((this.#plan.number + 1) * 1_000_000 + ++this.#granted);
    const id = this.#chance.chance(0.5) ? own : 0n;
    const { ttlSeconds } = this.#plan;
    this.#call(
      async ({ lease }) => {
        const request = LeaseGrantRequest.encode({ id, ttl: ttlSeconds });
        const answer = await lease.leaseGrant(LeaseGrantRequest.decode(request));
        return LeaseGrantResponse.decode(LeaseGrantResponse.encode(answer));
      },
      (answer, startMs) => {
        this.#lease = answer.id;
        this.#ledger.promised(answer.id, startMs, answer.ttl);
      },
    );
  }

  #renew(id: bigint): void {
    this.#call(
      (life, context) => renewOnce(life, id, context),
      ({ ttl }, startMs) => {
        if (ttl > 0) this.#ledger.promised(id, startMs, ttl);
        else this.#lost(id);
      },
    );
  }

  #ask(id: bigint): void {
    this.#call(
      async ({ lease }) => {
        const request = LeaseTimeToLiveRequest.encode({ id, keys: true });
        const answer = await lease.leaseTimeToLive(LeaseTimeToLiveRequest.decode(request));
        return LeaseTimeToLiveResponse.decode(LeaseTimeToLiveResponse.encode(answer));
      },
      ({ ttl }, startMs) => {
        if (ttl >= 0) this.#ledger.seen(id, startMs);
        else this.#lost(id);
      },
    );
  }

  #revoke(id: bigint): void {
    this.#ledger.givenUp(id);
    this.#call(
      async ({ lease }) => {
        const request = LeaseRevokeRequest.decode(LeaseRevokeRequest.encode({ id }));
        return lease.leaseRevoke(request);
      },
      () => {
        this.#ledger.revoked(id);
        // What is dead must stay dead: it is asked for once more.
        if (this.#chance.chance(0.5)) this.#lease = undefined;
      },
    );
  }

  #useKeys(lease: bigint): void {
    const { scheduler } = this.#workload.port.cluster;
    const startMs = scheduler.nowMs;
    const deed = this.#keyChance.weighted(keyDeedWeights);
    const done = (outcome: Outcome): void => {
      this.busy = false;
      if (deed === 'put' && outcome.kind === 'answered') this.#ledger.seen(lease, startMs);
      if (outcome.kind === 'refused' && outcome.message === noSuchLease) this.#lost(lease);
      this.#later(() => this.#next());
    };
    this.busy = true;
    this.#client.ask(this.#keyCall(deed, lease), done, true);
  }

  #keyCall(deed: keyof typeof keyDeedWeights, lease: bigint): Call {
    // All holders share them, so that keys move from one lease to another.
    const key = utf8(`${leasedPrefix}${this.#keyChance.below(this.#plan.keys)}`);
    switch (deed) {
      case 'put':
        return { kind: 'put', request: this.#put(key, lease) };
      case 'detach':
        return { kind: 'put', request: this.#put(key, 0n) };
      case 'delete':
        return { kind: 'deleteRange', request: DeleteRangeRequest.create({ key, prevKv: true }) };
      case 'read': {
        const rangeEnd = utf8('b0');
        const all = RangeRequest.create({ key: utf8(leasedPrefix), rangeEnd });
        return { kind: 'range', request: all };
      }
    }
  }

  #put(key: Uint8Array, lease: bigint): PutRequest {
    const value = utf8(`${this.name}.${++this.#writes}`);
    return PutRequest.create({ key, value, lease, prevKv: this.#keyChance.chance(0.3) });
  }

  #lost(id: bigint): void {
    this.#ledger.missed(id);
    this.#lease = undefined;
  }

  #call<Answer>(
    invoke: (life: Life, context: CallContext) => Promise<Answer>,
    answered: (answer: Answer, startMs: number) => void,
  ): void {
    const { port } = this.#workload;
    const { scheduler, members } = port.cluster;
    const startMs = scheduler.nowMs;
    this.busy = true;
    const done = (ending: Ending<Answer>): void => {
      this.busy = false;
      if (ending.kind === 'answered') answered(ending.answer, startMs);
      else this.#position = this.#chance.below(members.length);
      this.#later(() => this.#next());
    };
    port.call(port.cluster.at(this.#position), this.#plan.timeoutMs, invoke, done);
  }
}

async function renewOnce(
  { lease }: Life,
  id: bigint,
  context: CallContext,
): Promise<LeaseKeepAliveResponse> {
  const request = LeaseKeepAliveRequest.decode(LeaseKeepAliveRequest.encode({ id }));
  const stream = lease.leaseKeepAlive(only(request), context)[Symbol.asyncIterator]();
  const { value } = await stream.next();
  await stream.return(undefined);
  if (value === undefined) throw new Error('a stream of renewals ended without an answer');
  const answer = value as LeaseKeepAliveResponse;
  return LeaseKeepAliveResponse.decode(LeaseKeepAliveResponse.encode(answer));
}

async function* only<Item>(item: Item): AsyncGenerator<Item> {
  yield await Promise.resolve(item);
}
