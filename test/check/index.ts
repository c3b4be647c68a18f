/**
 * All checks of a history. They know nothing of the server but its API, so what they accept does
 * not depend on how a history came to be.
 */
import { checkConvergence } from './convergence.ts';
import type { History, Violation } from './history.ts';
import { checkLeases, leaseDeletions } from './leases.ts';
import { replay } from './linearizable.ts';
import { checkLocks } from './lock-ledger.ts';
import { checkRestored } from './restored.ts';
import { searchLinearizable, type SearchOptions } from './search.ts';
import { checkWatches } from './watch.ts';

/** Violations kept of one rule: more say nothing new, and one bug can cause thousands. */
const violationsPerRule = 20;

/** Not a proof that something is wrong, but no proof either that nothing is. */
export function isUndecided({ rule }: Violation): boolean {
  return rule.endsWith('-undecided');
}

/**
 * Everything wrong with a history, in an order that depends on the history alone. What could not be
 * decided is among it: see {@link isUndecided}.
 */
export function checkHistory(
  history: History,
  options: Pick<SearchOptions, 'stepsLimit'> = {},
): readonly Violation[] {
  const { operations, ofServices = [] } = history;
  const all = [...operations, ...ofServices];
  const replayed = replay({ ...history, operations: all }, leaseDeletions(history));
  const { placed } = replayed;
  return limited([
    ...replayed.violations,
    ...searchLinearizable(history, { ...options, placed }),
    // What watches must show is not known if the replay could not tell what happened.
    ...(replayed.isUndecided ? [] : checkWatches(history, replayed)),
    ...checkLeases(history, replayed.facts.sightings),
    ...checkLocks(history),
    ...(replayed.isUndecided ? [] : checkRestored(history, replayed.model)),
    ...checkConvergence(history),
  ]);
}

function limited(violations: readonly Violation[]): Violation[] {
  const counts = new Map<string, number>();
  for (const { rule } of violations) counts.set(rule, (counts.get(rule) ?? 0) + 1);
  const kept: Violation[] = [];
  const shown = new Map<string, number>();
  for (const violation of violations) {
    const { rule, text } = violation;
    const place = (shown.get(rule) ?? 0) + 1;
    shown.set(rule, place);
    if (place > violationsPerRule) continue;
    const more = (counts.get(rule) ?? 0) - violationsPerRule;
    const isLast = place === violationsPerRule && more > 0;
    kept.push(
      isLast ? { ...violation, text: `${text} (and ${more} more of this rule)` } : violation,
    );
  }
  return kept;
}
