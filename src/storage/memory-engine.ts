/**
 * The in-memory twin of the LevelDB engine, for tests and the simulator: same promises, virtual
 * time, and the faults of a real disk on request.
 */
import BTreeModule from 'sorted-btree';
import { assert } from '../base/assert.ts';
import { buffer, latin1 } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { operationBytes } from './engine.ts';
import type { Completion, Engine, EngineEntry, EngineView, KeyRange, Operation } from './engine.ts';

// The package is CommonJS. Node gives its default export as a property of the module object; tools
// that load it for tests give the class itself.
const loaded: unknown = BTreeModule;
const BTree =
  typeof loaded === 'function' ? (loaded as typeof BTreeModule.default) : BTreeModule.default;
type Tree = InstanceType<typeof BTree<string, Uint8Array>>;

function compareStrings(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function newTree(): Tree {
  return new BTree<string, Uint8Array>(undefined, compareStrings);
}

/** An operation as a tree takes it; the value is the disk's own copy, which never changes. */
interface Change {
  readonly key: string;
  /** Undefined: the pair goes. */
  readonly value: Uint8Array | undefined;
}

interface Batch {
  readonly changes: readonly Change[];
  /** It survives every crash. A later synced batch does not make an earlier one safe. */
  safe: boolean;
}

function changesOf(operations: readonly Operation[]): readonly Change[] {
  return operations.map((operation) => ({
    key: latin1(operation.key),
    value: operation.type === 'put' ? Uint8Array.from(operation.value) : undefined,
  }));
}

function applyTo(tree: Tree, changes: readonly Change[]): void {
  for (const { key, value } of changes) {
    if (value === undefined) tree.delete(key);
    else tree.set(key, value);
  }
}

/**
 * What one database directory holds; outlives the engines opened on it. Batches from the first
 * unsafe one on are kept apart, so that {@link crash} can lose any subset of the unsafe ones.
 */
export class MemoryDisk {
  #settled = newTree();
  #batches: Batch[] = [];
  #current = newTree();
  #engine: MemoryEngine | undefined;

  /** The contents as an engine reads them now. */
  get tree(): Tree {
    return this.#current;
  }

  /** How many batches a crash could lose now. */
  get unsafeBatches(): number {
    return this.#batches.filter((batch) => !batch.safe).length;
  }

  get open(): boolean {
    return this.#engine !== undefined;
  }

  attach(engine: MemoryEngine): void {
    assert(this.#engine === undefined, 'the memory disk is open already');
    this.#engine = engine;
  }

  detach(): void {
    this.#engine = undefined;
  }

  /** A batch reached the disk's cache: it can be read, and is lost only by a crash. */
  add(operations: readonly Operation[], safe: boolean): void {
    const changes = changesOf(operations);
    applyTo(this.#current, changes);
    if (safe && this.#batches.length === 0) applyTo(this.#settled, changes);
    else this.#batches.push({ changes, safe });
  }

  /**
   * The power goes: batches that were not synced survive or not, as `survives` decides for each in
   * order, written or still under way; then the engine is gone, and none of its completions comes.
   */
  crash(survives: () => boolean): void {
    const underWay = this.#engine?.abandon() ?? [];
    for (const batch of this.#batches) {
      if (batch.safe || survives()) applyTo(this.#settled, batch.changes);
    }
    for (const operations of underWay) {
      if (survives()) applyTo(this.#settled, changesOf(operations));
    }
    this.#batches = [];
    this.#current = this.#settled.clone();
    this.#engine = undefined;
  }

  /** See {@link MemoryEngine.failNextWrite}; nothing if no engine is open on it. */
  failNextWrite(error: Error): void {
    this.#engine?.failNextWrite(error);
  }

  /** What {@link crash} would leave now, on a disk of its own; this one goes on. */
  afterCrash(survives: () => boolean): MemoryDisk {
    const left = new MemoryDisk();
    left.#settled = this.#settled.clone();
    for (const batch of this.#batches) {
      if (batch.safe || survives()) applyTo(left.#settled, batch.changes);
    }
    for (const operations of this.#engine?.underWay ?? []) {
      if (survives()) applyTo(left.#settled, changesOf(operations));
    }
    left.#current = left.#settled.clone();
    return left;
  }

  /** Bit rot: replaces a stored value, or removes the pair, behind the engine's back. */
  rot(key: Uint8Array, change: (value: Uint8Array) => Uint8Array | undefined): void {
    const name = latin1(key);
    for (const tree of [this.#settled, this.#current]) {
      const value = tree.get(name);
      const changed = value === undefined ? undefined : change(Uint8Array.from(value));
      if (changed === undefined) tree.delete(name);
      else tree.set(name, changed);
    }
  }
}

interface Waiting {
  readonly operations: readonly Operation[];
  readonly sync: boolean;
  readonly bytes: number;
  readonly done: Completion;
}

export interface MemoryEngineOptions {
  readonly clock: Clock;
  /** The disk to open; a new one if absent. */
  readonly disk?: MemoryDisk;
  /** How long a write takes; by default it completes after the input that is already waiting. */
  readonly writeDelayMs?: (sync: boolean, bytes: number) => number;
  /** How long a read takes that goes through a view; by default it completes soon. */
  readonly readDelayMs?: () => number;
}

export class MemoryEngine implements Engine {
  readonly disk: MemoryDisk;
  readonly #clock: Clock;
  readonly #writeDelayMs: ((sync: boolean, bytes: number) => number) | undefined;
  readonly #readDelayMs: (() => number) | undefined;
  #waiting: Waiting[] = [];
  #underWay = false;
  #failure: Error | undefined;
  #nextFailure: Error | undefined;
  #closing: Completion | undefined;
  #dead = false;
  #crashed = false;
  backlogBytes = 0;

  constructor(options: MemoryEngineOptions) {
    this.disk = options.disk ?? new MemoryDisk();
    this.#clock = options.clock;
    this.#writeDelayMs = options.writeDelayMs;
    this.#readDelayMs = options.readDelayMs;
    this.disk.attach(this);
  }

  /** The next write with operations fails with `error`, and so do all after it. */
  failNextWrite(error: Error): void {
    this.#nextFailure = error;
  }

  /** For {@link MemoryDisk.crash}: ends without completions and tells what was under way. */
  abandon(): readonly (readonly Operation[])[] {
    this.#dead = true;
    this.#crashed = true;
    const lost = this.underWay;
    this.#waiting = [];
    return lost;
  }

  /** At most one write is under way; the rest has not begun and cannot have reached the disk. */
  get underWay(): readonly (readonly Operation[])[] {
    const [first] = this.#waiting;
    return this.#underWay && first !== undefined ? [first.operations] : [];
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    this.#assertOpen();
    return copyOf(this.disk.tree.get(latin1(key)));
  }

  write(operations: readonly Operation[], sync: boolean, done: Completion): void {
    // Whoever still runs after the crash is a ghost: what it does has no effect and no answer.
    if (this.#crashed) return;
    this.#assertOpen();
    const bytes = operations.reduce((sum, operation) => sum + operationBytes(operation), 0);
    this.backlogBytes += bytes;
    this.#waiting.push({ operations, sync, bytes, done });
    this.#next();
  }

  view(): EngineView {
    this.#assertOpen();
    return new MemoryView(this.disk.tree.clone(), this.#clock, this.#readDelayMs);
  }

  /** There is nothing to give back. */
  compact(_range: KeyRange, done: Completion): void {
    this.write([], false, done);
  }

  /** What is deleted takes none, and what is not belongs to the process. */
  sizeOnDisk(_range: KeyRange, done: (error: Error | undefined, bytes: number) => void): void {
    this.#clock.defer(() => done(undefined, 0));
  }

  close(done: Completion): void {
    if (this.#crashed) return;
    this.#assertOpen();
    this.#closing = done;
    this.#next();
  }

  #assertOpen(): void {
    assert(!this.#dead && this.#closing === undefined, 'the engine is closed');
  }

  #next(): void {
    if (this.#underWay) return;
    const write = this.#waiting[0];
    if (write === undefined) {
      if (this.#closing !== undefined) this.#later(0, () => this.#closed());
      return;
    }
    this.#underWay = true;
    this.#later(this.#writeDelayMs?.(write.sync, write.bytes) ?? 0, () => this.#complete(write));
  }

  #complete(write: Waiting): void {
    this.#waiting.shift();
    this.backlogBytes -= write.bytes;
    if (write.operations.length > 0) {
      this.#failure ??= this.#nextFailure;
      if (this.#failure === undefined) this.disk.add(write.operations, write.sync);
    }
    this.#underWay = false;
    write.done(this.#failure);
    this.#next();
  }

  #closed(): void {
    const done = this.#closing;
    if (done === undefined) return;
    this.#dead = true;
    this.disk.detach();
    done(undefined);
  }

  #later(delayMs: number, callback: () => void): void {
    const alive = (): void => {
      if (!this.#dead) callback();
    };
    if (delayMs > 0) this.#clock.after(delayMs, alive);
    else this.#clock.defer(alive);
  }
}

function copyOf(value: Uint8Array | undefined): Uint8Array | undefined {
  return value === undefined ? undefined : Buffer.from(value);
}

class MemoryView implements EngineView {
  readonly #tree: Tree;
  readonly #clock: Clock;
  readonly #readDelayMs: (() => number) | undefined;
  #closed = false;

  constructor(tree: Tree, clock: Clock, readDelayMs: (() => number) | undefined) {
    this.#tree = tree;
    this.#clock = clock;
    this.#readDelayMs = readDelayMs;
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    assert(!this.#closed, 'the view is closed');
    return copyOf(this.#tree.get(latin1(key)));
  }

  read(
    range: KeyRange,
    limit: number,
    done: (error: Error | undefined, entries: readonly EngineEntry[]) => void,
  ): void {
    assert(!this.#closed, 'the view is closed');
    const low = range.low === undefined ? '' : latin1(range.low);
    const high = range.high === undefined ? undefined : latin1(range.high);
    const entries: EngineEntry[] = [];
    for (const [key, value] of this.#tree.entries(low)) {
      if (entries.length >= limit || (high !== undefined && key >= high)) break;
      entries.push([Buffer.from(key, 'latin1'), buffer(Uint8Array.from(value))]);
    }
    const delayMs = this.#readDelayMs?.() ?? 0;
    const answer = (): void => done(undefined, entries);
    if (delayMs > 0) this.#clock.after(delayMs, answer);
    else this.#clock.defer(answer);
  }

  close(): void {
    this.#closed = true;
  }
}
