/** From errors to gRPC statuses. */
import { StatusCode, StatusError } from '../../base/errors.ts';
import { WireError } from '../../base/wire.ts';
import type { Logger } from '../../base/logger.ts';
import type { StatusObject } from '../../grpc/call.ts';

/** Names of the codes as grpc-go writes them, e.g. in the label grpc_code. */
export const codeNames: readonly string[] = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
];

/** Refusals pass through; anything else is a fault of ours: logged in full, told in brief. */
export function statusOf(error: unknown, path: string, logger: Logger): StatusObject {
  if (error instanceof StatusError) {
    return { code: error.code, details: error.message };
  }
  logger.error({ path, error }, 'handler failed');
  return { code: StatusCode.internal, details: 'etcdserver: internal error' };
}

/** The words of grpc-go, which differ between calls with one message and streams. */
export function malformedStatus(error: unknown, stream: boolean): StatusObject {
  const reason = error instanceof WireError ? error.message : String(error);
  const words = stream
    ? 'grpc: failed to unmarshal the received message'
    : 'grpc: error unmarshalling request';
  return { code: StatusCode.internal, details: `${words}: ${reason}` };
}

/** Of a path that nobody serves, characters that are told. */
const maxShownPath = 256;

/** What grpc-go says of a path that nobody serves. */
export function unknownMethodText(path: string, knownServices: ReadonlySet<string>): string {
  const shown = path.slice(0, maxShownPath);
  const match = /^\/?(.*)\/([^/]*)$/.exec(shown);
  if (match === null) return `malformed method name: ${JSON.stringify(shown)}`;
  const [, service = '', method = ''] = match;
  if (!knownServices.has(service)) return `unknown service ${service}`;
  return `unknown method ${method} for service ${service}`;
}
