/** Frame streams over gRPC, straight on HTTP/2; connections are accepted by grpc-js's server. */
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import {
  Server,
  status,
  type ConnectionInjector,
  type sendUnaryData,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import { assert } from '../base/assert.ts';
import { buffer } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { PeerTransport } from './peer-transport.ts';
import type { PeerTransportOptions } from './peer-transport.ts';
import type { Channel } from './frames.ts';
import { DialledStream } from './dialled-stream.ts';
import { http2ServersOf, takeStreams } from './grpc-js-streams.ts';
import { isCallTo, ServedStream } from './served-stream.ts';
import { defaultLimits } from './limits.ts';
import type { TransportLimits } from './limits.ts';
import { type PeerTls, serverCredentials } from './peer-tls.ts';
import { hostOf, peerUrl, portOf } from './peer-url.ts';
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
 * What node:http2 may hold for one connection, in MiB: above a window and the largest message under
 * way.
 */
const sessionMemoryMib = 64;

/**
 * Frames to the serving end are a hello, pings and results: a stranger cannot make it hold more.
 */
const servedFrameLimitBytes = 64 * 1024;

/** What a frame may have around a message of the largest size. */
const frameHeadBytes = 64;

/**
 * Pings free connections of strangers that are gone; members notice on their streams, and sooner.
 */
const keepaliveMs = 10_000;
const keepaliveTimeoutMs = 5_000;

/** Each dial has a connection of its own; anything above a few is a stranger. */
const streamsPerConnection = 8;

const identity = (bytes: Uint8Array): Buffer => buffer(bytes);

const serviceDefinition = {
  describeCluster: {
    path: describePath,
    requestStream: false,
    responseStream: false,
    requestSerialize: identity,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: identity,
    responseDeserialize: (bytes: Buffer) => bytes,
  },
} as const satisfies ServiceDefinition;

class GrpcCarrier implements Carrier {
  readonly #listenUrls: readonly string[];
  readonly #tls: PeerTls | undefined;
  readonly #clock: Clock;
  readonly #limits: TransportLimits;
  readonly #describe: () => Uint8Array | undefined;
  readonly #server: Server;
  readonly #listeners: NetServer[] = [];
  readonly #connections = new Set<Socket>();

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
    this.#server = new Server({
      'grpc.max_receive_message_length': servedFrameLimitBytes,
      'grpc.max_send_message_length': limits.frameBytes + frameHeadBytes,
      'grpc.max_concurrent_streams': streamsPerConnection,
      'grpc.keepalive_time_ms': keepaliveMs,
      'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
      'grpc.enable_channelz': 0,
      'grpc-node.max_session_memory': sessionMemoryMib,
    });
  }

  listen(accept: Accept, done: (error: Error | undefined, urls: readonly string[]) => void): void {
    this.#server.addService(serviceDefinition, {
      describeCluster: (_call: unknown, answer: sendUnaryData<Uint8Array>) => {
        const bytes = this.#describe();
        if (bytes !== undefined) answer(null, bytes);
        else answer({ code: status.UNAVAILABLE, details: 'this member has no state yet' });
      },
    });
    const bound: string[] = [];
    const next = (): void => {
      const url = this.#listenUrls[bound.length];
      if (url === undefined) {
        done(undefined, bound);
        return;
      }
      this.#bind(url, accept, (error, at) => {
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

  /**
   * Accepts connections itself and hands them to grpc-js, so that those are ended at the stop that
   * have not become sessions.
   */
  #bind(url: string, accept: Accept, done: (error: Error | undefined, at: string) => void): void {
    let address: URL;
    let injector: ConnectionInjector;
    try {
      address = peerUrl(url);
      injector = this.#injector(address, accept);
    } catch (error) {
      done(error as Error, url);
      return;
    }
    const listener = createServer({ noDelay: true }, (socket) => {
      this.#accepted(socket);
      injector.injectConnection(socket);
    });
    this.#listeners.push(listener);
    const refused = (error: Error): void => {
      done(error, url);
    };
    listener.once('error', refused);
    listener.listen(portOf(address), hostOf(address), () => {
      listener.off('error', refused);
      // A connection that could not be accepted is its dialler's to try again.
      listener.on('error', () => {});
      const at = listener.address();
      const port = at === null || typeof at === 'string' ? portOf(address) : at.port;
      done(undefined, `${address.protocol}//${address.hostname}:${port}`);
    });
  }

  #injector(address: URL, accept: Accept): ConnectionInjector {
    const injector = this.#server.createConnectionInjector(serverCredentials(address, this.#tls));
    const http2Server = http2ServersOf(this.#server).at(-1);
    assert(http2Server !== undefined, 'an injector has a server');
    const options = { frameLimitBytes: servedFrameLimitBytes, clock: this.#clock };
    takeStreams(http2Server, (stream, headers, grpcJs) => {
      if (!isCallTo(path, headers)) {
        grpcJs(stream, headers);
        return;
      }
      // Node's own listeners, and one of each stream. What HTTP/2 shows of a socket is of no use
      // once its session has ended; this is the socket itself.
      const socket = stream.session?.socket.setMaxListeners(streamsPerConnection + 10);
      new ServedStream(stream, socket, options, accept);
    });
    return injector;
  }

  #accepted(socket: Socket): void {
    this.#connections.add(socket);
    // An error without a listener would end the process; the stream's end tells of it.
    socket.on('error', () => {});
    socket.once('close', () => this.#connections.delete(socket));
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
      sessionMemoryMib,
      frameLimitBytes: this.#limits.frameBytes + frameHeadBytes,
      clock: this.#clock,
    };
    return new DialledStream(options, events);
  }

  stop(done: () => void): void {
    for (const listener of this.#listeners) listener.close();
    this.#server.forceShutdown();
    for (const socket of this.#connections) socket.destroy();
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
