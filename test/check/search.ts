/**
 * Linearizability of each key by search (Wing and Gong's, with Lowe's memory of states seen), from
 * values and versions alone. It trusts no revision: they only say which order to try first, and an
 * order counts if time and all answers allow it. For an honest history that is the first one.
 *
 * Rules: `search-linearizable` (no order explains the answers), `search-undecided` (none was found
 * within the limit of steps, but there may be one).
 */
import type { Alternatives, KeyState } from './key-operation.ts';
import { alternativesFor, contradiction, namedKeys, runSteps } from './key-operation.ts';
import { operationText, quoted } from './describe.ts';
import type { History, Operation, Violation } from './history.ts';
import { answeredRevision, madeRevision, mayWrite } from './operations.ts';
import type { Placement } from './replay-run.ts';

/**
 * Steps for all keys of one history, of a few microseconds each, beside those that an honest
 * history takes: one for each operation.
 */
export const defaultStepsLimit = 20_000;
/** Operations that a text names. */
const shownOperations = 6;

interface KeyOperation {
  readonly operation: Operation;
  readonly startMs: number;
  /** Infinite if it may happen at any time, or never. */
  readonly endMs: number;
  /** Smaller goes first. */
  readonly hint: number;
  readonly alternatives: Alternatives;
}

export interface SearchOptions {
  readonly stepsLimit?: number;
  /** Where writes of unknown outcome are thought to have happened, by operation: a hint too. */
  readonly placed?: ReadonlyMap<number, Placement>;
}

export function searchLinearizable(
  history: History,
  { stepsLimit = defaultStepsLimit, placed = new Map() }: SearchOptions = {},
): readonly Violation[] {
  const violations: Violation[] = [];
  const room = { steps: stepsLimit };
  for (const [key, operations] of partition(history, placed)) {
    const search = new KeySearch(operations, room);
    const verdict = search.run();
    if (verdict === 'linearizable') continue;
    const ids = operations.map(({ operation }) => operation.id);
    if (verdict === 'undecided') {
      const text = `key ${quoted(key)}: not decided within ${stepsLimit} extra steps`;
      violations.push({ rule: 'search-undecided', text, operations: ids });
    } else {
      const text = `key ${quoted(key)}: ${search.explanation()}`;
      violations.push({ rule: 'search-linearizable', text, operations: search.stuck() });
    }
  }
  return violations;
}

/** The operations of each key, keys in order. */
function partition(
  history: History,
  placed: ReadonlyMap<number, Placement>,
): [string, KeyOperation[]][] {
  const keys = new Set<string>();
  for (const operation of history.operations) namedKeys(operation, (key) => keys.add(key));
  const partitions = new Map<string, KeyOperation[]>();
  for (const key of [...keys].sort()) partitions.set(key, []);
  for (const operation of history.operations) {
    const { call, outcome, startMs } = operation;
    const isUnknown = outcome.kind === 'unknown';
    if (outcome.kind === 'refused' || (isUnknown && !mayWrite(call))) continue;
    const concerned = new Set<string>();
    if (concernsOthers(operation)) for (const key of keys) concerned.add(key);
    else namedKeys(operation, (key) => concerned.add(key));
    const placement = placed.get(operation.id);
    const revision = answeredRevision(operation) ?? placement?.revision ?? Infinity;
    // At one revision the write comes first, then what shows it.
    const hint = revision + (isUnknown || madeRevision(operation) ? 0 : 0.5);
    const endMs = isUnknown ? Number.POSITIVE_INFINITY : operation.endMs;
    for (const key of concerned) {
      const alternatives = alternativesFor(key, operation, placement?.answer);
      if (alternatives.length === 0) continue;
      partitions.get(key)?.push({ operation, startMs, endMs, hint, alternatives });
    }
  }
  return [...partitions];
}

/** Whether it may change keys that it does not name one by one. */
function concernsOthers({ call }: Operation): boolean {
  if (call.kind === 'deleteRange') return call.request.rangeEnd.length > 0;
  if (call.kind !== 'txn') return false;
  const isWide = (request: typeof call.request): boolean =>
    [...request.success, ...request.failure].some(
      ({ request: op }) =>
        (op?.case === 'requestDeleteRange' && op.value.rangeEnd.length > 0) ||
        (op?.case === 'requestTxn' && isWide(op.value)),
    );
  return isWide(call.request);
}

type Verdict = 'linearizable' | 'contradictory' | 'undecided';

/** A place in the search: what has been put in order, and what to try next. */
interface Frame {
  readonly state: KeyState;
  /** Candidates with an alternative each, in the order in which they are tried. */
  readonly tries: readonly { readonly index: number; readonly alternative: number }[];
  next: number;
  /** What was put in order last to come here. */
  readonly index: number;
}

class KeySearch {
  /** By start: of those whose answer came, then of the others. */
  readonly #known: readonly KeyOperation[];
  readonly #unknown: readonly KeyOperation[];
  readonly #all: readonly KeyOperation[];
  readonly #done: Uint8Array;
  /** Steps of all keys beyond their own. */
  readonly #room: { steps: number };
  #ownSteps: number;
  readonly #seen = new Set<string>();
  #knownLeft: number;
  /** Everything known before it is done. */
  #low = 0;
  #deepest = -1;
  #deepestState: KeyState;
  #stuck: readonly number[] = [];

