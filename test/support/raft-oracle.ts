/**
 * What must hold between members (Raft figure 3). It sees every member after every step, which no
 * member of a real cluster can.
 */
import assert from 'node:assert/strict';
import type { Entry, MemberId, Persist, SnapshotMetadata } from '../../src/raft/index.ts';
import type { RaftHost } from './raft-host.ts';

interface Known {
  readonly data: Uint8Array;
  readonly kind: number;
  readonly previousTerm: number;
}

export class RaftOracle {
  readonly #leaders = new Map<number, MemberId>();
  /** Every entry ever written by anybody, by "index/term". */
  readonly #entries = new Map<string, Known>();
  /** Terms of entries that some member counted as committed, by index. */
  readonly #committed: number[] = [0];
  readonly #applied: string[] = [''];
  readonly #lastCommit = new Map<RaftHost, number>();

  /** Snapshots installed so far. */
  snapshots = 0;

  /** The largest index that any member has ever counted as committed. */
  get highestCommit(): number {
    return this.#committed.length - 1;
  }

  committedTerm(index: number): number | undefined {
    return this.#committed[index];
  }

  /** Log matching: the same index and term mean the same entry, after the same entry. */
  written(host: RaftHost, persist: Persist): void {
    let previousTerm: number | undefined;
    for (const entry of persist.entries) {
      previousTerm ??= host.node.core.log.termOrZero(entry.index - 1);
      const key = `${entry.index}/${entry.term}`;
      const known = this.#entries.get(key);
      if (known === undefined) {
        this.#entries.set(key, { data: entry.data, kind: entry.kind, previousTerm });
      } else {
        assert.equal(known.kind, entry.kind, `two kinds of entry ${key}`);
        assert.deepEqual(known.data, entry.data, `two entries ${key}`);
        assert.equal(known.previousTerm, previousTerm, `entry ${key} follows two entries`);
      }
      previousTerm = entry.term;
    }
  }

  /** State machine safety: all members apply the same entry at the same index. */
  applied(entry: Entry): void {
    const text = `${entry.term}/${entry.kind}/${Array.from(entry.data).join(',')}`;
    assert.ok(entry.index <= this.#applied.length, `entry ${entry.index} applied before others`);
    assert.equal(this.#applied[entry.index] ?? text, text, `two entries applied at ${entry.index}`);
    this.#applied[entry.index] = text;
    assert.equal(this.#committed[entry.index], entry.term, 'applied, but not committed');
  }

  installed(snapshot: SnapshotMetadata): void {
    this.snapshots++;
    assert.equal(this.#committed[snapshot.index], snapshot.term, 'a snapshot of other entries');
  }

  /** To be called after every step of a member. */
  check(host: RaftHost, all: ReadonlyMap<MemberId, RaftHost>): void {
    const { core } = host.node;
    if (core.role === 'leader') this.#checkLeader(host);
    const { committed } = core.log;
    const last = this.#lastCommit.get(host) ?? 0;
    if (committed <= last) return;
    this.#lastCommit.set(host, committed);
    if (core.role === 'leader') checkQuorumHolds(host, committed, all);
    for (let index = committed; index > last; index--) {
      const term = core.log.term(index);
      if (typeof term !== 'number') break;
      if (index >= this.#committed.length) continue;
      assert.equal(this.#committed[index], term, `two entries committed at ${index}`);
    }
    for (let index = this.#committed.length; index <= committed; index++) {
      this.#committed[index] = core.log.termOrZero(index);
      assert.ok((this.#committed[index] ?? 0) > 0, `entry ${index} committed but unknown`);
    }
  }

  restarted(host: RaftHost): void {
    this.#lastCommit.set(host, 0);
  }

  /** Election safety and leader completeness. */
  #checkLeader(host: RaftHost): void {
    const { core } = host.node;
    const known = this.#leaders.get(core.term);
    if (known === host.id) return;
    assert.equal(known, undefined, `two leaders in term ${core.term}`);
    this.#leaders.set(core.term, host.id);
    for (let index = this.highestCommit; index >= core.log.firstIndex(); index--) {
      const term = core.log.term(index);
      assert.equal(term, this.#committed[index], `the leader lacks committed entry ${index}`);
    }
  }
}

/** A leader may commit only what a majority holds on stable storage, its own included. */
function checkQuorumHolds(
  host: RaftHost,
  index: number,
  all: ReadonlyMap<MemberId, RaftHost>,
): void {
  const { core } = host.node;
  // An index learnt before the election was committed by somebody else.
  if (core.log.termOrZero(index) !== core.term) return;
  const { incoming, outgoing } = core.tracker.config.voters;
  for (const half of [incoming, outgoing]) {
    let holding = 0;
    for (const member of half) {
      if (all.get(member)?.holds(index, core.term) === true) holding++;
    }
    assert.ok(
      half.size === 0 || holding > half.size / 2,
      `entry ${index} was committed in term ${core.term} with ${holding} of ${half.size} copies`,
    );
  }
}
