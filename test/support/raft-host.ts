/** One member with a disk that syncs when told to, and a state machine that remembers its log. */
import {
  ConfChangeError,
  decodeConfChange,
  EntryKind,
  InvariantChecker,
  MemoryStorage,
  noMember,
  RawNode,
  type ConfState,
  type Entry,
  type HardState,
  type MemberId,
  type Message,
  type Persist,
  type RaftConfig,
  type ReadState,
} from '../../src/raft/index.ts';
import { SeededRandom } from '../../src/base/random.ts';
import type { RaftOracle } from './raft-oracle.ts';

export type HostOptions = Partial<Omit<RaftConfig, 'id' | 'storage' | 'applied' | 'random'>>;

const defaults = {
  electionTicks: 10,
  heartbeatTicks: 1,
  appendSizeLimitBytes: 1024 * 1024,
  committedSizeLimitBytes: 1024 * 1024,
  uncommittedSizeLimitBytes: 64 * 1024 * 1024,
  inflightMessagesLimit: 256,
  inflightBytesLimit: 16 * 1024 * 1024,
  preVote: true,
  checkQuorum: true,
  leaseReads: false,
  stepDownOnRemoval: true,
  disableProposalForwarding: false,
} satisfies Omit<RaftConfig, 'id' | 'storage' | 'applied' | 'random' | 'trace'>;

export class RaftHost {
  readonly id: MemberId;
  readonly storage: MemoryStorage;
  readonly readStates: ReadState[] = [];
  readonly droppedReads: bigint[] = [];
  /** Messages that the network has not taken yet. */
  readonly outbox: Message[] = [];
  /** Writes that are under way, oldest first. */
  readonly writes: Persist[] = [];
  /** Committed entries that are not applied yet. */
  readonly toApply: Entry[] = [];
  node: RawNode;
  alive = true;
  /** Counts restarts. */
  incarnation = 0;
  appliedIndex = 0;
  readonly #options: HostOptions;
  readonly #oracle: RaftOracle;
  readonly #random: SeededRandom;
  #checker: InvariantChecker;
  #confState: ConfState;
  /** The state machine's own disk: what a restart begins with. */
  #flushed: { index: number; confState: ConfState };
  /** What the last synced write left; a later commit index alone may be lost. */
  #syncedHardState: HardState;
  /** Logs as they were before each loss, for as long as the member has not got them back. */
  #lost: MemoryStorage[] = [];
  /** The term below which the member abstains since it lost its log last. */
  #abstainBelowTerm: number | undefined;

  constructor(
    id: MemberId,
    confState: ConfState,
    seed: number,
    oracle: RaftOracle,
    options: HostOptions,
  ) {
    this.id = id;
    this.#options = options;
    this.#oracle = oracle;
    this.#random = new SeededRandom(seed);
    this.storage = new MemoryStorage(confState);
    this.#confState = confState;
    this.#flushed = { index: 0, confState };
    this.#syncedHardState = this.storage.initialState().hardState;
    this.node = this.#newNode();
    this.#checker = new InvariantChecker(this.node);
  }

