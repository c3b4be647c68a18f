/**
 * Refusals as the gateway tells them: in the form of etcd 3.6 together with the fields of 3.5 and
 * before, which clients in use still read (Patroni, lua-resty-etcd).
 */
import { STATUS_CODES } from 'node:http';
import { StatusCode } from '../../base/errors.ts';
import type { StatusObject } from '../../grpc/call.ts';

/** HTTP statuses of gRPC's codes (grpc-gateway: runtime/errors.go). */
const httpStatuses: Readonly<Record<StatusCode, number>> = {
  [StatusCode.ok]: 200,
  [StatusCode.cancelled]: 499,
  [StatusCode.unknown]: 500,
  [StatusCode.invalidArgument]: 400,
  [StatusCode.deadlineExceeded]: 504,
  [StatusCode.notFound]: 404,
  [StatusCode.alreadyExists]: 409,
  [StatusCode.permissionDenied]: 403,
  [StatusCode.resourceExhausted]: 429,
  [StatusCode.failedPrecondition]: 400,
  [StatusCode.aborted]: 409,
  [StatusCode.outOfRange]: 400,
  [StatusCode.unimplemented]: 501,
  [StatusCode.internal]: 500,
  [StatusCode.unavailable]: 503,
  [StatusCode.dataLoss]: 500,
  [StatusCode.unauthenticated]: 401,
};

export function httpStatusOf(code: StatusCode): number {
  return httpStatuses[code];
}

/** The body of an answer that is a refusal. */
export function errorBody({ code, details: message }: StatusObject): string {
  return JSON.stringify({ error: message, code, message, details: [] });
}

/** The last line of a stream that ends with a refusal. */
export function errorLine({ code, details: message }: StatusObject): string {
  const httpCode = httpStatusOf(code);
  const error = {
    grpc_code: code,
    http_code: httpCode,
    message,
    http_status: STATUS_CODES[httpCode] ?? '',
    code,
    details: [],
  };
  return `${JSON.stringify({ error })}\n`;
}
