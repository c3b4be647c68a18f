/**
 * Connections between members as TCP gives them: frames arrive whole and in order or not at all. A
 * cut link says nothing: what is under way waits, and comes after all if the link is mended before
 * either end has given up. A dead process resets what it had open, where the reset gets through.
 */
import type { MemberId } from '../../src/raft/index.ts';
import {
  decodeFrame,
  encodeHello,
  frameKinds,
  protocolVersion,
} from '../../src/transport/frames.ts';
import type { Carrier, FrameStream, FrameStreamEvents } from '../../src/transport/stream.ts';
import type { Chance } from './chance.ts';
import { type LinkFaults, nameAt, type NetworkOptions, peerUrl, type Plug } from './network.ts';
import type { Scheduler } from './scheduler.ts';

/** Bytes under way on a stream past which a writer has to wait. */
const windowBytes = 64 * 1024;
/** How often frames that wait behind a cut link are tried again, as TCP sends again. */
const resendMs = 100;
/** A connection that nobody answers. */
const dialTimeoutMs = 1_000;

type Accept = (stream: FrameStream) => FrameStreamEvents;

interface Life {
  readonly plug: Plug;
  accept: Accept | undefined;
  readonly ends: Set<End>;
}

export class StreamNetwork {
  readonly scheduler: Scheduler;
  readonly chance: Chance;
  #faults: Pick<LinkFaults, 'delayMs' | 'drop'>;
  /** What a way takes longer than others. */
  readonly #extraMs = new Map<string, number>();
  readonly #lives = new Map<MemberId, Life>();
  readonly #cuts = new Set<string>();
  readonly arrivals = new Map<MemberId, number>();
  delivered = 0;

  constructor({ scheduler, chance, settings }: NetworkOptions) {
    this.scheduler = scheduler;
    this.chance = chance;
    this.#faults = settings;
  }

  carrier(plug: Plug): Carrier {
    const life: Life = { plug, accept: undefined, ends: new Set() };
    this.#lives.set(plug.id, life);
    return {
      listen: (accept, done) => {
        life.accept = accept;
        plug.process.defer(() => done(undefined, [peerUrl(plug.name)]));
      },
      dial: (url, _channel, events) => this.#dial(life, url, events),
      stop: (done) => {
        this.#end(life);
        plug.process.defer(done);
      },
    };
  }

  unplug(plug: Plug): void {
    const life = this.#lives.get(plug.id);
    if (life?.plug === plug) this.#end(life);
  }

  setCut(from: MemberId, to: MemberId, cut: boolean): void {
    if (cut) this.#cuts.add(`${from}>${to}`);
    else this.#cuts.delete(`${from}>${to}`);
  }

  setExtraDelay(from: MemberId, to: MemberId, extraMs: number): void {
    this.#extraMs.set(`${from}>${to}`, extraMs);
  }

  setFaults(faults: LinkFaults): void {
    this.#faults = faults;
  }

  isCut(from: MemberId, to: MemberId): boolean {
    return this.#cuts.has(`${from}>${to}`);
  }

  delayMs(from: MemberId, to: MemberId): number {
    const { least, most } = this.#faults.delayMs;
    return this.chance.between(least, most) + (this.#extraMs.get(`${from}>${to}`) ?? 0);
  }

  /** Whether a frame breaks the connection it travels on: a stream loses nothing else. */
  breaks(): boolean {
    return this.#faults.drop > 0 && this.chance.chance(this.#faults.drop / 10);
  }

  #end(life: Life): void {
    if (this.#lives.get(life.plug.id) === life) this.#lives.delete(life.plug.id);
    for (const end of [...life.ends]) end.close();
  }

  #dial(from: Life, url: string, events: FrameStreamEvents): FrameStream {
    const near = new End(this, from, events);
    const { id } = from.plug;
    const name = nameAt(url);
    const find = (): Life | undefined =>
      [...this.#lives.values()].find(({ plug }) => plug.name === name);
    const dialled = find()?.plug.id ?? id;
    this.scheduler.after(this.delayMs(id, dialled), 0, () => {
      const to = find();
      const target = to?.plug.id ?? id;
      if (this.isCut(id, target) || this.isCut(target, id)) near.fail('no route', dialTimeoutMs);
      else if (to?.accept === undefined) near.fail('connection refused', 0);
      else this.#connect(near, to, to.accept);
    });
    return near;
  }

  #connect(near: End, to: Life, accept: Accept): void {
    if (near.isClosed) return;
    const far = new End(this, to, undefined);
    far.other = near;
    near.other = far;
    to.plug.process.deliver(() => {
      far.events = accept(far);
    });
    near.flush();
  }
}

