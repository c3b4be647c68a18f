/**
 * Reaches into grpc-js where its interface offers no way: words of refusals that clients know from
 * grpc-go, deadlines beyond 24 days, and the HTTP/2 sessions, of which it shows nothing. Each use
 * is checked, and does nothing if a new version of grpc-js looks different; tests then fail.
 */
import type { Server } from '@grpc/grpc-js';
import { BaseServerInterceptingCall } from '@grpc/grpc-js/build/src/server-interceptors.js';
import type { Http2Server, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import { StatusCode } from '../../base/errors.ts';
import { enforcePingPolicy } from './ping-policy.ts';

interface Status {
  code: number;
  details: string;
}

interface ServerInternals {
  _respondWithError?: (error: Status, stream: ServerHttp2Stream, session: unknown) => void;
  readonly http2Servers?: ReadonlyMap<Http2Server, unknown>;
}

const TOO_LARGE = /^Received message larger than max \((\d+) vs (\d+)\)$/;

/** Paths of calls that are too short to ping during them. */
const SHORT_CALLS = '/etcdserverpb.KV/';

/** What is patched once for the whole process, because it is the class that is patched. */
let reworded = false;

/** A message over the limit is refused in grpc-go's words: clients look for them. */
function rewordRefusals(): void {
  if (reworded) return;
  reworded = true;
  const prototype = BaseServerInterceptingCall.prototype as {
    sendStatus(status: Status): void;
  };
  const { sendStatus } = prototype;
  prototype.sendStatus = function (status) {
    const match = status.code === StatusCode.resourceExhausted && TOO_LARGE.exec(status.details);
    if (match) {
      const [, size = '', limit = ''] = match;
      status.details = `grpc: received message larger than max (${size} vs. ${limit})`;
    }
    sendStatus.call(this, status);
  };
}

/** Gives refusals the words that `unknownMethod` and grpc-go have for them. */
export function tuneServer(server: Server, unknownMethod: (path: string) => string): void {
  rewordRefusals();
  const internals = server as unknown as ServerInternals;
  const original = internals._respondWithError?.bind(server);
  if (original === undefined) return;
  internals._respondWithError = (error, stream, session) => {
    const path = stream.sentHeaders === undefined ? pathIn(error.details) : undefined;
    const details =
      path === undefined ? error.details : encodeURI(asciiOnly(unknownMethod(path)));
    original({ ...error, details }, stream, session);
  };
}

function pathIn(details: string): string | undefined {
  return /does not implement the method (.*)$/s.exec(details)?.[1];
}

/** A path comes from the client, and goes back in a header. */
function asciiOnly(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}

export interface SessionWatcher {
  readonly minPingTimeMs: number;
  monotonicMs(): number;
  opened(): void;
  closed(): void;
  failed(error: Error): void;
}

/** Follows the sessions of a server with one injector. */
export function watchSessions(server: Server, watcher: SessionWatcher): void {
  const servers = (server as unknown as ServerInternals).http2Servers;
  if (servers === undefined) return;
  for (const http2Server of servers.keys()) {
    http2Server.on('session', (session) => watchSession(session, watcher));
    http2Server.on('sessionError', (error: Error) => watcher.failed(error));
  }
}

function watchSession(session: ServerHttp2Session, watcher: SessionWatcher): void {
  watcher.opened();
  session.once('close', () => watcher.closed());
  if (watcher.minPingTimeMs <= 0) return;
  let openCalls = 0;
  session.on('stream', (stream, headers) => {
    // Calls of KV end soon and are many: their answers forgive pings, without a count.
    if (headers[':path']?.startsWith(SHORT_CALLS) ?? false) return;
    openCalls++;
    stream.once('close', () => openCalls--);
  });
  enforcePingPolicy(
    session,
    () => openCalls,
    () => (session.destroyed ? 0 : session.socket.bytesWritten),
    { minTimeMs: watcher.minPingTimeMs, monotonicMs: () => watcher.monotonicMs() },
  );
}
