/** The state that entries change, without a member around it. */
import { AlarmStore } from '../../../src/alarm/alarm-store.ts';
import { Applier, type Outcome, type ReplicatedState } from '../../../src/apply/applier.ts';
import { type Command, encodeCommand } from '../../../src/apply/request.ts';
import { Downgrade } from '../../../src/cluster/downgrade.ts';
import { Membership } from '../../../src/cluster/membership.ts';
import { Lessor } from '../../../src/lease/lessor.ts';
import type { Store } from '../../../src/mvcc/store.ts';
import { ManualClock, MapBackend, openStore } from '../mvcc/fakes.ts';

/** A store in the midst of an empty cluster, or of what `backend` holds. */
export function stateOf(store: Store, backend = new MapBackend()): ReplicatedState {
  let membership: Membership | undefined;
  let lessor: Lessor | undefined;
  let alarms: AlarmStore | undefined;
  let downgrade: Downgrade | undefined;
  Membership.load(backend, (_error, loaded) => (membership = loaded));
  Lessor.load(backend, store.takeLeasedKeys(), (error, loaded) => {
    if (error !== undefined) throw error;
    lessor = loaded;
  });
  AlarmStore.load(backend, (_error, loaded) => (alarms = loaded));
  Downgrade.load(backend, (_error, loaded) => (downgrade = loaded));
  if (!membership || !lessor || !alarms || !downgrade) throw new Error('it does not load at once');
  return { store, membership, lessor, alarms, downgrade };
}

/** State and applier, on a backend that can be opened again. */
export class Machine {
  readonly backend: MapBackend;
  readonly store: Store;
  readonly state: ReplicatedState;
  readonly #applier: Applier;

  constructor(backend = new MapBackend()) {
    this.backend = backend;
    this.store = openStore({ backend, clock: new ManualClock() });
    this.state = stateOf(this.store, backend);
    this.#applier = new Applier(this.state);
  }

  apply(command: Command, request = 1n): Outcome {
    return this.#applier.apply(encodeCommand(request, command))?.outcome ?? {};
  }
}
