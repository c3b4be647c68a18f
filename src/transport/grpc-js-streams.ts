/**
 * Reaches into grpc-js's server for the HTTP/2 streams that it serves. A version of grpc-js that
 * looks different inside is refused at the start.
 */
import type { Server } from '@grpc/grpc-js';
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { assert } from '../base/assert.ts';

export type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

interface ServerInternals {
  readonly http2Servers?: ReadonlyMap<Http2Server, unknown>;
}

/** The server's HTTP/2 servers: one for each of its injectors. */
export function http2ServersOf(server: Server): readonly Http2Server[] {
  const servers = [...((server as unknown as ServerInternals).http2Servers?.keys() ?? [])];
  assert(servers.length > 0, 'grpc-js hides its server');
  return servers;
}

/**
 * Has `take` called for each stream instead of grpc-js, to which it may pass the stream on. A
 * client can reset a stream in the packet that opens it; then Node tells of the stream when it is
 * closed, and grpc-js would answer it, which throws, and would so end the process.
 */
export function takeStreams(
  http2Server: Http2Server,
  take: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, grpcJs: StreamListener) => void,
): void {
  const listeners = http2Server.listeners('stream') as StreamListener[];
  const [grpcJs] = listeners;
  assert(listeners.length === 1 && grpcJs !== undefined, 'grpc-js takes no HTTP/2 streams');
  http2Server.removeAllListeners('stream');
  http2Server.on('stream', (stream, headers) => {
    // The reason of the reset may still come as an error.
    if (stream.destroyed || stream.closed) stream.on('error', () => undefined);
    else take(stream, headers, grpcJs);
  });
}
