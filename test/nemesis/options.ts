/** What `npm run test:nemesis` was asked for; it comes through the environment. */

export interface NemesisOptions {
  readonly runs: number;
  readonly seconds: number;
  /** Of the first run; the others follow. Undefined takes those of the day. */
  readonly seed: number | undefined;
  /** The same in every run; undefined takes turns. */
  readonly scenario: string | undefined;
  /** The same in every run; undefined takes turns. */
  readonly members: 3 | 5 | undefined;
  /** Where failed runs are kept. */
  readonly keep: string | undefined;
  /** Where figures go as JSON. */
  readonly json: string | undefined;
  /** Of the runs, this process makes each `lanes`th, from `lane` on. */
  readonly lane: number;
  readonly lanes: number;
}

/** So short that a member that was away for a second or two needs a snapshot. */
export const snapshotCount = 60;
export const catchUpEntries = 10;

/** Runs of a day, if no other number is asked for. */
export const usualRuns = 12;

/** @throws Error for a value that is not understood */
export function nemesisOptions(
  environment: Readonly<Record<string, string | undefined>>,
): NemesisOptions {
  const number = (name: string, fallback: number, least: number): number => {
    const text = environment[`QUORATE_NEMESIS_${name}`];
    if (text === undefined || text === '') return fallback;
    const value = Number(text);
    if (Number.isSafeInteger(value) && value >= least) return value;
    throw new Error(`--${name.toLowerCase()} takes a number from ${least} on, not ${text}`);
  };
  const members = number('MEMBERS', 0, 0);
  if (members !== 0 && members !== 3 && members !== 5) {
    throw new Error(`--members is 3 or 5, not ${members}`);
  }
  const text = (name: string): string | undefined =>
    environment[`QUORATE_NEMESIS_${name}`] || undefined;
  return {
    runs: number('RUNS', usualRuns, 1),
    seconds: number('SECONDS', 20, 1),
    seed: text('SEED') === undefined ? undefined : number('SEED', 0, 0),
    scenario: text('SCENARIO'),
    members: members === 0 ? undefined : members,
    keep: text('KEEP'),
    json: text('JSON'),
    lane: number('LANE', 0, 0),
    lanes: number('LANES', 1, 1),
  };
}
