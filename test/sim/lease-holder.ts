/** Clients that hold leases: grant, renew, ask, and in the end revoke or let go. */
import {
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseRevokeRequest,
  LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
} from '../../src/gen/rpc.ts';
import type { CallContext } from '../../src/api/handler.ts';
import { type Chance, streamOf } from './chance.ts';
import type { Workload } from './client.ts';
import type { LoggedLeases } from './logged-leases.ts';
import type { Life } from './member.ts';
import type { LeaseHolderPlan } from './plan.ts';
import { clientOwner, type Ending } from './port.ts';

/** What a holder does with its lease, and how often. */
const deedWeights = { renew: 78, ask: 12, revoke: 4, abandon: 6 };

export class LeaseHolder {
  readonly name: string;
  readonly #plan: LeaseHolderPlan;
  readonly #workload: Workload;
  readonly #ledger: LoggedLeases;
  readonly #chance: Chance;
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
  const stream = lease.leaseKeepAlive(only(request), context);
  const { value } = await stream.next();
  await stream.return(undefined);
  if (value === undefined) throw new Error('a stream of renewals ended without an answer');
  const answer = value as LeaseKeepAliveResponse;
  return LeaseKeepAliveResponse.decode(LeaseKeepAliveResponse.encode(answer));
}

async function* only<Item>(item: Item): AsyncGenerator<Item> {
  yield await Promise.resolve(item);
}
