/** The answer that most messages of a leader get. */
import type { Core } from './core.ts';
import type { MemberId } from './types.ts';

/** Says that the log matches the leader's up to `index`, once that is durable. */
export function acknowledge(core: Core, to: MemberId, index: number): void {
  core.sendAfterPersist({
    type: 'appendResponse',
    from: core.id,
    to,
    term: core.term,
    index,
    reject: false,
    rejectHint: 0,
    logTerm: 0,
  });
}
