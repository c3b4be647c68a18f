/** A data directory in memory, for tests and the simulator. */
import { assert, present } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import type { MemberId } from '../raft/index.ts';
import type { DirectoryStore } from './directory-store.ts';
import type { Completion, Engine } from './engine.ts';
import { DataDirectoryError } from './errors.ts';
import type { FoundingRecord } from './founding-file.ts';
import type { StoredIdentity } from './identity.ts';
import { MemoryDisk, MemoryEngine } from './memory-engine.ts';

/** What stays when a member stops or its machine loses power. */
export class MemoryDirectory {
  readonly #disks = new Map<string, MemoryDisk>();
  /** The holder of the directory; undefined while nobody has it open. */
  #holder: MemoryDirectoryStore | undefined;
  identity: StoredIdentity | undefined;
  /** The file with the bound on the term. */
  termBound: { readonly memberId: MemberId; readonly term: number } | undefined;
  /** The file on the founding. */
  founding: FoundingRecord | undefined;

  get open(): boolean {
    return this.#holder !== undefined;
  }

  get names(): readonly string[] {
    return [...this.#disks.keys()];
  }

  /** The disk of a database; created if it is not there. */
  disk(name: string): MemoryDisk {
    let disk = this.#disks.get(name);
    if (disk === undefined) {
      disk = new MemoryDisk();
      this.#disks.set(name, disk);
    }
    return disk;
  }

  removeDisk(name: string): void {
    this.#disks.delete(name);
  }

  renameDisk(from: string, to: string): void {
    assert(!this.#disks.has(to), `${to} is there already`);
    this.#disks.set(to, present(this.#disks.get(from), from));
    this.#disks.delete(from);
  }

  /** The power goes: see {@link MemoryDisk.crash}. The directory can be opened anew at once. */
  crash(survives: () => boolean): void {
    for (const disk of this.#disks.values()) disk.crash(survives);
    this.#holder?.abandon();
    this.#holder = undefined;
  }

  /** The disk is replaced by an empty one. Nobody has it open. */
  empty(): void {
    assert(this.#holder === undefined, 'the directory is in use');
    this.#disks.clear();
    this.identity = undefined;
    this.termBound = undefined;
    this.founding = undefined;
  }

  /** What a crash would leave now; `survives` is asked for each batch that is not synced. */
  afterCrash(survives: (database: string) => boolean): MemoryDirectory {
    const left = new MemoryDirectory();
    for (const [name, disk] of this.#disks) {
      left.#disks.set(
        name,
        disk.afterCrash(() => survives(name)),
      );
    }
    left.identity = this.identity;
    left.termBound = this.termBound;
    left.founding = this.founding;
    return left;
  }

  hold(holder: MemoryDirectoryStore): boolean {
    if (this.#holder !== undefined) return false;
    this.#holder = holder;
    return true;
  }

  release(holder: MemoryDirectoryStore): void {
    if (this.#holder === holder) this.#holder = undefined;
  }
}

export interface MemoryStoreOptions {
  readonly directory: MemoryDirectory;
  readonly clock: Clock;
  readonly writeDelayMs?: ((sync: boolean, bytes: number) => number) | undefined;
  readonly readDelayMs?: (() => number) | undefined;
}

export class MemoryDirectoryStore implements DirectoryStore {
  readonly description = 'the data directory in memory';
  readonly #options: MemoryStoreOptions;
  readonly #directory: MemoryDirectory;
  #dead = false;

  constructor(options: MemoryStoreOptions) {
    this.#options = options;
    this.#directory = options.directory;
  }

  /** The power went: nothing that was asked for completes any more. */
  abandon(): void {
    this.#dead = true;
  }

  open(done: (error: Error | undefined, identity: StoredIdentity | undefined) => void): void {
    const taken = this.#directory.hold(this);
    this.#later(() => {
      if (taken) done(undefined, this.#directory.identity);
      else done(new DataDirectoryError('inUse', `${this.description} is in use`), undefined);
    });
  }

  writeIdentity(identity: StoredIdentity, done: Completion): void {
    this.#directory.identity = identity;
    this.#later(() => done(undefined));
  }

  reservedTerm(memberId: MemberId): number | undefined {
    const bound = this.#directory.termBound;
    return bound?.memberId === memberId ? bound.term : undefined;
  }

  reserveTerm(memberId: MemberId, term: number): void {
    if (!this.#dead) this.#directory.termBound = { memberId, term };
  }

  readFounding(): FoundingRecord | undefined {
    return this.#directory.founding;
  }

  writeFounding(_memberId: MemberId, record: FoundingRecord): void {
    if (!this.#dead) this.#directory.founding = record;
  }

  check(name: string, done: (error: Error | undefined, there: boolean | undefined) => void): void {
    this.#later(() => done(undefined, this.#directory.names.includes(name)));
  }

  openEngine(
    name: string,
    done: (error: Error | undefined, engine: Engine | undefined) => void,
  ): void {
    const { clock, writeDelayMs, readDelayMs } = this.#options;
    const engine = new MemoryEngine({
      clock,
      disk: this.#directory.disk(name),
      ...(writeDelayMs && { writeDelayMs }),
      ...(readDelayMs && { readDelayMs }),
    });
    this.#later(() => done(undefined, engine));
  }

  databases(): readonly string[] {
    return this.#directory.names;
  }

  sizeBytes(name: string): number {
    let bytes = 0;
    for (const [key, value] of this.#directory.disk(name).tree.entries()) {
      bytes += key.length + value.length;
    }
    return bytes;
  }

  remove(name: string, done: Completion): void {
    assert(!this.#directory.disk(name).open, `${name} is removed while it is open`);
    this.#directory.removeDisk(name);
    this.#later(() => done(undefined));
  }

  rename(from: string, to: string, done: Completion): void {
    this.#directory.renameDisk(from, to);
    this.#later(() => done(undefined));
  }

  close(done: Completion): void {
    this.#later(() => {
      this.#directory.release(this);
      done(undefined);
    });
  }

  #later(callback: () => void): void {
    this.#options.clock.defer(() => {
      if (!this.#dead) callback();
    });
  }
}