  #newNode(): RawNode {
    return new RawNode({
      ...defaults,
      trace: () => undefined,
      ...this.#options,
      id: this.id,
      storage: this.storage,
      abstainBelowTerm: this.#abstainBelowTerm,
      applied: this.#flushed.index,
      random: () => this.#random.next(),
    });
  }

  /** Checks the member's own invariants. */
  check(): void {
    this.#checker.check();
  }

  /** It lost its log and has not got it back, as far as its disk tells. */
  get abstains(): boolean {
    return this.#abstainBelowTerm !== undefined;
  }

  /**
   * Whether the member holds an entry, or held it before a loss that it has not recovered from: who
   * counts on the latter is right, because such a member elects nobody.
   */
  holds(index: number, term: number): boolean {
    return [this.storage, ...this.#lost].some(
      (storage) => storage.firstIndex() > index || storage.term(index) === term,
    );
  }

  get role(): string {
    return this.node.core.role;
  }

  get flushedIndex(): number {
    return this.#flushed.index;
  }

  /** Takes one Ready: messages go to the outbox, writes and entries wait. */
  takeReady(): void {
    const ready = this.node.ready();
    this.outbox.push(...ready.messages);
    this.readStates.push(...ready.readStates);
    this.droppedReads.push(...ready.droppedReads);
    if (ready.persist !== undefined) {
      this.#oracle.written(this, ready.persist);
      this.writes.push(ready.persist);
    }
    this.toApply.push(...ready.committedEntries);
  }

  /** Finishes the oldest `count` writes; only the last is acknowledged if `merge` is set. */
  sync(count = this.writes.length, merge = false): void {
    const done = this.writes.splice(0, count);
    for (const [position, persist] of done.entries()) {
      this.#write(persist);
      this.outbox.push(...persist.messages);
      if (!merge || position === done.length - 1) this.node.persisted(persist.ack);
    }
  }

  #write(persist: Persist): void {
    const { snapshot, hardState } = persist;
    if (snapshot !== undefined) {
      this.#oracle.installed(snapshot);
      this.storage.install(snapshot);
      // The host installs its state machine with the log's new beginning, in one write.
      this.toApply.length = 0;
      this.appliedIndex = snapshot.index;
      this.#confState = snapshot.confState;
      this.flush();
    }
    if (hardState !== undefined) this.storage.setHardState(hardState);
    this.storage.append(persist.entries);
    if (persist.mustSync) this.#syncedHardState = this.storage.initialState().hardState;
    const lastTerm = this.storage.term(this.storage.lastIndex());
    if (Number(lastTerm) < (this.#abstainBelowTerm ?? 0)) return;
    this.#abstainBelowTerm = undefined;
    this.#lost = [];
  }

  /** Applies the oldest `count` entries. */
  apply(count = this.toApply.length): void {
    for (const entry of this.toApply.splice(0, count)) {
      this.#oracle.applied(entry);
      if (entry.kind === EntryKind.confChange) this.#applyConfChange(entry);
      this.appliedIndex = entry.index;
    }
    this.node.applied(this.appliedIndex);
  }

  #applyConfChange(entry: Entry): void {
    try {
      this.#confState = this.node.applyConfChange(decodeConfChange(entry.data));
    } catch (error) {
      // Impossible here means impossible everywhere: the configuration is a function of the log.
      if (!(error instanceof ConfChangeError)) throw error;
    }
  }

  /** Makes the state machine durable. */
  flush(): void {
    this.#flushed = { index: this.appliedIndex, confState: this.#confState };
    this.storage.setConfState(this.#confState);
  }

  /** Makes a snapshot of what is flushed, and drops the log before it but for `keep` entries. */
  compact(keep: number): void {
    const { index, confState } = this.#flushed;
    if (index < this.storage.firstIndex()) return;
    this.storage.createSnapshot(index, confState);
    const to = index - keep;
    if (to >= this.storage.firstIndex()) this.storage.compact(to);
  }

  /** The power fails while the first `completed` writes have just reached the disk. */
  crash(completed = 0): void {
    for (const persist of this.writes.splice(0, completed)) this.#write(persist);
    this.alive = false;
    this.writes.length = 0;
    this.outbox.length = 0;
    this.toApply.length = 0;
    const { term, vote } = this.storage.initialState().hardState;
    const commit = Math.min(this.#syncedHardState.commit, this.storage.lastIndex());
    this.storage.setHardState({ term, vote, commit });
  }

  /**
   * The disk of a member that is down loses its log; the state machine and the term are left, and
   * the member is to start as one that abstains, unless `abstaining` is false.
   */
  loseLog(abstaining = true): void {
    const { hardState } = this.storage.initialState();
    const { index, confState } = this.#flushed;
    const term = this.storage.term(index);
    if (typeof term !== 'number') throw new Error(`the log begins after the flushed ${index}`);
    this.#lost.push(this.storage.clone());
    this.storage.install({ index, term, confState });
    this.#syncedHardState = { term: hardState.term + 1, vote: noMember, commit: index };
    this.storage.setHardState(this.#syncedHardState);
    this.#abstainBelowTerm = abstaining ? this.#syncedHardState.term : undefined;
  }

  restart(): void {
    this.alive = true;
    this.incarnation++;
    this.appliedIndex = this.#flushed.index;
    this.#confState = this.#flushed.confState;
    this.storage.setConfState(this.#confState);
    this.node = this.#newNode();
    this.#checker = new InvariantChecker(this.node);
    this.#oracle.restarted(this);
  }
}
