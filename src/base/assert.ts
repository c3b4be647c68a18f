/** Assertions stay on in production: a broken invariant stops the member rather than its data. */

/** Thrown when the program contradicts itself. Never caught: the process ends with the message. */
export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure';
}

/** Ends the program's current path with {@link AssertionFailure} unless `condition` holds. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message);
}

/** Marks a place that an exhaustive switch cannot reach. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`unreachable: ${String(value)}`);
}

/** Asserts that `value` is there and returns it: for lookups whose absence would be a bug. */
export function present<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new AssertionFailure(`missing: ${what}`);
  return value;
}

/** Asserts that a number decoded from our own bytes is a safe, non-negative integer. */
export function safeInteger(value: number, what: string): number {
  assert(Number.isSafeInteger(value) && value >= 0, `${what} is not a safe integer: ${value}`);
  return value;
}
