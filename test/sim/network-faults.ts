/** What is wrong with the network now. Faults add up, and each ends without ending others. */
import type { Cluster } from './cluster.ts';
import type { SimMember } from './member.ts';
import { lastingFaults, type LinkFaults } from './network.ts';

/** How a fault ends; those that end by themselves have nothing to do. */
export type Undo = () => void;

export const nothing: Undo = () => {};

/** From one member to another, by position. */
export type Link = readonly [from: number, to: number];

export class NetworkFaults {
  readonly #cluster: Cluster;
  /** How often each link is cut: it is open when nobody cuts it. */
  readonly #cuts = new Map<string, number>();
  readonly #extraMs = new Map<string, number>();
  readonly #changes = new Set<Partial<LinkFaults>>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    cluster.onJoin = () => {
      // What is cut or slow by position was so before anybody came to be there.
      for (const link of this.links) {
        this.#setCut(link, 0);
        this.#addDelay(link, 0);
      }
    };
  }

  /** Every way from one member to another. */
  get links(): readonly Link[] {
    const { members } = this.#cluster;
    return members.flatMap((_, from) =>
      members.flatMap((__, to) => (from === to ? [] : [[from, to] as const])),
    );
  }

  cut(links: readonly Link[]): Undo {
    for (const link of links) this.#setCut(link, 1);
    return once(() => {
      for (const link of links) this.#setCut(link, -1);
    });
  }

  isolate(position: number): Undo {
    return this.cut(this.links.filter((link) => link.includes(position)));
  }

  /** Makes links longer by so much. */
  slow(links: readonly Link[], extraMs: number): Undo {
    for (const link of links) this.#addDelay(link, extraMs);
    return once(() => {
      for (const link of links) this.#addDelay(link, -extraMs);
    });
  }

  /** Makes all links as bad as this, where they are not worse already. */
  change(change: Partial<LinkFaults>): Undo {
    this.#changes.add(change);
    this.#apply();
    return once(() => {
      this.#changes.delete(change);
      this.#apply();
    });
  }

  #setCut([from, to]: Link, change: 1 | 0 | -1): void {
    const key = `${from}>${to}`;
    const count = (this.#cuts.get(key) ?? 0) + change;
    this.#cuts.set(key, count);
    this.#cluster.network.setCut(this.#idAt(from), this.#idAt(to), count > 0);
  }

  #addDelay([from, to]: Link, changeMs: number): void {
    const key = `${from}>${to}`;
    const extraMs = Math.max(0, (this.#extraMs.get(key) ?? 0) + changeMs);
    this.#extraMs.set(key, extraMs);
    this.#cluster.network.setExtraDelay(this.#idAt(from), this.#idAt(to), extraMs);
  }

  #idAt(position: number): bigint {
    return (this.#cluster.members[position] as SimMember).id;
  }

  #apply(): void {
    let all = lastingFaults(this.#cluster.plan.network);
    for (const each of this.#changes) {
      all = {
        delayMs: {
          least: Math.max(all.delayMs.least, each.delayMs?.least ?? 0),
          most: Math.max(all.delayMs.most, each.delayMs?.most ?? 0),
        },
        drop: 1 - (1 - all.drop) * (1 - (each.drop ?? 0)),
        breakSnapshot: Math.max(all.breakSnapshot, each.breakSnapshot ?? 0),
        echo: Math.max(all.echo, each.echo ?? 0),
        echoMs: Math.max(all.echoMs, each.echoMs ?? 0),
        lateVotesMs: Math.max(all.lateVotesMs, each.lateVotesMs ?? 0),
      };
    }
    this.#cluster.network.setFaults(all);
  }
}

function once(undo: Undo): Undo {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    undo();
  };
}
