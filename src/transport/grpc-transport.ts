/** Frame streams over gRPC. */
import type { Clock } from '../base/clock.ts';
import { StatusCode } from '../base/errors.ts';
import { answerHead, okTrailers, refuse } from '../grpc/call.ts';
import { writeMessage } from '../grpc/message.ts';
import type { Stream } from '../http2/stream.ts';
import { DialledStream } from './dialled-stream.ts';
import type { Channel } from './frames.ts';
import { defaultLimits } from './limits.ts';
import type { TransportLimits } from './limits.ts';
import { PeerServer } from './peer-server.ts';
import type { PeerTls } from './peer-tls.ts';
import { PeerTransport } from './peer-transport.ts';
import type { PeerTransportOptions } from './peer-transport.ts';
import { peerUrl } from './peer-url.ts';
import { ServedStream } from './served-stream.ts';
import type { Accept, Carrier, FrameStream, FrameStreamEvents } from './stream.ts';

export interface GrpcTransportOptions extends PeerTransportOptions {
  /** Where to listen for peers, e.g. `http://127.0.0.1:2380`; port 0 chooses one. */
  readonly listenUrls: readonly string[];
  /** Needed for https URLs. */
  readonly tls?: PeerTls;
  /** What a member that is to join is told of the cluster; undefined while there is nothing. */
  readonly describeCluster?: () => Uint8Array | undefined;
}

/** Members reach each other over gRPC. */
export class GrpcTransport extends PeerTransport {
  constructor(options: GrpcTransportOptions) {
    const limits = { ...defaultLimits, ...options.limits };
    const describe = options.describeCluster ?? (() => undefined);
    const { listenUrls, tls, clock } = options;
    super(new GrpcCarrier(listenUrls, tls, clock, limits, describe), options);
  }
}

const path = '/quorate.peer.Peer/Connect';
/** Asked by who has no ids yet, so that no hello could be said. */
export const describePath = '/quorate.peer.Peer/DescribeCluster';

/**
 * Receive windows, set by the dialling end, which receives: what may be under way before the
 * sender waits. Large enough to fill a link of 1 Gbit/s over 100 ms with entries or a snapshot.
 */
const windowBytes: Readonly<Record<Channel, number>> = {
  control: 1024 * 1024,
  append: 16 * 1024 * 1024,
  snapshot: 8 * 1024 * 1024,
};

/**
 * Frames to the serving end are a hello, pings and results: a stranger cannot make it hold more.
 */
const servedFrameLimitBytes = 64 * 1024;

/** What a frame may have around a message of the largest size. */
const frameHeadBytes = 64;

/** Of a path that nobody serves, characters that are told. */
const shownPathLength = 256;

class GrpcCarrier implements Carrier {
  readonly #listenUrls: readonly string[];
  readonly #tls: PeerTls | undefined;
  readonly #clock: Clock;
  readonly #limits: TransportLimits;
  readonly #describe: () => Uint8Array | undefined;
  #server: PeerServer | undefined;

  constructor(
    listenUrls: readonly string[],
    tls: PeerTls | undefined,
    clock: Clock,
    limits: TransportLimits,
    describe: () => Uint8Array | undefined,
  ) {
    this.#describe = describe;
    this.#listenUrls = listenUrls;
    this.#tls = tls;
    this.#clock = clock;
    this.#limits = limits;
  }

  listen(accept: Accept, done: (error: Error | undefined, urls: readonly string[]) => void): void {
    const server = new PeerServer({
      clock: this.#clock,
      tls: this.#tls,
      serve: (stream, called) => this.#serve(stream, called, accept),
    });
    this.#server = server;
    const bound: string[] = [];
    const next = (): void => {
      const url = this.#listenUrls[bound.length];
      if (url === undefined) {
        done(undefined, bound);
        return;
      }
      server.listen(url, (error, at) => {
        if (error !== undefined) {
          done(new Error(`cannot listen for peers on ${url}: ${bindReason(error)}`), []);
          return;
        }
        bound.push(at);
        next();
      });
    };
    next();
  }

  #serve(stream: Stream, called: string, accept: Accept): void {
    if (called === path) {
      const options = { frameLimitBytes: servedFrameLimitBytes, clock: this.#clock };
      new ServedStream(stream, options, accept);
    } else if (called === describePath) {
      this.#serveDescription(stream);
    } else {
      const details = `unknown method ${called.slice(0, shownPathLength)}`;
      refuse(stream, { code: StatusCode.unimplemented, details });
    }
  }

  /** Answers when all of the request, which says nothing, has come. */
  #serveDescription(stream: Stream): void {
    stream.listener = {
      data() {},
      end: () => {
        const bytes = this.#describe();
        if (bytes === undefined) {
          refuse(stream, { code: StatusCode.unavailable, details: 'this member has no state yet' });
          return;
        }
        stream.sendHead(answerHead);
        writeMessage(stream, bytes);
        stream.end(okTrailers);
      },
      closed() {},
    };
  }

  dial(url: string, channel: Channel, events: FrameStreamEvents): FrameStream {
    let address: URL;
    try {
      address = peerUrl(url);
    } catch (error) {
      return this.#unusable(events, (error as Error).message);
    }
    const options = {
      address,
      path,
      tls: this.#tls,
      windowBytes: windowBytes[channel],
      frameLimitBytes: this.#limits.frameBytes + frameHeadBytes,
      clock: this.#clock,
    };
    return new DialledStream(options, events);
  }

  stop(done: () => void): void {
    this.#server?.stop();
    this.#clock.defer(done);
  }

  #unusable(events: FrameStreamEvents, reason: string): FrameStream {
    this.#clock.defer(() => {
      events.closed(reason);
    });
    return { write() {}, pause() {}, resume() {}, close() {} };
  }
}

function bindReason(error: Error): string {
  if (error.message.includes('EADDRINUSE')) return 'the address is already in use';
  if (error.message.includes('EACCES')) return 'permission denied';
  if (error.message.includes('EADDRNOTAVAIL')) return 'no such address on this machine';
  return error.message;
}
