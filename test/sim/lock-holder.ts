/** Clients that want one lock: wait for it, hold it for a while, and let it go or forget it. */
import { latin1, utf8 } from '../../src/base/bytes.ts';
import type { CallContext } from '../../src/api/handler.ts';
import { LockRequest, LockResponse, UnlockRequest, UnlockResponse } from '../../src/gen/lock.ts';
import { LeaseGrantRequest, LeaseGrantResponse } from '../../src/gen/rpc.ts';
import type { LockLedger } from '../check/lock-ledger.ts';
import { type Chance, streamOf } from './chance.ts';
import type { Workload } from './client.ts';
import type { Life } from './member.ts';
import type { LockHolderPlan } from './plan.ts';
import { clientOwner, type Ending } from './port.ts';

/** Before the keys of all other clients, whose ranges have no end. */
export const lockName = 'a';
export const lockPrefix = `${lockName}/`;

/** What a holder does with the lock in the end. To forget it is to let its lease run out. */
const deedWeights = { unlock: 70, forget: 30 };
/** How often it keeps its lease for another try. */
const keepsLease = 0.3;

export class LockHolder {
  readonly #plan: LockHolderPlan;
  readonly #workload: Workload;
  readonly #ledger: LockLedger;
  readonly #chance: Chance;
  #position: number;
  #lease: bigint | undefined;
  #stopped = false;
  busy = false;

  constructor(plan: LockHolderPlan, workload: Workload, ledger: LockLedger) {
    this.#plan = plan;
    this.#workload = workload;
    this.#ledger = ledger;
    this.#chance = streamOf(workload.plan.seed, `lock holder ${plan.name}`);
    this.#position = this.#chance.below(workload.plan.members);
  }

  start(): void {
    this.#later(() => this.#next());
  }

  /** Asks for nothing more. */
  stop(): void {
    this.#stopped = true;
  }

  #later(callback: () => void): void {
    const ms = this.#chance.between(0, 2 * this.#plan.holdMs);
    this.#workload.port.cluster.scheduler.after(ms, clientOwner, callback);
  }

  #next(): void {
    if (this.#stopped) return;
    if (this.#lease === undefined) this.#grant();
    else this.#lock(this.#lease);
  }

  #grant(): void {
    this.#call(
      async ({ lease }) => {
        const bytes = LeaseGrantRequest.encode({ id: 0n, ttl: this.#plan.ttlSeconds });
        const answer = await lease.leaseGrant(LeaseGrantRequest.decode(bytes));
        return LeaseGrantResponse.decode(LeaseGrantResponse.encode(answer));
      },
      ({ id }) => {
        this.#lease = id;
        this.#next();
      },
    );
  }

  #lock(lease: bigint): void {
    if (!this.#chance.chance(keepsLease)) this.#lease = undefined;
    this.#call(
      async ({ lock }, context) => {
        const bytes = LockRequest.encode({ name: utf8(lockName), lease });
        const answer = await lock.lock(LockRequest.decode(bytes), context);
        return LockResponse.decode(LockResponse.encode(answer));
      },
      ({ key, header }) => {
        this.#ledger.answered(latin1(key), header?.revision ?? 0);
        this.#later(() => this.#letGo(key));
      },
    );
  }

  #letGo(key: Uint8Array): void {
    if (this.#chance.weighted(deedWeights) === 'forget') {
      this.#lease = undefined;
      this.#next();
      return;
    }
    this.#call(
      async ({ lock }) => {
        const request = UnlockRequest.decode(UnlockRequest.encode({ key }));
        return UnlockResponse.decode(UnlockResponse.encode(await lock.unlock(request)));
      },
      () => this.#next(),
    );
  }

  #call<Answer>(
    invoke: (life: Life, context: CallContext) => Promise<Answer>,
    answered: (answer: Answer) => void,
  ): void {
    const { port } = this.#workload;
    const { members } = port.cluster;
    this.busy = true;
    const done = (ending: Ending<Answer>): void => {
      this.busy = false;
      if (ending.kind === 'answered') {
        answered(ending.answer);
        return;
      }
      this.#position = this.#chance.below(members.length);
      this.#later(() => this.#next());
    };
    port.call(port.cluster.at(this.#position), this.#plan.timeoutMs, invoke, done);
  }
}
