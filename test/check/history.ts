/**
 * What clients asked and were told: the whole input of the checkers, wherever it was recorded, in a
 * simulated cluster or in one of processes.
 *
 * Requests and answers are those of the wire, so a checker may hold every field to the model.
 */
import type { Event, KeyValue } from '../../src/gen/kv.ts';
import type {
  CompactionRequest,
  CompactionResponse,
  DeleteRangeRequest,
  DeleteRangeResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
  WatchCreateRequest,
} from '../../src/gen/rpc.ts';

export type Call =
  | { readonly kind: 'range'; readonly request: RangeRequest }
  | { readonly kind: 'put'; readonly request: PutRequest }
  | { readonly kind: 'deleteRange'; readonly request: DeleteRangeRequest }
  | { readonly kind: 'txn'; readonly request: TxnRequest }
  | { readonly kind: 'compact'; readonly request: CompactionRequest };

export type Answer =
  RangeResponse | PutResponse | DeleteRangeResponse | TxnResponse | CompactionResponse;

/** How a call ended. */
export type Outcome =
  | { readonly kind: 'answered'; readonly answer: Answer }
  /** Refused before anything was done: it has no effect, now or later. */
  | { readonly kind: 'refused'; readonly code: number; readonly message: string }
  /** Timed out, cut off or never answered: it may take effect at any time after its start, once. */
  | { readonly kind: 'unknown'; readonly reason: string };

export interface Operation {
  /** Position in the history; unique. */
  readonly id: number;
  /** Calls of one client follow one another: the next begins after the end of the one before. */
  readonly client: string;
  /** The member asked. */
  readonly member: string;
  readonly call: Call;
  /** Times are of one clock that all clients share, in milliseconds. */
  readonly startMs: number;
  /** When the client knew; for an unknown outcome, when it gave up. */
  readonly endMs: number;
  readonly outcome: Outcome;
}

/** What arrives for one watcher, in order. */
export type WatchRecord =
  | { readonly kind: 'created'; readonly revision: number; readonly atMs: number }
  /**
   * One answer with events. `fragment` says that the rest of its last revision is in the next one.
   */
  | {
      readonly kind: 'events';
      readonly revision: number;
      readonly events: readonly Event[];
      readonly fragment: boolean;
      readonly atMs: number;
    }
  /** A promise: all events up to `revision` have been sent. */
  | { readonly kind: 'progress'; readonly revision: number; readonly atMs: number }
  | { readonly kind: 'compacted'; readonly compactRevision: number; readonly atMs: number }
  /** The stream broke, or the server cancelled. */
  | { readonly kind: 'ended'; readonly reason: string; readonly atMs: number };

/**
 * One watcher's life on one stream. A client that resumes makes another log, whose request names
 * the revision after the last that it knows in full.
 */
export interface WatchLog {
  readonly client: string;
  readonly member: string;
  readonly request: WatchCreateRequest;
  readonly records: readonly WatchRecord[];
  /** The log of this client that this one resumes: position in {@link History.watches}. */
  readonly resumes: number | undefined;
}

/** State that a member showed, for comparison between members. */
export interface StateObservation {
  readonly member: string;
  /** Applied index. */
  readonly index: number;
  readonly revision: number;
  /** Hash of the whole logical state at that index. */
  readonly hash: string;
}

/** What a client of leases was told of one, or did to it that may end it. */
export type LeaseFact = {
  /** Never given twice in one history. */
  readonly lease: bigint;
  /** When the client asked, and when it knew. */
  readonly startMs: number;
  readonly endMs: number;
} & (
  | { readonly kind: 'promised'; readonly seconds: number }
  /** It is alive: a question found it, or a key was put on it. */
  | { readonly kind: 'found' }
  /** It may end from the start of this on, before its time is over. */
  | { readonly kind: 'givenUp' }
  | { readonly kind: 'gone' }
  | { readonly kind: 'revoked'; readonly revision: number }
);

/** A client was told, by an answer of this revision, that it holds a lock by this key. */
export interface LockFact {
  readonly key: string;
  readonly revision: number;
}

/** What another cluster had when it began with a snapshot of this one. */
export interface Restored {
  /** Acknowledged to somebody before the snapshot was asked for. */
  readonly acknowledged: number;
  /** Of the snapshot, by its own account. */
  readonly revision: number;
  /** At which the other cluster began. */
  readonly firstRevision: number;
  /** All that it had then, with the fields that it had here. */
  readonly kvs: readonly KeyValue[];
}

export interface History {
  readonly operations: readonly Operation[];
  /**
   * What services did for their clients, to keys of which `operations` know nothing. Only revisions
   * tell when: the search for a linearization, which does without them, leaves it out.
   */
  readonly ofServices?: readonly Operation[];
  /**
   * With the truth: whose leases ended takes their keys along in one revision. Deletions that are
   * neither that nor somebody's operation are explained by nothing.
   */
  readonly leases?: readonly LeaseFact[];
  readonly locks?: { readonly name: string; readonly held: readonly LockFact[] };
  readonly restored?: readonly Restored[];
  readonly watches: readonly WatchLog[];
  readonly states: readonly StateObservation[];
  /**
   * Every event from revision 2 on, in order, as found by one who saw all: the members' own logs,
   * or a watcher without a gap. Undefined if nobody did; then writes of unknown outcome count as
   * done where an answer or a watch shows it.
   */
  readonly events: readonly Event[] | undefined;
}

/** What a checker found, in words for the person who will look for the bug. */
export interface Violation {
  /** The rule that is broken, e.g. `linearizable` or `watch-ordered`. */
  readonly rule: string;
  readonly text: string;
  /** Operations concerned, by id. */
  readonly operations: readonly number[];
}
