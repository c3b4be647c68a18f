/**
 * What may be tried again, as etcd's own client decides it (clientv3: retry.go).
 *
 * A read may be repeated at will. A write must not reach a server twice, because the first one may
 * have been applied although its answer was lost; it is repeated only if it certainly was not sent.
 */
import { StatusCode } from '../base/errors.ts';
import { type ClientError } from './errors.ts';

/** `repeatable`: has no effect, or the same one every time. `once`: must not be applied twice. */
export type RetryPolicy = 'repeatable' | 'once';

/** Tries of one call, the first included, as in etcd's client. The deadline comes first, mostly. */
export const triesMax = 100;
/** Mean wait before the first repetition; it doubles with each. In milliseconds. */
const backoffFirstMs = 25;
/** Longer waits would only delay the return to a member that is back. In milliseconds. */
const backoffMaxMs = 500;
/** Share of the wait that is left to chance, so that clients do not return all at once. */
const jitter = 0.5;

/** How long to wait after the `failures`-th failure in a row, counted from 1, in milliseconds. */
export function backoffMs(failures: number): number {
  const mean = Math.min(backoffFirstMs * 2 ** Math.min(failures - 1, 10), backoffMaxMs);
  return mean * (1 - jitter + 2 * jitter * Math.random());
}

/** grpc-js found no connection to put the call on, so that no server can have seen it. */
export function isUnsent({ code, message }: ClientError): boolean {
  return (
    code === StatusCode.unavailable &&
    /^(No connection established|Name resolution failed)/.test(message)
  );
}

/** The connection broke, or a proxy gave up. grpc-js has several codes for it, grpc-go has one. */
function isBroken({ code, message }: ClientError): boolean {
  return (
    code === StatusCode.unavailable ||
    (code === StatusCode.internal && message.startsWith('Received RST_STREAM')) ||
    (code === StatusCode.cancelled && message === 'Call cancelled') ||
    (code === StatusCode.resourceExhausted && message.startsWith('Bandwidth exhausted'))
  );
}

/** Whether the failed call may be tried again, at this or another of `endpoints` endpoints. */
export function isSafeRetry(error: ClientError, policy: RetryPolicy, endpoints: number): boolean {
  if (isUnsent(error) || isRefusedByLearner(error, endpoints)) return true;
  return policy === 'repeatable' && isBroken(error);
}

/** A learner refuses before it does anything, and another endpoint may be a voter. */
function isRefusedByLearner(error: ClientError, endpoints: number): boolean {
  return endpoints > 1 && error.message === 'etcdserver: rpc not supported for learner';
}

/** Whether this member may be the trouble, so that the next call had better go to another one. */
export function blamesEndpoint(error: ClientError): boolean {
  return (
    isBroken(error) ||
    error.code === StatusCode.deadlineExceeded ||
    error.message === 'etcdserver: rpc not supported for learner'
  );
}

/** Whether a watch may go on with a new stream: the server comes back, or another one is there. */
export function isStreamRetry(error: ClientError): boolean {
  return (
    isBroken(error) ||
    error.code === StatusCode.internal ||
    // etcd 3.5 and 3.6 end streams with these words when a member has lost its leader.
    error.message === 'etcdserver: watch canceled' ||
    error.message === 'etcdserver: rpc not supported for learner'
  );
}

const refusedTokens: ReadonlySet<string> = new Set([
  'etcdserver: invalid auth token',
  'etcdserver: revision of auth store is old',
  'etcdserver: user name is empty',
]);

/** Whether the server wants a fresh token. It says so before it does anything. */
export const isTokenRefused = (error: ClientError): boolean => refusedTokens.has(error.message);
