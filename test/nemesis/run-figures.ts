/** The numbers of a run, by themselves: for whoever reads what `--json` has written. */

export interface RunFigures {
  readonly scenario: string;
  readonly seed: number;
  readonly members: number;
  /** How long the members were attacked. */
  readonly seconds: number;
  readonly verdict: 'passed' | 'failed' | 'skipped';
  /** What was broken, or why the run was skipped. */
  readonly reasons: readonly string[];
  /** Operations by how they ended. */
  readonly acknowledged: number;
  readonly refused: number;
  readonly unknown: number;
  /** What was done with leases and locks, by names; runs from before there were any have none. */
  readonly leases?: Readonly<Record<string, number>>;
  /** How often each kind of fault happened. */
  readonly faults: Readonly<Record<string, number>>;
  readonly leaderTerms: number;
  /** What the checkers were given, and how many checks they could not decide. */
  readonly checked: {
    readonly operations: number;
    readonly watches: number;
    readonly watchedEvents: number;
    readonly states: number;
    readonly undecided: number;
  };
  /**
   * The longest time in which no write was acknowledged, in milliseconds, whether the attacks left
   * a quorum or not.
   */
  readonly longestSilenceMs: number;
}
