/** The only import point of the Raft core. */
export * from './types.ts';
export type * from './message.ts';
export type * from './ready.ts';
export type * from './config.ts';
export { compacted, unavailable, type LogStorage } from './storage.ts';