/** What a later version would say: another number, and a field that is not known yet. */
function asNewer(frame: Uint8Array): Uint8Array {
  if (frame[0] !== frameKinds.hello) return Uint8Array.from(frame);
  const hello = decodeFrame(frame, 0n, 0n);
  if (hello.kind !== 'hello') throw new Error('a hello of another kind');
  const later = encodeHello({ ...hello, version: protocolVersion + 1 });
  return Uint8Array.from([...later, 42]);
}

interface Waiting {
  readonly frame: Uint8Array | undefined;
  readonly done: (() => void) | undefined;
}

/** One end of a connection. */
class End implements FrameStream {
  readonly #network: StreamNetwork;
  readonly #life: Life;
  events: FrameStreamEvents | undefined;
  other: End | undefined;
  #closed = false;
  /** Written before the connection was there. */
  #early: Waiting[] = [];
  /** Sent and not arrived, in order. */
  #underWay: Waiting[] = [];
  #underWayBytes = 0;
  #paused = false;
  /** Arrived while reading was paused. */
  #unread: Uint8Array[] = [];

  constructor(network: StreamNetwork, life: Life, events: FrameStreamEvents | undefined) {
    this.#network = network;
    this.#life = life;
    this.events = events;
    life.ends.add(this);
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  get id(): MemberId {
    return this.#life.plug.id;
  }

  write(frame: Uint8Array, done: () => void): void {
    if (this.#closed) return;
    const copy = this.#life.plug.newer ? asNewer(frame) : Uint8Array.from(frame);
    if (this.other === undefined) {
      this.#early.push({ frame: copy, done });
      return;
    }
    const full = this.#underWayBytes > windowBytes;
    if (!full) this.#life.plug.process.defer(done);
    this.#send({ frame: copy, done: full ? done : undefined });
  }

  /** The connection is there: sends what was written before. */
  flush(): void {
    for (const { frame, done } of this.#early.splice(0)) {
      if (frame !== undefined) this.write(frame, done ?? (() => {}));
    }
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#life.plug.process.defer(() => this.#read());
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#life.ends.delete(this);
    // The other end learns of it as it learns of data: after what was sent before.
    if (this.other !== undefined) this.#send({ frame: undefined, done: undefined });
  }

  /** Ends from this side, told after a while. */
  fail(reason: string, delayMs: number): void {
    this.#network.scheduler.after(delayMs, 0, () => this.#closedBy(reason));
  }

  #closedBy(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#life.ends.delete(this);
    this.#life.plug.process.deliver(() => this.events?.closed(reason));
  }

  #send(waiting: Waiting): void {
    this.#underWay.push(waiting);
    this.#underWayBytes += waiting.frame?.length ?? 0;
    const delayMs = this.#network.delayMs(this.id, this.other?.id ?? this.id);
    this.#network.scheduler.after(delayMs, 0, () => this.#arrive());
  }

  /** Whichever delay ends first is that of the oldest frame: order is kept. */
  #arrive(): void {
    const { other } = this;
    const [first] = this.#underWay;
    if (other === undefined || first === undefined) return;
    if (this.#network.isCut(this.id, other.id)) {
      if (!other.isClosed) this.#network.scheduler.after(resendMs, 0, () => this.#arrive());
      return;
    }
    this.#underWay.shift();
    this.#underWayBytes -= first.frame?.length ?? 0;
    if (first.done !== undefined) this.#life.plug.process.deliver(first.done);
    if (first.frame === undefined) other.#closedBy('closed by the other end');
    else if (this.#network.breaks()) {
      other.#closedBy('connection reset');
      this.#closedBy('connection reset');
    } else other.#take(first.frame);
  }

  #take(frame: Uint8Array): void {
    if (this.#closed) return;
    this.#network.delivered++;
    this.#network.arrivals.set(this.id, this.#network.scheduler.nowMs);
    this.#unread.push(frame);
    this.#life.plug.process.deliver(() => this.#read());
  }

  #read(): void {
    while (!this.#paused && !this.#closed) {
      const frame = this.#unread.shift();
      if (frame === undefined) return;
      this.events?.frame(frame);
    }
  }
}
