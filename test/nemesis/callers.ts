/** Clients that send one call to one member, or to whichever of them answers. */
import { Client, ClientError } from '../../src/client/index.ts';
import { KV } from '../../src/gen/services.ts';
import type { Answer, Call, Outcome } from '../check/history.ts';
import type { MemberProcess } from '../support/cluster-process.ts';
import { CallError, GrpcClient } from '../support/grpc.ts';
import { outcomeOfError } from './outcome.ts';

/** grpc-js would wait for up to two minutes before it dials again. */
export const eagerDialling = {
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 500,
} as const;

/** The member of a call that was sent to whichever answers. */
export const anyMember = 'any';

export interface Caller {
  /** The member asked, or {@link anyMember}. */
  readonly member: string;
  call(call: Call, timeoutMs: number): Promise<Outcome>;
  close(): void;
}

async function outcomeOf(answer: Promise<Answer>): Promise<Outcome> {
  try {
    return { kind: 'answered', answer: await answer };
  } catch (error) {
    if (error instanceof CallError) return outcomeOfError(error.code, error.details);
    if (error instanceof ClientError) return outcomeOfError(error.code, error.message);
    throw error;
  }
}

/** Bare calls to one member: nothing is ever sent twice, and every answer is seen as it came. */
export class PinnedCaller implements Caller {
  readonly member: string;
  readonly #client: GrpcClient;

  constructor(member: MemberProcess) {
    this.member = member.name;
    this.#client = new GrpcClient(member.address, eagerDialling);
  }

  call(call: Call, timeoutMs: number): Promise<Outcome> {
    return outcomeOf(this.#send(call, timeoutMs));
  }

  close(): void {
    this.#client.close();
  }

  #send(call: Call, timeoutMs: number): Promise<Answer> {
    const client = this.#client;
    const options = { timeoutMs };
    switch (call.kind) {
      case 'range':
        return client.unary(KV.methods.range, call.request, options);
      case 'put':
        return client.unary(KV.methods.put, call.request, options);
      case 'deleteRange':
        return client.unary(KV.methods.deleteRange, call.request, options);
      case 'txn':
        return client.unary(KV.methods.txn, call.request, options);
      case 'compact':
        return client.unary(KV.methods.compact, call.request, options);
    }
  }
}

/** Our client library with all members: what it repeats, and where it goes, is proved with it. */
export class FreeCaller implements Caller {
  readonly member = anyMember;
  readonly #client: Client;

  constructor(members: readonly MemberProcess[]) {
    this.#client = new Client({ endpoints: members.map(({ address }) => address) });
  }

  call(call: Call, timeoutMs: number): Promise<Outcome> {
    return outcomeOf(this.#send(call, timeoutMs));
  }

  close(): void {
    void this.#client.close();
  }

  #send(call: Call, timeoutMs: number): Promise<Answer> {
    const client = this.#client;
    const options = { timeoutMs };
    switch (call.kind) {
      case 'range':
        return client.range(call.request, options);
      case 'put':
        return client.put(call.request, options);
      case 'deleteRange':
        return client.delete(call.request, options);
      case 'txn':
        return client.txn(call.request, options);
      case 'compact':
        return client.compact(call.request, options);
    }
  }
}
