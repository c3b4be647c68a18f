/** Calls of leases and locks to one member: each is sent once, and seen as it ends. */
import { utf8 } from '../../src/base/bytes.ts';
import { LockRequest, type LockResponse, UnlockRequest } from '../../src/gen/lock.ts';
import {
  LeaseGrantRequest,
  type LeaseGrantResponse,
  LeaseKeepAliveRequest,
  LeaseRevokeRequest,
  type LeaseRevokeResponse,
  LeaseTimeToLiveRequest,
} from '../../src/gen/rpc.ts';
import { Lease, Lock } from '../../src/gen/services.ts';
import { etcdErrors } from '../../src/base/errors.ts';
import type { MemberProcess } from '../support/cluster-process.ts';
import { CallError, GrpcClient } from '../support/grpc.ts';
import { eagerDialling } from './callers.ts';

export type Ending<Answer> =
  | { readonly kind: 'answered'; readonly answer: Answer }
  | { readonly kind: 'failed'; readonly message: string };

/** Whether a call failed because there is no such lease. */
export function saysLeaseIsGone(message: string): boolean {
  return message === etcdErrors.leaseNotFound[1];
}

export class ServiceCaller {
  readonly member: string;
  readonly #client: GrpcClient;

  constructor(member: MemberProcess) {
    this.member = member.name;
    this.#client = new GrpcClient(member.address, eagerDialling);
  }

  close(): void {
    this.#client.close();
  }

  /** @param id 0 leaves it to the server */
  grant(id: bigint, ttl: number, timeoutMs: number): Promise<Ending<LeaseGrantResponse>> {
    const request = LeaseGrantRequest.create({ id, ttl });
    return ending(this.#client.unary(Lease.methods.leaseGrant, request, { timeoutMs }));
  }

  revoke(id: bigint, timeoutMs: number): Promise<Ending<LeaseRevokeResponse>> {
    const request = LeaseRevokeRequest.create({ id });
    return ending(this.#client.unary(Lease.methods.leaseRevoke, request, { timeoutMs }));
  }

  /** The seconds left, perhaps none; fewer if there is no such lease. */
  timeToLive(id: bigint, timeoutMs: number): Promise<Ending<number>> {
    const request = LeaseTimeToLiveRequest.create({ id });
    const call = this.#client.unary(Lease.methods.leaseTimeToLive, request, { timeoutMs });
    return ending(call.then(({ ttl }) => ttl));
  }

  /** Renews once, on a stream of its own. The seconds promised; none if there is no such lease. */
  renew(id: bigint, timeoutMs: number): Promise<Ending<number>> {
    return ending(this.#renew(id, timeoutMs));
  }

  lock(name: string, lease: bigint, timeoutMs: number): Promise<Ending<LockResponse>> {
    const request = LockRequest.create({ name: utf8(name), lease });
    return ending(this.#client.unary(Lock.methods.lock, request, { timeoutMs }));
  }

  unlock(key: Uint8Array, timeoutMs: number): Promise<Ending<unknown>> {
    const request = UnlockRequest.create({ key });
    return ending(this.#client.unary(Lock.methods.unlock, request, { timeoutMs }));
  }

  async #renew(id: bigint, timeoutMs: number): Promise<number> {
    const stream = this.#client.bidirectional(Lease.methods.leaseKeepAlive);
    try {
      stream.send(LeaseKeepAliveRequest.create({ id }));
      const answer = await stream.tryNext(timeoutMs);
      if (answer === 'silence') throw new CallError(4, 'no answer');
      if (answer === undefined) throw new CallError(14, 'the stream ended');
      return answer.ttl;
    } finally {
      stream.cancel();
    }
  }
}

async function ending<Answer>(call: Promise<Answer>): Promise<Ending<Answer>> {
  try {
    return { kind: 'answered', answer: await call };
  } catch (error) {
    if (error instanceof CallError) return { kind: 'failed', message: error.details };
    throw error;
  }
}
