/** The Lease service (etcd: api/v3rpc/lease.go). */
import type { Outcome } from '../apply/applier.ts';
import type { Command } from '../apply/request.ts';
import { fromLatin1 } from '../base/bytes.ts';
import { EtcdError } from '../base/errors.ts';
import type {
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseLeasesRequest,
  LeaseLeasesResponse,
  LeaseRevokeRequest,
  LeaseRevokeResponse,
  LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
} from '../gen/rpc.ts';
import { anyGrant, type Lease, noLease } from '../lease/lease.ts';
import type { CallContext } from './handler.ts';
import { header, type HeaderSource } from './header.ts';
import { type AnswerSession, SessionAnswers } from './session-answers.ts';

/**
 * Renewals of one stream that are under way; more are not read before these are answered. Together
 * they share rounds of heartbeats, so one stream can keep many leases alive.
 */
const renewalsUnderWayLimit = 1024;
/** What a lease is reported to have left that is not there. */
const missingTtl = -1;

export interface LeaseBackend {
  readonly headerSource: HeaderSource;
  readonly hasLeader: boolean;
  readonly leases: LeaseDirectory;
  request(command: Command): Promise<Outcome>;
  linearizableRead(): Promise<void>;
  /** Calls `listener` once after there was no leader for too long. Returns how to stop that. */
  onLeaderLost(listener: () => void): () => void;
  /** Calls `listener` once when the state must not be shown any more. Returns how to stop that. */
  onStateRefused?(listener: () => void): () => void;
}

/** What a member knows of leases, and what it asks its leader. */
export interface LeaseDirectory {
  readonly minTtlSeconds: number;
  chooseId(): bigint;
  get(id: bigint): Lease | undefined;
  list(): readonly Lease[];
  /** The time given, in seconds; 0 if there is no such lease. */
  renew(id: bigint): Promise<number>;
  /** In seconds; undefined if there is no such lease. */
  secondsLeft(id: bigint): Promise<number | undefined>;
}

export class LeaseService {
  readonly #backend: LeaseBackend;

  constructor(backend: LeaseBackend) {
    this.#backend = backend;
  }

  /** What depends on chance or settings is decided here, before anything is proposed. */
  async leaseGrant({ id: asked, ttl: askedTtl }: LeaseGrantRequest): Promise<LeaseGrantResponse> {
    const { leases, headerSource } = this.#backend;
    const id = asked === noLease ? leases.chooseId() : asked;
    const ttl = Math.max(askedTtl, leases.minTtlSeconds);
    const { response } = await this.#backend.request({ case: 'leaseGrant', value: { id, ttl } });
    const granted = response as LeaseGrantResponse;
    return { ...granted, header: header(headerSource, granted.header?.revision) };
  }

