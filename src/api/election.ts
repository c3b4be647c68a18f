/** The Election service (etcd: api/v3election/election.go). */
import { compareBytes, fromLatin1, latin1 } from '../base/bytes.ts';
import { EtcdError, StatusError } from '../base/errors.ts';
import type {
  CampaignRequest,
  CampaignResponse,
  LeaderKey,
  LeaderRequest,
  LeaderResponse,
  ProclaimRequest,
  ProclaimResponse,
  ResignRequest,
  ResignResponse,
} from '../gen/election.ts';
import type { KeyValue } from '../gen/kv.ts';
import type { CallContext } from './handler.ts';
import { header } from './header.ts';
import type { KeyChange } from './key-changes.ts';
import {
  Ownership,
  type OwnershipBackend,
  prefixEndOf,
  prefixOf,
  type TakenPlace,
  type Turn,
  unknownError,
  type WaitContext,
  withoutCodes,
} from './ownership.ts';

/** A leader's key value and the revision it is told at. */
interface Leadership {
  readonly kv: KeyValue;
  readonly revision: number;
}

export class ElectionService {
  readonly #backend: OwnershipBackend;
  readonly #ownership: Ownership;

  constructor(backend: OwnershipBackend) {
    this.#backend = backend;
    this.#ownership = new Ownership(backend);
  }

  /**
   * Answers once the caller leads. A lease that is a candidate already gets its place again, with
   * the new value. A campaign that is given up takes its key back.
   * @throws StatusError `election: not leader` if the lease ends before, which etcd does not look
   * at, or a refusal's words
   */
  campaign(request: CampaignRequest, context: CallContext): Promise<CampaignResponse> {
    return withoutCodes(async () => {
      const lease = await this.#ownership.leaseOf(request.lease);
      const taken = await this.#ownership.take(latin1(request.name), lease, request.value);
      await this.#stand(taken, request.value);
      const { place } = taken;
      const turn = await this.#turn(taken, context);
      if (turn.kind === 'lost') throw notLeader();
      const { name } = request;
      const leader = { name, key: fromLatin1(place.key), rev: place.revision, lease };
      return { header: taken.header, leader };
    });
  }

  /** Gives a place that the candidate had before the value of this campaign. */
  async #stand({ place, previous }: TakenPlace, value: Uint8Array): Promise<void> {
    if (previous === undefined || compareBytes(previous.value, value) === 0) return;
    try {
      const { succeeded } = await this.#ownership.announce(place, value);
      if (!succeeded) throw notLeader();
    } catch (error) {
      await this.#ownership.leave(place).catch(() => undefined);
      throw error;
    }
  }

  async #turn(taken: TakenPlace, context: CallContext): Promise<Turn> {
    try {
      return await this.#ownership.turn(taken, context);
    } catch (error) {
      // A candidate whose wait failed otherwise stays one, until its lease ends, as in etcd.
      if (context.signal.aborted) await this.#ownership.leave(taken.place).catch(() => undefined);
      throw error;
    }
  }

  /** @throws StatusError `election: not leader` if the leadership is over */
  proclaim({ leader, value }: ProclaimRequest): Promise<ProclaimResponse> {
    return withoutCodes(async () => {
      const { key, rev } = given(leader);
      const lease = await this.#ownership.leaseOf(given(leader).lease);
      const place = { key: latin1(key), lease, revision: rev };
      const answer = await this.#ownership.announce(place, value);
      if (!answer.succeeded) throw notLeader();
      return { header: answer.header };
    });
  }

  /** Ends a leadership or a candidacy; one that is over is no error. */
  resign({ leader }: ResignRequest): Promise<ResignResponse> {
    return withoutCodes(async () => {
      const { key, rev } = given(leader);
      const answer = await this.#ownership.leave({ key: latin1(key), revision: rev });
      return { header: answer.header };
    });
  }

  /** @throws StatusError `election: no leader` */
  leader({ name }: LeaderRequest): Promise<LeaderResponse> {
    return withoutCodes(async () => {
      const { kv, revision } = await this.#ownership.owner(latin1(name));
      if (kv === undefined) throw unknownError('election: no leader');
      return this.#response({ kv, revision });
    });
  }

  /**
   * The leader, and every one after it, with each value that it proclaims; between two of them some
   * may be left out. As in etcd it ends without an error when the leader cannot be asked for.
   * @throws EtcdError `noLeader` for clients that asked to be told when the member has no leader
   */
  async *observe({ name }: LeaderRequest, context: CallContext): AsyncGenerator<LeaderResponse> {
    const { memory } = context;
    if (context.metadata('hasleader') !== 'true') {
      yield* this.#leaderships(latin1(name), { memory, signal: context.signal });
      return;
    }
    const alone = new AbortController();
    const stopListening = this.#backend.onLeaderLost(() => alone.abort());
    try {
      const signal = AbortSignal.any([context.signal, alone.signal]);
      yield* this.#leaderships(latin1(name), { memory, signal });
    } finally {
      stopListening();
    }
    if (alone.signal.aborted) throw new EtcdError('noLeader');
  }

  async *#leaderships(name: string, context: WaitContext): AsyncGenerator<LeaderResponse> {
    for (;;) {
      const leadership = await this.#nextLeadership(name, context);
      if (leadership === undefined) return;
      yield this.#response(leadership);
      yield* this.#proclamations(leadership, context);
      if (context.signal.aborted) return;
    }
  }

  /** The present leadership, or the first to come; undefined if it cannot be known. */
  async #nextLeadership(name: string, context: WaitContext): Promise<Leadership | undefined> {
    for (;;) {
      let now: { readonly kv: KeyValue | undefined; readonly revision: number };
      try {
        now = await this.#ownership.owner(name);
      } catch (error) {
        if (error instanceof StatusError) return undefined;
        throw error;
      }
      if (now.kv !== undefined) return { kv: now.kv, revision: now.revision };
      const change = await this.#firstKey(name, now.revision, context);
      if (change === undefined) return undefined;
      const kv = change.kind === 'events' ? change.events[0]?.kv : undefined;
      // Other events of the answer may be younger than this one.
      if (kv !== undefined) return { kv, revision: kv.modRevision };
    }
  }

  async #firstKey(
    name: string,
    revision: number,
    context: WaitContext,
  ): Promise<KeyChange | undefined> {
    const changes = this.#ownership.changes(context);
    try {
      const keys = { key: prefixOf(name), end: prefixEndOf(name) };
      changes.watch({ ...keys, startRevision: revision + 1, noDelete: true });
      return await changes.next();
    } finally {
      changes.close();
    }
  }

  /** What a leader proclaims until its key is deleted. */
  async *#proclamations(
    { kv: { key }, revision }: Leadership,
    context: WaitContext,
  ): AsyncGenerator<LeaderResponse> {
    const changes = this.#ownership.changes(context);
    try {
      changes.watch({ key: latin1(key), startRevision: revision + 1 });
      for (;;) {
        const change = await changes.next();
        if (change === undefined || change.kind === 'lost') return;
        for (const event of change.events) {
          if (event.isDelete) return;
          yield this.#response({ kv: event.kv, revision: change.revision });
        }
      }
    } finally {
      changes.close();
    }
  }

  #response({ kv, revision }: Leadership): LeaderResponse {
    return { header: header(this.#backend.headerSource, revision), kv };
  }
}

function given(leader: LeaderKey | undefined): LeaderKey {
  if (leader === undefined) throw unknownError('"leader" field must be provided');
  return leader;
}

function notLeader(): StatusError {
  return unknownError('election: not leader');
}
