/** A snapshot on its way between two members in one process: the twin of sender and receiver. */
import { crc32 } from 'node:zlib';
import { present } from '../base/assert.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { MemberId, SnapshotMessage } from '../raft/index.ts';
import type { SnapshotSink, SnapshotSource, TransportHandlers } from './transport.ts';

export interface TransferEnd {
  readonly self: MemberId;
  /** Undefined once it has stopped. */
  readonly handlers: TransportHandlers | undefined;
  heard(member: MemberId): void;
}

export interface TransferSender extends TransferEnd {
  transferEnded(member: MemberId, ok: boolean): void;
}

export interface TransferNetwork {
  readonly clock: Clock;
  readonly faults: { readonly breakSnapshot: number };
  member(id: MemberId): TransferEnd | undefined;
  path(from: MemberId, to: MemberId): { readonly cut: boolean; readonly extraMs: number };
  delayMs(): number;
  chance(probability: number): boolean;
}

/** One snapshot under way, by the rules of SnapshotSender: chunk after chunk, with delays. */
export class MemoryTransfer {
  readonly #network: TransferNetwork;
  readonly #sender: TransferSender;
  readonly #message: SnapshotMessage;
  #receiver: TransferEnd | undefined;
  #source: SnapshotSource | undefined;
  #sink: SnapshotSink | undefined;
  #timer: Timer | undefined;
  #busy = false;
  #finishing = false;
  #over = false;
  #sentDigest = 0;
  #receivedDigest = 0;

  constructor(network: TransferNetwork, sender: TransferSender, message: SnapshotMessage) {
    this.#network = network;
    this.#sender = sender;
    this.#message = message;
  }

  start(): void {
    this.#later(() => {
      const { from, to, handlers } = this.#ends();
      this.#source = handlers.openSnapshot(to);
      this.#receiver = this.#network.member(to);
      const metadata = this.#source?.metadata;
      if (metadata === undefined || metadata.term > this.#message.term) this.fail();
      else {
        const sink = this.#receiver?.handlers?.receiveSnapshot(from, metadata);
        if (sink === undefined) this.fail();
        else if (sink === 'held') this.#succeed();
        else {
          this.#sink = sink;
          this.#next();
        }
      }
    });
  }

  fail(): void {
    if (this.#over || this.#finishing) return;
    if (!this.#busy) this.#abort();
    this.#end(false);
  }

  lose(): void {
    this.#sink = undefined;
    this.#end(false);
  }

  #ends(): { from: MemberId; to: MemberId; handlers: TransportHandlers } {
    const handlers = present(this.#sender.handlers, 'handlers of a sender that is up');
    return { from: this.#sender.self, to: this.#message.to, handlers };
  }

  #next(): void {
    this.#source?.next((error, chunk) => {
      if (this.#over) return;
      if (error !== undefined) this.fail();
      else if (chunk === undefined) {
        this.#later(() => {
          this.#finish();
        });
      } else this.#send(chunk);
    });
  }

  #send(chunk: Uint8Array): void {
    this.#sentDigest = crc32(chunk, this.#sentDigest);
    const copy = Uint8Array.from(chunk);
    if (this.#network.chance(this.#network.faults.breakSnapshot)) {
      this.#later(() => {
        this.fail();
      });
      return;
    }
    this.#later(() => {
      this.#receivedDigest = crc32(copy, this.#receivedDigest);
      this.#busy = true;
      this.#sink?.write(copy, (error) => {
        this.#busy = false;
        if (this.#over) this.#abort();
        else if (error !== undefined) this.fail();
        else this.#next();
      });
    });
  }

  #finish(): void {
    if (this.#sentDigest !== this.#receivedDigest) {
      this.fail();
      return;
    }
    this.#finishing = true;
    const metadata = this.#source?.metadata;
    this.#sink?.finish((error) => {
      this.#finishing = false;
      if (error !== undefined || metadata === undefined) {
        this.fail();
        return;
      }
      this.#sink = undefined;
      const from = this.#sender.self;
      this.#receiver?.handlers?.receive([{ ...this.#message, from, snapshot: metadata }]);
      this.#succeed();
    });
  }

  /** The receiver's last word may be lost. */
  #succeed(): void {
    this.#end(!this.#network.chance(this.#network.faults.breakSnapshot));
  }

  /** Goes on after the network's delay, if both ends are still there and see each other. */
  #later(step: () => void): void {
    const { self } = this.#sender;
    const { to } = this.#message;
    const delayMs = this.#network.delayMs() + this.#network.path(self, to).extraMs;
    this.#timer = this.#network.clock.after(delayMs, () => {
      if (this.#over) return;
      const cut = this.#network.path(self, to).cut || this.#network.path(to, self).cut;
      const receiver = this.#network.member(to);
      const changed = this.#receiver !== undefined && receiver !== this.#receiver;
      if (cut || receiver === undefined || changed) this.fail();
      else {
        receiver.heard(self);
        step();
      }
    });
  }

  #abort(): void {
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.abort();
  }

  #end(ok: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#timer?.cancel();
    this.#source?.close();
    this.#sender.transferEnded(this.#message.to, ok);
  }
}
