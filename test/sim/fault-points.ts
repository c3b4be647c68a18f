/** Crashes and failures at named steps of a member's work (src/base/fault-point.ts). */
import { armFaultPoints, type FaultPoint } from '../../src/base/fault-point.ts';
import type { SimMember } from './member.ts';
import { Process, ProcessEnded } from './process.ts';

export interface ArmedPoint {
  readonly member: SimMember;
  readonly point: FaultPoint;
  /** The how manyeth time that the step is reached from now on; the first is 1. */
  readonly time: number;
  /** An error to go on with, or the member has crashed by then. */
  readonly act: () => Error | undefined;
}

/** What one simulation has armed: there is one at a time in a process. */
export class FaultPoints {
  readonly #armed = new Map<ArmedPoint, { left: number }>();
  /** Points at which something happened, with how often. */
  readonly struck: Partial<Record<FaultPoint, number>> = {};

  /** Arms a step of one member, in this life or a later one, once. Returns how to disarm it. */
  arm(armed: ArmedPoint): () => void {
    this.#armed.set(armed, { left: armed.time });
    armFaultPoints((point) => this.#reached(point));
    return () => this.#disarm(armed);
  }

  #disarm(armed: ArmedPoint): void {
    this.#armed.delete(armed);
    if (this.#armed.size === 0) armFaultPoints(undefined);
  }

  #reached(point: FaultPoint): Error | undefined {
    const process = Process.current;
    for (const [armed, state] of this.#armed) {
      if (armed.point !== point || process === undefined) continue;
      if (armed.member.process !== process || --state.left > 0) continue;
      this.#disarm(armed);
      this.struck[point] = (this.struck[point] ?? 0) + 1;
      const error = armed.act();
      if (!process.alive) throw new ProcessEnded(`the end of the process at ${point}`);
      return error;
    }
    return undefined;
  }
}
