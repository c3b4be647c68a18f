/** The state that entries change, without a member around it. */
import type { ReplicatedState } from '../../../src/apply/applier.ts';
import { Membership } from '../../../src/cluster/membership.ts';
import { Lessor } from '../../../src/lease/lessor.ts';
import type { Store } from '../../../src/mvcc/store.ts';
import { MapBackend } from '../mvcc/fakes.ts';

/** A store in the midst of an empty cluster, or of what `backend` holds. */
export function stateOf(store: Store, backend = new MapBackend()): ReplicatedState {
  let membership: Membership | undefined;
  let lessor: Lessor | undefined;
  Membership.load(backend, (_error, loaded) => (membership = loaded));
  Lessor.load(backend, store.takeLeasedKeys(), (error, loaded) => {
    if (error !== undefined) throw error;
    lessor = loaded;
  });
  if (membership === undefined || lessor === undefined) throw new Error('it does not load at once');
  return { store, membership, lessor };
}
