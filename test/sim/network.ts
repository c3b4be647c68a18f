/** The network between members, in two kinds; faults are those that Raft and TCP must stand. */
import type { Clock } from '../../src/base/clock.ts';
import type { Logger } from '../../src/base/logger.ts';
import type { MemberId } from '../../src/raft/index.ts';
import { MemoryNetwork } from '../../src/transport/memory-transport.ts';
import { PeerTransport } from '../../src/transport/peer-transport.ts';
import type {
  SnapshotSink,
  SnapshotSource,
  Transport,
  TransportHandlers,
} from '../../src/transport/transport.ts';
import type { Chance } from './chance.ts';
import type { NetworkSettings } from './plan.ts';
import type { Process } from './process.ts';
import type { Scheduler } from './scheduler.ts';
import { StreamNetwork } from './stream-network.ts';

/** What changes while a run goes on. */
export interface LinkFaults {
  readonly delayMs: NetworkSettings['delayMs'];
  readonly drop: number;
  /** Share of batches that come once more, up to so much later; streams repeat nothing. */
  readonly echo: number;
  readonly echoMs: number;
  /** The most by which requests for votes are late; streams keep the order. */
  readonly lateVotesMs: number;
  /** As in the plan's settings; streams break by `drop` alone. */
  readonly breakSnapshot: number;
}

/** Those that a plan has from the beginning to the end. */
export function lastingFaults({ delayMs, drop, breakSnapshot }: NetworkSettings): LinkFaults {
  return { delayMs, drop, breakSnapshot, echo: 0, echoMs: 0, lateVotesMs: 0 };
}

export interface Plug {
  readonly id: MemberId;
  /** The host in its peer URLs, whatever follows it there after a hyphen. */
  readonly name: string;
  readonly cluster: bigint;
  readonly process: Process;
  readonly chance: Chance;
  readonly logger: Logger;
  /** It offers a protocol that the others do not know, and speaks theirs with them. */
  readonly newer: boolean;
}

export interface Network {
  /** A transport for one life of a member. */
  transport(plug: Plug): Transport;
  /** The life is over, without a word to anybody. */
  unplug(plug: Plug): void;
  setCut(from: MemberId, to: MemberId, cut: boolean): void;
  isCut(from: MemberId, to: MemberId): boolean;
  /** Makes one way longer than others. */
  setExtraDelay(from: MemberId, to: MemberId, extraMs: number): void;
  setFaults(faults: LinkFaults): void;
  /** When something of another member last arrived at one, in virtual ms. */
  arrivedMs(at: MemberId): number | undefined;
  /** Messages and frames that arrived. */
  readonly delivered: number;
}

export interface NetworkOptions {
  readonly scheduler: Scheduler;
  readonly chance: Chance;
  readonly settings: NetworkSettings;
}

export function createNetwork(options: NetworkOptions): Network {
  return options.settings.kind === 'messages'
    ? new MessageLinks(options)
    : new StreamLinks(options);
}

/** The simulation's own view of time, for what belongs to no member. */
export function worldClock(scheduler: Scheduler): Clock {
  return {
    monotonicMs: () => scheduler.nowMs,
    wallMs: () => scheduler.nowMs,
    after(delayMs, callback) {
      const event = scheduler.after(delayMs, 0, callback);
      return { cancel: () => scheduler.cancel(event) };
    },
    defer: (callback) => void scheduler.after(0, 0, callback),
  };
}

/** Messages by themselves: lost, doubled, late, out of order, and no connection that would tell. */
class MessageLinks implements Network {
  readonly #network: MemoryNetwork;
  readonly #transports = new Map<Plug, Transport>();
  readonly #scheduler: Scheduler;
  readonly #arrivals = new Map<MemberId, number>();
  delivered = 0;