  constructor(operations: readonly KeyOperation[], room: { steps: number }) {
    const byStart = operations.toSorted((a, b) => a.startMs - b.startMs);
    this.#known = byStart.filter(({ endMs }) => endMs !== Infinity);
    this.#unknown = byStart.filter(({ endMs }) => endMs === Infinity);
    this.#all = [...this.#known, ...this.#unknown];
    this.#done = new Uint8Array(this.#all.length);
    this.#knownLeft = this.#known.length;
    this.#room = room;
    this.#ownSteps = operations.length;
  }

  run(): Verdict {
    const stack: Frame[] = [this.#frame(undefined, -1)];
    while (this.#knownLeft > 0) {
      const frame = stack.at(-1);
      if (frame === undefined) return 'contradictory';
      const tried = frame.tries[frame.next++];
      if (tried === undefined) {
        stack.pop();
        this.#undo(frame.index);
        continue;
      }
      if (this.#ownSteps > 0) this.#ownSteps--;
      else if (this.#room.steps-- <= 0) return 'undecided';
      const { alternatives } = this.#all[tried.index] as KeyOperation;
      const state = runSteps(alternatives[tried.alternative] ?? [], frame.state);
      if (state === contradiction) continue;
      this.#do(tried.index);
      if (this.#isNew(state)) stack.push(this.#frame(state, tried.index));
      else this.#undo(tried.index);
    }
    return 'linearizable';
  }

  #do(index: number): void {
    this.#done[index] = 1;
    if (index >= this.#known.length) return;
    this.#knownLeft--;
    while (this.#done[this.#low] === 1 && this.#low < this.#known.length) this.#low++;
  }

  #undo(index: number): void {
    if (index < 0) return;
    this.#done[index] = 0;
    if (index >= this.#known.length) return;
    this.#knownLeft++;
    this.#low = Math.min(this.#low, index);
  }

  /** Whether this set of operations has not led to this state before. */
  #isNew(state: KeyState): boolean {
    let ahead = '';
    // Time lets only so many overtake the first that waits, so the loop is short.
    for (
      let i = this.#low, left = this.#known.length - this.#knownLeft - this.#low;
      left > 0;
      i++
    ) {
      if (this.#done[i] !== 1) continue;
      ahead += `${i},`;
      left--;
    }
    let extra = '';
    for (let i = this.#known.length; i < this.#all.length; i++) {
      if (this.#done[i] === 1) extra += `${i},`;
    }
    const shown = state === undefined ? '' : `${state.version} ${state.value}`;
    const place = `${this.#low}|${ahead}|${extra}|${shown}`;
    if (this.#seen.has(place)) return false;
    this.#seen.add(place);
    return true;
  }

  /** All that may come next: it began before anything that waits had ended. */
  #frame(state: KeyState, index: number): Frame {
    const candidates: number[] = [];
    let firstEndMs = Number.POSITIVE_INFINITY;
    for (let i = this.#low; i < this.#known.length; i++) {
      const { startMs, endMs } = this.#known[i] as KeyOperation;
      if (startMs > firstEndMs) break;
      if (this.#done[i] === 1) continue;
      candidates.push(i);
      firstEndMs = Math.min(firstEndMs, endMs);
    }
    for (let i = 0; i < this.#unknown.length; i++) {
      if ((this.#unknown[i] as KeyOperation).startMs > firstEndMs) break;
      if (this.#done[this.#known.length + i] !== 1) candidates.push(this.#known.length + i);
    }
    candidates.sort((a, b) => this.#hint(a) - this.#hint(b) || a - b);
    const done = this.#known.length - this.#knownLeft;
    if (done > this.#deepest) {
      this.#deepest = done;
      this.#deepestState = state;
      this.#stuck = candidates;
    }
    const tries = candidates.flatMap((candidate) =>
      (this.#all[candidate] as KeyOperation).alternatives.map((_, alternative) => ({
        index: candidate,
        alternative,
      })),
    );
    return { state, tries, next: 0, index };
  }

  #hint(index: number): number {
    return (this.#all[index] as KeyOperation).hint;
  }

  /** Operations of which none can come next where the search came farthest. */
  stuck(): number[] {
    return this.#stuck.map((index) => (this.#all[index] as KeyOperation).operation.id);
  }

  explanation(): string {
    const state = this.#deepestState;
    const found =
      state === undefined
        ? 'the key does not exist'
        : `the value is ${quoted(state.value)}, version ${state.version}`;
    const next = this.#stuck
      .slice(0, shownOperations)
      .map((index) => operationText((this.#all[index] as KeyOperation).operation))
      .join('; ');
    return (
      `no order of its ${this.#known.length} answered operations explains their answers. ` +
      `After ${this.#deepest} of them ${found}, and none of these fits: ${next}`
    );
  }
}