  async leaseRevoke({ id }: LeaseRevokeRequest): Promise<LeaseRevokeResponse> {
    const { response } = await this.#backend.request({
      case: 'leaseRevoke',
      value: { id, grant: anyGrant },
    });
    return { header: header(this.#backend.headerSource, response?.header?.revision) };
  }

  /** A missing lease is no error: it has a TTL of -1. */
  async leaseTimeToLive(request: LeaseTimeToLiveRequest): Promise<LeaseTimeToLiveResponse> {
    const { leases, headerSource } = this.#backend;
    await this.#backend.linearizableRead();
    const known = leases.get(request.id) !== undefined;
    const seconds = known ? await leases.secondsLeft(request.id) : undefined;
    // It may have ended while the leader was asked.
    const lease = leases.get(request.id);
    const gone = seconds === undefined || lease === undefined;
    return {
      header: header(headerSource),
      id: request.id,
      ttl: gone ? missingTtl : seconds,
      grantedTtl: gone ? 0 : lease.ttlSeconds,
      keys: gone || !request.keys ? [] : [...lease.keys].sort().map(fromLatin1),
    };
  }

  /** What this member knows, as in etcd. */
  leaseLeases(_request: LeaseLeasesRequest): Promise<LeaseLeasesResponse> {
    const { leases, headerSource } = this.#backend;
    return Promise.resolve({
      header: header(headerSource),
      leases: leases.list().map(({ id }) => ({ id })),
    });
  }

  /**
   * Answers renewals in the order in which they came. Ends when the client has no more. The answers
   * throw EtcdError `noLeader` for clients that asked to be told, or why a renewal failed.
   */
  leaseKeepAlive(
    requests: AsyncIterable<LeaseKeepAliveRequest>,
    context: CallContext,
  ): SessionAnswers<LeaseKeepAliveResponse> {
    return new SessionAnswers(() => {
      const needsLeader = context.metadata('hasleader') === 'true';
      if (needsLeader && !this.#backend.hasLeader) throw new EtcdError('noLeader');
      const session = new KeepAliveSession(this.#backend, context, needsLeader);
      session.read(requests);
      return session;
    });
  }
}

interface Renewal {
  answer: LeaseKeepAliveResponse | undefined;
}

/** One stream of one client. */
class KeepAliveSession implements AnswerSession<LeaseKeepAliveResponse> {
  readonly #backend: LeaseBackend;
  readonly #context: CallContext;
  readonly #stopListening: () => void;
  readonly #stopDoubting: (() => void) | undefined;
  readonly #abort = (): void => this.#fail(new EtcdError('requestCanceled'));
  /** In the order of the requests; answered or not. */
  #renewals: Renewal[] = [];
  #failure: Error | undefined;
  #ended = false;
  #closed = false;
  #wakeWriter: (() => void) | undefined;
  #wakeReader: (() => void) | undefined;

  constructor(backend: LeaseBackend, context: CallContext, needsLeader: boolean) {
    this.#backend = backend;
    this.#context = context;
    this.#stopListening = needsLeader
      ? backend.onLeaderLost(() => this.#fail(new EtcdError('noLeader')))
      : () => undefined;
    this.#stopDoubting = backend.onStateRefused?.(() => this.#fail(new EtcdError('corrupt')));
    context.signal.addEventListener('abort', this.#abort);
    if (context.signal.aborted) this.#abort();
  }

  /** Begins renewals until there are no more requests; what goes wrong ends the stream. */
  read(requests: AsyncIterable<LeaseKeepAliveRequest>): void {
    this.#readAll(requests).catch((error: unknown) => this.#fail(asError(error)));
  }

  async #readAll(requests: AsyncIterable<LeaseKeepAliveRequest>): Promise<void> {
    for await (const { id } of requests) {
      if (this.#isClosed()) return;
      this.#begin(id);
      while (!this.#isClosed() && this.#renewals.length >= renewalsUnderWayLimit) {
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve;
        });
      }
    }
    this.#ended = true;
    this.#wakeWriter?.();
  }

  #begin(id: bigint): void {
    const renewal: Renewal = { answer: undefined };
    this.#renewals.push(renewal);
    // From before the renewal: a client must not see it next to a revision at which it was over.
    const before = header(this.#backend.headerSource);
    this.#backend.leases.renew(id).then(
      (ttl) => {
        renewal.answer = { header: before, id, ttl };
        this.#wakeWriter?.();
      },
      (error: unknown) => this.#fail(asError(error)),
    );
  }

  /** A call, because the compiler takes no field to change while a function waits. */
  #isClosed(): boolean {
    return this.#closed;
  }

  /** All requests have come and are answered. */
  isOver(): boolean {
    return this.#ended && this.#renewals.length === 0;
  }

  /** The next answer, if the oldest renewal has one. */
  next(): LeaseKeepAliveResponse | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    const answer = this.#renewals[0]?.answer;
    if (answer === undefined) return undefined;
    this.#renewals.shift();
    this.#wakeReader?.();
    return answer;
  }

  /** Resolves when there may be something to take. */
  readable(): Promise<void> {
    return new Promise((resolve) => {
      this.#wakeWriter = resolve;
      if (this.#failure !== undefined) resolve();
    });
  }

  close(): void {
    this.#closed = true;
    this.#stopListening();
    this.#stopDoubting?.();
    this.#context.signal.removeEventListener('abort', this.#abort);
    this.#wakeReader?.();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wakeWriter?.();
    this.#wakeReader?.();
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
