/** What gRPC's requests and answers look like on an HTTP/2 stream (gRPC's PROTOCOL-HTTP2.md). */
import { StatusCode } from '../base/errors.ts';
import type { HeaderList } from '../http2/header-fields.ts';
import { SentField } from '../http2/header-encoder.ts';
import type { Stream } from '../http2/stream.ts';

const CONTENT_TYPE = 'application/grpc';

/** A status: OK, or why a call failed. */
export interface StatusObject {
  readonly code: StatusCode;
  readonly details: string;
}

const okStatus = SentField.repeated(':status', '200');
const contentType = SentField.repeated('content-type', CONTENT_TYPE);
/** The head of an answer with messages. Without a date, as from grpc-go. */
export const answerHead: readonly SentField[] = [okStatus, contentType];
export const okTrailers: readonly SentField[] = [SentField.repeated('grpc-status', '0')];

/** The head of a request for a method. */
export function requestHead({ protocol, host }: URL, path: string): readonly SentField[] {
  return [
    SentField.once(':method', 'POST'),
    SentField.once(':scheme', protocol.slice(0, -1)),
    SentField.once(':path', path),
    SentField.once(':authority', host),
    contentType,
    SentField.once('te', 'trailers'),
  ];
}

/** What a call is answered with that gets nothing but a status; without a code, of HTTP only. */
export interface Refusal {
  readonly httpStatus?: number;
  readonly code?: StatusCode;
  readonly details?: string;
}

/** Whether a request says that it is one of gRPC. */
export function isGrpcRequest(headers: HeaderList): boolean {
  const type = headers.get('content-type');
  if (type === CONTENT_TYPE) return true;
  if (type?.startsWith(CONTENT_TYPE) !== true) return false;
  const next = type[CONTENT_TYPE.length];
  return next === '+' || next === ';';
}

const asItIs = /^[ -$&-~]*$/;

/**
 * A status message as a header holds it: bytes beside those from the blank to the tilde are
 * percent-encoded, and so is `%` (`Percent-Encoded` of gRPC's protocol over HTTP/2).
 */
export function messageHeader(text: string): string {
  if (asItIs.test(text)) return text;
  return Array.from(Buffer.from(text, 'utf8').toString('latin1'), (byte) => {
    if (asItIs.test(byte)) return byte;
    return `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
  }).join('');
}

/** What {@link messageHeader} was made of; as it is if it was not made so. */
export function plainMessage(header: string): string {
  try {
    return decodeURIComponent(header);
  } catch {
    return header;
  }
}

export function trailersOf({ code, details }: StatusObject): readonly SentField[] {
  if (code === StatusCode.ok) return okTrailers;
  return [
    SentField.once('grpc-status', String(code)),
    SentField.once('grpc-message', messageHeader(details)),
  ];
}

/** Answers with nothing but a status. */
export function refuse(stream: Stream, refusal: Refusal): void {
  const { httpStatus = 200, code, details = '' } = refusal;
  const status = httpStatus === 200 ? okStatus : SentField.once(':status', String(httpStatus));
  if (code === undefined) stream.sendOnlyHead([status]);
  else stream.sendOnlyHead([status, contentType, ...trailersOf({ code, details })]);
}
