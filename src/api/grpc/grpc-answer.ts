/** What gRPC's requests and answers look like on an HTTP/2 stream (gRPC's PROTOCOL-HTTP2.md). */
import { StatusCode } from '../../base/errors.ts';
import type { HeaderList } from '../../http2/header-fields.ts';
import { AnswerField } from '../../http2/header-encoder.ts';
import type { ServerStream } from '../../http2/server-stream.ts';
import { messageHeader, type StatusObject } from './status.ts';

const CONTENT_TYPE = 'application/grpc';

const okStatus = AnswerField.repeated(':status', '200');
const contentType = AnswerField.repeated('content-type', CONTENT_TYPE);
/** The head of an answer with messages. Without a date, as from grpc-go. */
export const answerHead: readonly AnswerField[] = [okStatus, contentType];
export const okTrailers: readonly AnswerField[] = [AnswerField.repeated('grpc-status', '0')];

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

export function trailersOf({ code, details }: StatusObject): readonly AnswerField[] {
  if (code === StatusCode.ok) return okTrailers;
  return [
    AnswerField.once('grpc-status', String(code)),
    AnswerField.once('grpc-message', messageHeader(details)),
  ];
}

/** Answers with nothing but a status. */
export function refuse(stream: ServerStream, refusal: Refusal): void {
  const { httpStatus = 200, code, details = '' } = refusal;
  const status = httpStatus === 200 ? okStatus : AnswerField.once(':status', String(httpStatus));
  if (code === undefined) stream.respondOnly([status]);
  else stream.respondOnly([status, contentType, ...trailersOf({ code, details })]);
}
