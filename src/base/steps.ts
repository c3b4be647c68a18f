/** Long work as a generator of steps, between which its thread can do other things. */

/** Each step yields how much it was, in the work's own unit. */
export type Steps<Result> = Generator<number, Result>;

/** Does all that is left at once. */
export function allSteps<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

export interface Slice<Result> {
  /** How much was done, without the last step of all, which yields nothing. */
  readonly amount: number;
  /** Undefined while there is more to do. */
  readonly end: { readonly result: Result } | undefined;
}

/** Goes on until `amount` is done, or all; throws what a step throws. */
export function takeSlice<Result>(steps: Steps<Result>, amount: number): Slice<Result> {
  let taken = 0;
  while (taken < amount) {
    const step = steps.next();
    if (step.done === true) return { amount: taken, end: { result: step.value } };
    taken += step.value;
  }
  return { amount: taken, end: undefined };
}
