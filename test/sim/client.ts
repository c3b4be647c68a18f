/** Clients that put, get, delete and compare: one call after the other. */
import { fromUtf8, utf8 } from '../../src/base/bytes.ts';
import { StatusCode } from '../../src/base/errors.ts';
import {
  Compare,
  CompactionRequest,
  CompactionResponse,
  DeleteRangeRequest,
  DeleteRangeResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  RequestOp,
  TxnRequest,
  TxnResponse,
} from '../../src/gen/rpc.ts';
import type { Answer, Call, Outcome } from '../check/history.ts';
import { type Chance, streamOf } from './chance.ts';
import type { Life } from './member.ts';
import type { CallContext } from '../../src/api/handler.ts';
import { type ClientPlan, keyName, type Plan } from './plan.ts';
import { clientOwner, type Ending, type Port } from './port.ts';
import type { Recorder } from './recorder.ts';

/** How often each kind of call is made. */
const callWeights = {
  put: 34,
  get: 18,
  serializable: 8,
  range: 8,
  past: 4,
  delete: 8,
  deleteAll: 2,
  swap: 14,
  readTxn: 3,
};

export const noSuchLease = 'etcdserver: requested lease not found';

/** Errors that say that nothing was done and nothing will be. */
const harmless = new Set<string>([
  'etcdserver: too many requests',
  'etcdserver: request is too large',
  'etcdserver: mvcc: required revision has been compacted',
  'etcdserver: mvcc: required revision is a future revision',
  'etcdserver: duplicate key given in txn request',
  'etcdserver: key not found',
  'etcdserver: mvcc: database space exceeded',
  'etcdserver: rpc not supported for learner',
  noSuchLease,
]);

export interface Workload {
  readonly plan: Plan;
  readonly port: Port;
  readonly recorder: Recorder;
  /** The newest revision up to which somebody was told that all is compacted. */
  compacted: number;
}

export class Client {
  readonly name: string;
  readonly #plan: ClientPlan;
  readonly #workload: Workload;
  readonly #chance: Chance;
  #position: number;
  #writes = 0;
  #revision = 1;
  /** Revision of the newest deletion that it knows to have deleted something. */
  #deletion = 1;
  /** Newest revision seen of each key; 0: not there. */
  readonly #seen = new Map<string, number>();
  #stopped = false;
  #pinned: boolean;
  busy = false;

  constructor(plan: ClientPlan, workload: Workload) {
    this.name = plan.name;
    this.#plan = plan;
    this.#workload = workload;
    this.#chance = streamOf(workload.plan.seed, `client ${plan.name}`);
    this.#position = plan.member ?? this.#chance.below(workload.plan.members);
    this.#pinned = plan.member !== undefined;
  }

  /** Its member may be gone for good: from now on it asks another one after a failure. */
  unpin(): void {
    this.#pinned = false;
  }

  start(): void {
    this.#later(this.#chance.between(0, this.#plan.thinkMs), () => this.#next());
  }

  /** Makes no more calls; the one under way ends by itself. */
  stop(): void {
    this.#stopped = true;
  }

  /** Makes one request beside all else. */
  askOnce(kind: 'put' | 'get'): void {
    this.ask(kind === 'put' ? this.#put() : this.#get(), () => {});
  }

  #later(ms: number, callback: () => void): void {
    this.#workload.port.cluster.scheduler.after(ms, clientOwner, callback);
  }

