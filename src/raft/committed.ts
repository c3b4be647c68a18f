/** Telling others how much of their logs is committed, which asks for no answer. */
import type { Core } from './core.ts';
import type { CommittedMessage } from './message.ts';
import type { MemberId } from './types.ts';

/** Says that the log up to `index` is committed, which must be so here. */
export function tellCommitted(core: Core, to: MemberId, index: number): void {
  const logTerm = core.log.term(index);
  if (index === 0 || typeof logTerm !== 'number') return;
  core.send({ type: 'committed', from: core.id, to, term: core.term, index, logTerm });
}

/**
 * Two logs that share an entry share all before it (Raft 5.3), so the own one is committed too.
 * `step` has taken a newer term first: the leader of an older one may lack what was committed after
 * it, and must find nobody in its term who knows of that. It is no sign of life of a leader.
 */
export function learnCommitted(core: Core, { index, logTerm }: CommittedMessage): void {
  // A leader counts for itself.
  if (core.role === 'leader') return;
  if (core.log.matches({ index, term: logTerm })) core.log.commitTo(index);
}
