/** What gRPC's requests and answers look like on an HTTP/2 stream (gRPC's PROTOCOL-HTTP2.md). */
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Clock } from '../../base/clock.ts';
import { StatusCode } from '../../base/errors.ts';
import { okTrailers } from './ok-trailers.ts';
import { messageHeader, type StatusObject } from './status.ts';

const CONTENT_TYPE = 'application/grpc';
const NO_ERROR = 0;
/** What streams call bytes. */
const bufferEncoding = 'buffer' as BufferEncoding;

const answerHeaders = { ':status': 200, 'content-type': CONTENT_TYPE };
/** Without a date, as from grpc-go. */
const answerOptions = { waitForTrailers: true, sendDate: false, endStream: false };
const refusalOptions = { endStream: true, sendDate: false };

/** What a call is answered with that gets nothing but a status; without a code, of HTTP only. */
export interface Refusal {
  readonly httpStatus?: number;
  readonly code?: StatusCode;
  readonly details?: string;
}

/** Whether a request says that it is one of gRPC. */
export function isGrpcRequest(headers: IncomingHttpHeaders): boolean {
  const type = headers['content-type'];
  if (type?.startsWith(CONTENT_TYPE) !== true) return false;
  const next = type[CONTENT_TYPE.length];
  return next === undefined || next === '+' || next === ';';
}

/** The first value of a header, of any case. */
export function firstValue(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name.toLowerCase()];
  return typeof value === 'object' ? value[0] : value;
}

/** Messages follow; the stream emits `wantTrailers` after its end. */
export function beginAnswer(stream: ServerHttp2Stream): void {
  stream.respond(answerHeaders, answerOptions);
}

export function trailersOf({ code, details }: StatusObject): OutgoingHttpHeaders {
  if (code === StatusCode.ok) return okTrailers;
  return { 'grpc-status': String(code), 'grpc-message': messageHeader(details) };
}

/** Answers with nothing but a status. */
export function refuse(stream: ServerHttp2Stream, refusal: Refusal): void {
  const { httpStatus = 200, code, details = '' } = refusal;
  const grpc =
    code === undefined ? {} : { 'content-type': CONTENT_TYPE, ...trailersOf({ code, details }) };
  stream.respond({ ':status': httpStatus, ...grpc }, refusalOptions);
}

/** Listens to a stream's errors: one that failed is closed as well, which says it all. */
export function ignoreFailure(): void {}

/** Refuses a call that cannot begin: nobody serves it, or it is no call. */
export function refuseStream(stream: ServerHttp2Stream, refusal: Refusal): void {
  stream.on('error', ignoreFailure);
  stream.resume();
  refuse(stream, refusal);
}

/**
 * Sends the bytes of an answer and its end in one piece: for Node the stream has finished before
 * they leave. With `stream.end(bytes)` it would know of the end only when they are gone, as
 * trailers follow, and the client would wait for it.
 */
export function endWith(
  stream: ServerHttp2Stream,
  bytes: Uint8Array,
  written: (error?: Error | null) => void,
): void {
  // What a stream does when it is written to, without what is written counting as under way. An
  // error destroys the stream by itself.
  stream._write(bytes, bufferEncoding, written);
  stream.end();
}

/** A client that goes on sending after its answer is told that nobody listens. */
export function closeAfterwards(stream: ServerHttp2Stream, clock: Clock): void {
  if (!stream.readableEnded) stream.once('finish', () => closeUnread(stream, clock));
}

/** The same, once the answer is on its way. */
export function closeUnread(stream: ServerHttp2Stream, clock: Clock): void {
  // One turn for the client's own end, which is usually on its way.
  clock.defer(() => {
    if (!stream.readableEnded && !stream.destroyed) stream.close(NO_ERROR);
  });
}

/**
 * The client has reset the stream. Without an error, Node would wait until all is read and all is
 * sent, and one that does not read would be waited for until its connection ends.
 */
export function destroySoon(stream: ServerHttp2Stream, clock: Clock): void {
  clock.defer(() => stream.destroy());
}