  #next(): void {
    if (this.#stopped) return;
    this.busy = true;
    this.ask(this.#draw(), () => {
      this.busy = false;
      this.#later(this.#chance.between(0, 2 * this.#plan.thinkMs), () => this.#next());
    });
  }

  /** @param sharesKeys whether services change its keys too, as leases do */
  ask(call: Call, done: (outcome: Outcome) => void, sharesKeys = false): void {
    const { port, recorder } = this.#workload;
    const member = port.cluster.at(this.#position);
    const end = recorder.begin(this.name, member.name, call, sharesKeys);
    port.call(
      member,
      this.#plan.timeoutMs,
      (life, context) => invoke(life, call, context),
      (ending) => {
        const outcome = outcomeOf(call, ending);
        end(outcome);
        this.#learn(call, outcome);
        if (outcome.kind !== 'answered' && !this.#pinned) this.#moveOn();
        done(outcome);
      },
      call.kind === 'range' && call.request.serializable,
    );
  }

  #moveOn(): void {
    this.#position = this.#chance.below(this.#workload.port.cluster.members.length);
  }

  #learn(call: Call, outcome: Outcome): void {
    if (outcome.kind !== 'answered') return;
    const { answer } = outcome;
    const revision = answer.header?.revision ?? 0;
    this.#revision = Math.max(this.#revision, revision);
    if ('deleted' in answer && answer.deleted > 0) this.#deletion = revision;
    if (call.kind === 'compact') {
      const workload = this.#workload;
      workload.compacted = Math.max(workload.compacted, call.request.revision);
    }
    if (!('kvs' in answer)) return;
    for (const { key, modRevision } of answer.kvs) this.#seen.set(fromUtf8(key), modRevision);
  }

  #key(): string {
    return keyName(this.#chance.below(this.#workload.plan.keys));
  }

  #value(): Uint8Array {
    const text = `${this.name}.${++this.#writes}`;
    return utf8(text.padEnd(this.#workload.plan.valueBytes, '.'));
  }

  #put(): Call {
    const prevKv = this.#chance.chance(0.3);
    const request = PutRequest.create({ key: utf8(this.#key()), value: this.#value(), prevKv });
    return { kind: 'put', request };
  }

  #get(): Call {
    return { kind: 'range', request: RangeRequest.create({ key: utf8(this.#key()) }) };
  }

  #draw(): Call {
    const { compactWeight } = this.#workload.plan;
    const kind = this.#chance.weighted({ ...callWeights, compact: compactWeight });
    const key = utf8(this.#key());
    switch (kind) {
      case 'put':
        return this.#put();
      case 'get':
        return this.#get();
      case 'serializable':
        return { kind: 'range', request: RangeRequest.create({ key, serializable: true }) };
      case 'range':
        return { kind: 'range', request: this.#range(key) };
      case 'past': {
        const revision = Math.max(1, this.#revision - this.#chance.below(30));
        return { kind: 'range', request: RangeRequest.create({ key, revision }) };
      }
      case 'delete': {
        const request = DeleteRangeRequest.create({ key, prevKv: this.#chance.chance(0.5) });
        return { kind: 'deleteRange', request };
      }
      case 'deleteAll': {
        const request = DeleteRangeRequest.create({ key, rangeEnd: utf8('\0'), prevKv: true });
        return { kind: 'deleteRange', request };
      }
      case 'swap':
        return { kind: 'txn', request: this.#swap(key) };
      case 'readTxn':
        return { kind: 'txn', request: readTxn(key, utf8(this.#key())) };
      case 'compact': {
        // Its last deletion may be just what is left of a key.
        const recent = Math.max(1, this.#revision - this.#chance.below(20));
        const atDeletion = this.#deletion > 1 && this.#chance.chance(0.4);
        const revision = atDeletion ? this.#deletion : recent;
        return { kind: 'compact', request: CompactionRequest.create({ revision }) };
      }
    }
  }

  #range(key: Uint8Array): RangeRequest {
    const rangeEnd = utf8('\0');
    const limit = this.#chance.chance(0.3) ? 1 + this.#chance.below(4) : 0;
    const countOnly = this.#chance.chance(0.1);
    const serializable = this.#chance.chance(0.2);
    return RangeRequest.create({ key, rangeEnd, limit, countOnly, serializable });
  }

  /** A revision that may be compacted, or was just now, so that it is not removed everywhere. */
  #past(): number {
    const { compacted } = this.#workload;
    const back = 1 + this.#chance.below(30);
    if (compacted > 1 && this.#chance.chance(0.4)) return Math.max(1, compacted - (back >> 2));
    return Math.max(1, this.#revision + 1 - back);
  }

  /** Replaces what the client saw last, or says what is there. */
  #swap(key: Uint8Array): TxnRequest {
    const seen = this.#seen.get(fromUtf8(key)) ?? 0;
    const compare = Compare.create({
      result: 0,
      target: 2,
      key,
      targetUnion: { case: 'modRevision', value: seen },
    });
    const put = PutRequest.create({ key, value: this.#value() });
    // A past that may be compacted by then: the txn is refused, on all members or on none.
    const past = this.#past();
    const asksPast = this.#chance.chance(this.#workload.plan.pastShare);
    const range = RangeRequest.create({ key, revision: asksPast ? past : 0 });
    const requestPut = RequestOp.create({ request: { case: 'requestPut', value: put } });
    const requestRange = RequestOp.create({ request: { case: 'requestRange', value: range } });
    return TxnRequest.create({
      compare: [compare],
      success: asksPast ? [requestPut, requestRange] : [requestPut],
      // Often the other branch writes too: members that differ about the past then differ in state.
      failure: this.#chance.chance(0.3) ? [requestRange, requestPut] : [requestRange],
    });
  }
}

function readTxn(...keys: readonly Uint8Array[]): TxnRequest {
  return TxnRequest.create({
    success: keys.map((key) =>
      RequestOp.create({
        request: { case: 'requestRange', value: RangeRequest.create({ key }) },
      }),
    ),
  });
}

/** Calls the member's own handler, through the wire's codecs on the way there and back. */
async function invoke(life: Life, call: Call, context: CallContext): Promise<Answer> {
  const { kv } = life;
  switch (call.kind) {
    case 'range': {
      const request = RangeRequest.decode(RangeRequest.encode(call.request));
      return RangeResponse.decode(RangeResponse.encode(await kv.range(request, context)));
    }
    case 'put': {
      const request = PutRequest.decode(PutRequest.encode(call.request));
      return PutResponse.decode(PutResponse.encode(await kv.put(request)));
    }
    case 'deleteRange': {
      const request = DeleteRangeRequest.decode(DeleteRangeRequest.encode(call.request));
      return DeleteRangeResponse.decode(DeleteRangeResponse.encode(await kv.deleteRange(request)));
    }
    case 'txn': {
      const request = TxnRequest.decode(TxnRequest.encode(call.request));
      return TxnResponse.decode(TxnResponse.encode(await kv.txn(request)));
    }
    case 'compact': {
      const request = CompactionRequest.decode(CompactionRequest.encode(call.request));
      return CompactionResponse.decode(CompactionResponse.encode(await kv.compact(request)));
    }
  }
}

function outcomeOf(call: Call, ending: Ending<Answer>): Outcome {
  switch (ending.kind) {
    case 'answered':
      return { kind: 'answered', answer: ending.answer };
    case 'unsent':
      return { kind: 'refused', code: StatusCode.unavailable, message: 'connection refused' };
    case 'lost':
      return { kind: 'unknown', reason: ending.reason };
    case 'error': {
      const { code, message } = ending;
      const reads = call.kind === 'range';
      if (reads || harmless.has(message)) return { kind: 'refused', code, message };
      return { kind: 'unknown', reason: message };
    }
  }
}
