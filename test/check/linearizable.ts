/**
 * Replay by header revision. Every write says which revision it made, so the one order in which the
 * history can have happened is known, and a single pass through the model judges every field of
 * every answer. What revisions do not order, time does.
 *
 * Rules: `kv-answer` (an answer is not the model's), `kv-real-time` (older than what was seen),
 * `kv-revision` (impossible or given twice), `kv-future` (read of what never was), `kv-durable`
 * (acknowledged but lost), `kv-event` (the truth's fields are wrong), `kv-truth` (the truth is out
 * of order), `kv-hole` (a revision without events), `kv-refusal` (refused without reason), and for
 * events that no operation explains `kv-once`, `kv-before-start`, `kv-refused`, `kv-explained`;
 * `kv-undecided` if too many ways to place writes of unknown outcome are left.
 *
 * A serializable read must be right at the revision it shows. That one member never goes backwards
 * is not checked: a history does not tell when a member was restarted, and then it may.
 */
import type { Violation, History } from './history.ts';
import { type Facts, gatherFacts } from './facts.ts';
import type { Model } from './model.ts';
import { type Placement, ReplayRun } from './replay-run.ts';
import { checkWatches } from './watch.ts';

/**
 * Ways to place writes of unknown outcome that are tried. It takes more than one only without the
 * truth, or where different requests explain the same events.
 */
const runsLimit = 64;

export interface Replay {
  readonly violations: readonly Violation[];
  /** Every revision as the replay found it. */
  readonly model: Model;
  /** Where writes of unknown outcome took effect, by operation. */
  readonly placed: ReadonlyMap<number, Placement>;
  readonly facts: Facts;
  /** Whether the model is only one of many that may be right, and known not to be. */
  readonly isUndecided: boolean;
}

/** @param unasked what may have made a revision and no other one, though nobody asked for it */
export function replay(history: History, unasked: Facts['unasked'] = new Map()): Replay {
  const facts = gatherFacts(history, unasked);
  let best: ReplayRun | undefined;
  let choices: readonly number[] | undefined = [];
  for (let runs = 0; choices !== undefined && runs < runsLimit; runs++) {
    const run: ReplayRun = new ReplayRun(facts, choices);
    if (explainsAll(run, facts)) return judged(facts, run, false);
    if (best === undefined || run.findings.length === 0) best = run;
    choices = nextChoices(run);
  }
  return judged(facts, best as ReplayRun, choices !== undefined);
}

/** Where there was a choice, what watches were not told tells whether it was right. */
function explainsAll(run: ReplayRun, facts: Facts): boolean {
  if (run.findings.length > 0) return false;
  return (
    run.choices.length === 0 || checkWatches(facts.history, judged(facts, run, false)).length === 0
  );
}

function judged(facts: Facts, run: ReplayRun, isUndecided: boolean): Replay {
  const found = run.findings.map(({ violation }) => violation);
  const violations = [...facts.violations, ...(isUndecided ? [] : found)];
  if (isUndecided) {
    const text =
      `none of the ${runsLimit} ways tried to place writes of unknown outcome explains it all, ` +
      `but there are more. In one of them: ${found[0]?.text ?? 'watches tell otherwise'}`;
    violations.push({ rule: 'kv-undecided', text, operations: found[0]?.operations ?? [] });
  }
  return { violations, model: run.model, placed: run.placed, facts, isUndecided };
}

/**
 * The choices of the next run, depth first, but for those that cannot help against some finding;
 * if there is none, any may. Undefined if all have been made.
 */
function nextChoices(run: ReplayRun): readonly number[] | undefined {
  const last = Math.min(...run.findings.map(({ causedBy }) => causedBy));
  const made = run.choices.filter(({ revision }) => revision <= last);
  for (let i = made.length - 1; i >= 0; i--) {
    const choice = made[i];
    if (choice === undefined || choice.taken + 1 >= choice.alternatives) continue;
    return [...made.slice(0, i).map(({ taken }) => taken), choice.taken + 1];
  }
  return undefined;
}

/** Checks operations and, if given, events. */
export function checkLinearizable(history: History): readonly Violation[] {
  return replay(history).violations;
}
