/** What `npm run test:nemesis` was asked for; it comes through the environment. */

export interface NemesisOptions {
  readonly runs: number;
  readonly seconds: number;
  /** Of the first run; the others follow. */
  readonly seed: number;
  /** The same in every run; undefined takes turns. */
  readonly scenario: string | undefined;
  /** The same in every run; undefined takes turns. */
  readonly members: 3 | 5 | undefined;
  /** Where failed runs are kept. */
  readonly keep: string | undefined;
}

/** So short that a member that was away for a second or two needs a snapshot. */
export const snapshotCount = 60;
export const catchUpEntries = 10;

const millisecondsPerDay = 86_400_000;
/** So many runs of one day have seeds of their own. */
const seedsPerDay = 1000;

/** @throws Error for a value that is not understood */
export function nemesisOptions(
  environment: Readonly<Record<string, string | undefined>>,
  wallMs: number,
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
    runs: number('RUNS', 12, 1),
    seconds: number('SECONDS', 20, 1),
    // A new range each day, so that the days add up.
    seed: number('SEED', Math.floor(wallMs / millisecondsPerDay) * seedsPerDay, 0),
    scenario: text('SCENARIO'),
    members: members === 0 ? undefined : members,
    keep: text('KEEP'),
  };
}
