/** The state machine's parts as loaded from one state database. */
import type { Clock } from '../base/clock.ts';
import { Membership } from '../cluster/membership.ts';
import { Store } from '../mvcc/store.ts';
import type { Backend } from '../storage/backend.ts';

export interface State {
  readonly store: Store;
  readonly membership: Membership;
}

export interface LoadOptions {
  readonly backend: Backend;
  readonly clock: Clock;
  /** Memory for values. */
  readonly cacheBytes?: number | undefined;
}

/** Reads and checks everything that the state machine keeps in memory. */
export function loadState(
  options: LoadOptions,
  done: (error: Error | undefined, state: State | undefined) => void,
): void {
  const { backend, clock, cacheBytes } = options;
  Membership.load(backend, (membershipError, membership) => {
    if (membership === undefined) {
      done(membershipError, undefined);
      return;
    }
    Store.open(
      { backend, clock, ...(cacheBytes === undefined ? {} : { cacheBytes }) },
      (storeError, store) => {
        if (store === undefined) done(storeError, undefined);
        else done(undefined, { store, membership });
      },
    );
  });
}
