/** Assertions of the Raft core. They stay on in production: going on would risk the data. */

/** The core or its host broke a promise of the protocol. Not to be caught: the member must stop. */
export class RaftFailure extends Error {
  override readonly name = 'RaftFailure';
}

/**
 * Ends the current path with a {@link RaftFailure} unless `condition` holds. The message is built
 * either way: where entries and messages pass by, write `if (...) fail(...)` instead.
 */
export function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new RaftFailure(message);
}

/** Ends a path that must not be reached. */
export function fail(message: string): never {
  throw new RaftFailure(message);
}
