/** What a client process is asked to do, and what comes back. */

/** Calls of which each sender has one under way. */
export interface UnaryJob {
  readonly kind: 'unary';
  readonly operation: UnaryOperation;
  readonly inFlight: number;
  /** What keys are chosen from. */
  readonly keys: number;
}

/**
 * `put`: random keys. `mixed`: four gets to one put, of random keys that are there. `swap`:
 * compares the revision that it knows and puts. `delete`: keys that are there, one after another.
 */
export type UnaryOperation = 'put' | 'mixed' | 'swap' | 'delete';

/** The same call again and again, where h2load is not installed. */
export interface RepeatJob {
  readonly kind: 'repeat';
  readonly path: string;
  /** In its frame. */
  readonly body: Uint8Array;
  readonly inFlight: number;
  /** Each call makes a revision. */
  readonly writes: boolean;
}

/** Each of so many puts under way waits until all watchers of its key have its event. */
export interface WatchJob {
  readonly kind: 'watch';
  readonly watchers: number;
  /** All watch one key; otherwise each its own. */
  readonly shared: boolean;
  readonly inFlight: number;
}

/** Grants leases, then keeps them alive in turns. */
export interface KeepAliveJob {
  readonly kind: 'keep-alive';
  readonly leases: number;
  readonly inFlight: number;
}

export type LoadJob = UnaryJob | RepeatJob | WatchJob | KeepAliveJob;

export interface ClientJob {
  readonly load: LoadJob;
  readonly address: string;
  readonly connections: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  /** Tells the processes of one load apart: 0, 1, 2, ... */
  readonly process: number;
  /** How many there are. */
  readonly processes: number;
}

export interface LoadFigures {
  /** Calls, events or renewals, each of which was checked. */
  readonly operations: number;
  /** Revisions made. */
  readonly writes: number;
  readonly seconds: number;
  readonly latenciesUs: Uint32Array;
}

export interface ClientFigures extends LoadFigures {
  readonly cpuSeconds: number;
}

/** From the client: that it is warm, then what came of it, or why nothing did. */
export type ClientMessage =
  | { readonly case: 'ready' }
  | { readonly case: 'done'; readonly figures: ClientFigures }
  | { readonly case: 'failed'; readonly why: string };
