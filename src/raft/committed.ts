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
 * Only from members of no newer term: a leader of an older term than that in which an entry was
 * committed may lack it, and must find nobody in its term who knows that it is.
 */
export function learnCommitted(core: Core, { index, logTerm }: CommittedMessage): void {
  // A leader counts for itself.
  if (core.role === 'leader') return;
  if (core.log.matches({ index, term: logTerm })) core.log.commitTo(index);
}