  constructor({ scheduler, chance, settings }: NetworkOptions) {
    this.#scheduler = scheduler;
    this.#network = new MemoryNetwork(worldClock(scheduler), chance, {
      delayMs: settings.delayMs,
      drop: settings.drop,
      duplicate: settings.duplicate,
      reorder: settings.reorder,
      breakSnapshot: settings.breakSnapshot,
    });
  }

  transport(plug: Plug): Transport {
    const transport = this.#network.transport(plug.id, plug.cluster);
    const start = transport.start.bind(transport);
    transport.start = (handlers) => {
      start(this.#behindProcess(handlers, plug));
    };
    this.#transports.set(plug, transport);
    return transport;
  }

  unplug(plug: Plug): void {
    this.#transports.get(plug)?.stop(() => {});
    this.#transports.delete(plug);
  }

  setCut(from: MemberId, to: MemberId, cut: boolean): void {
    this.#network.setCut(from, to, cut);
  }

  isCut(from: MemberId, to: MemberId): boolean {
    return this.#network.path(from, to).cut;
  }

  setExtraDelay(from: MemberId, to: MemberId, extraMs: number): void {
    this.#network.setExtraDelay(from, to, extraMs);
  }

  setFaults(faults: LinkFaults): void {
    this.#network.setFaults(faults);
  }

  arrivedMs(at: MemberId): number | undefined {
    return this.#arrivals.get(at);
  }

  /** What arrives is taken when the process runs; a paused one accepts no snapshot. */
  #behindProcess(handlers: TransportHandlers, { id, process }: Plug): TransportHandlers {
    return {
      receive: (messages) => {
        this.delivered++;
        this.#arrivals.set(id, this.#scheduler.nowMs);
        process.deliver(() => handlers.receive(messages));
      },
      introduced: (member, introduction) =>
        process.deliver(() => handlers.introduced(member, introduction)),
      note: (member, note) => process.deliver(() => handlers.note(member, note)),
      isRemoved: (member) => handlers.isRemoved(member),
      remembersRemoval: () => handlers.remembersRemoval(),
      oldestProtocol: () => handlers.oldestProtocol(),
      removed: (by) => process.deliver(() => handlers.removed(by)),
      unreachable: (member) => process.deliver(() => handlers.unreachable(member)),
      snapshotStatus: (member, ok) => process.deliver(() => handlers.snapshotStatus(member, ok)),
      openSnapshot: (member) => {
        const source = answerOf(process, () => handlers.openSnapshot(member));
        return source && sourceOf(process, source);
      },
      receiveSnapshot: (member, metadata) => {
        const sink = answerOf(process, () => handlers.receiveSnapshot(member, metadata));
        return typeof sink === 'object' ? sinkOf(process, sink) : sink;
      },
    };
  }
}

/** What a process that runs says at once; one that does not says nothing. */
function answerOf<Answer>(process: Process, ask: () => Answer | undefined): Answer | undefined {
  let answer: Answer | undefined;
  if (!process.paused) {
    process.run(() => {
      answer = ask();
    });
  }
  return answer;
}

/** A source whose reading is the process's own work. */
function sourceOf(process: Process, source: SnapshotSource): SnapshotSource {
  return {
    metadata: source.metadata,
    next: (done) => process.deliver(() => source.next(done)),
    close: () => process.run(() => source.close()),
  };
}

function sinkOf(process: Process, sink: SnapshotSink): SnapshotSink {
  return {
    write: (chunk, done) => process.deliver(() => sink.write(chunk, done)),
    finish: (done) => process.deliver(() => sink.finish(done)),
    abort: () => process.run(() => sink.abort()),
  };
}

/** The transport of production, over connections that stall, break and come back. */
class StreamLinks implements Network {
  readonly #network: StreamNetwork;

  constructor(options: NetworkOptions) {
    this.#network = new StreamNetwork(options);
  }

  get delivered(): number {
    return this.#network.delivered;
  }

  transport(plug: Plug): Transport {
    const transport = new PeerTransport(this.#network.carrier(plug), {
      self: plug.id,
      cluster: plug.cluster,
      clock: plug.process,
      random: plug.chance,
      logger: plug.logger,
      limits: { pingMs: 500, silenceMs: 2_000, redialLongestMs: 500, chunkBytes: 1_024 },
    });
    transport.listen(() => {});
    return transport;
  }

  unplug(plug: Plug): void {
    this.#network.unplug(plug);
  }

  setCut(from: MemberId, to: MemberId, cut: boolean): void {
    this.#network.setCut(from, to, cut);
  }

  isCut(from: MemberId, to: MemberId): boolean {
    return this.#network.isCut(from, to);
  }

  setExtraDelay(from: MemberId, to: MemberId, extraMs: number): void {
    this.#network.setExtraDelay(from, to, extraMs);
  }

  setFaults(faults: LinkFaults): void {
    this.#network.setFaults(faults);
  }

  arrivedMs(at: MemberId): number | undefined {
    return this.#network.arrivals.get(at);
  }
}

/** Where a member is dialled. */
export function peerUrl(host: string): string {
  return `http://${host}:2380`;
}

/** The name of the member that is dialled at a URL: all its addresses stay its own. */
export function nameAt(url: string): string | undefined {
  return /^http:\/\/(\w+)(?:-\d+)?:2380$/.exec(url)?.[1];
}
