/** The only import point of the Raft core. */
export * from './types.ts';
export type * from './message.ts';
export type * from './ready.ts';
export type * from './config.ts';
export { compacted, unavailable, type LogStorage } from './storage.ts';
export { RaftFailure } from './check.ts';
export { RawNode } from './raw-node.ts';
export { InvariantChecker } from './invariants.ts';
export { MemoryStorage, noConfState } from './memory-storage.ts';
export { majorityOf } from './quorum/majority.ts';
export { ConfChangeError } from './confchange/error.ts';
export { decodeConfChange, encodeConfChange } from './confchange/codec.ts';
