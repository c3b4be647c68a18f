/** What this member's clients ask for, until there is a leader that it can be handed to. */

const waitingLimit = 20_000;
/** With the number above: what all clients together may have in flight here. */
const waitingLimitBytes = 64 * 1024 * 1024;
/** What is handed to Raft, and by a follower to its leader, at a time. */
const chunkLimitBytes = 1024 * 1024;

export interface Proposal {
  readonly id: bigint;
  readonly data: Uint8Array;
}

export class WaitingProposals {
  readonly #isAwaited: (id: bigint) => boolean;
  #proposals: Proposal[] = [];
  #bytes = 0;

  /** @param isAwaited whether somebody still waits for a proposal; others are left out */
  constructor(isAwaited: (id: bigint) => boolean) {
    this.#isAwaited = isAwaited;
  }

  get count(): number {
    return this.#proposals.length;
  }

  /** False, and nothing is done, if too many wait. */
  add(proposal: Proposal): boolean {
    const bytes = this.#bytes + proposal.data.length;
    if (this.#proposals.length >= waitingLimit || bytes > waitingLimitBytes) return false;
    this.#proposals.push(proposal);
    this.#bytes = bytes;
    return true;
  }

  /** Hands over what waits, in order, once; what `take` does not take goes on waiting. */
  handOver(take: (datas: readonly Uint8Array[]) => boolean): void {
    const proposals = this.#proposals;
    let next = 0;
    while (next < proposals.length) {
      const { datas, end } = this.#chunk(next);
      if (datas.length > 0 && !take(datas)) break;
      next = end;
    }
    this.#proposals = next === 0 ? proposals : proposals.slice(next);
    this.#bytes = this.#proposals.reduce((sum, { data }) => sum + data.length, 0);
  }

  #chunk(start: number): { datas: Uint8Array[]; end: number } {
    const datas: Uint8Array[] = [];
    let bytes = 0;
    let end = start;
    for (; end < this.#proposals.length; end++) {
      const { id, data } = this.#proposals[end] as Proposal;
      if (!this.#isAwaited(id)) continue;
      if (datas.length > 0 && bytes + data.length > chunkLimitBytes) break;
      bytes += data.length;
      datas.push(data);
    }
    return { datas, end };
  }
}
