/** What the end of a call proves. */
import { type EtcdErrorName, etcdErrors } from '../../src/base/errors.ts';
import type { Outcome } from '../check/history.ts';

/**
 * Refusals by which the server promises that nothing was done and nothing will be: by a check of
 * the request, before it was proposed, or by the state machine in place of doing it. All others,
 * timeouts and `server stopped` above all, can come when the request is in the log already.
 */
const promises: readonly EtcdErrorName[] = [
  'emptyKey',
  'keyNotFound',
  'valueProvided',
  'leaseProvided',
  'tooManyOps',
  'duplicateKey',
  'invalidSortOption',
  'requestTooLarge',
  'compacted',
  'futureRevision',
  'answerTooLarge',
  'noSpace',
  'tooManyRequests',
  'leaseNotFound',
  'learnerUnsupported',
];

const refusals = new Map<string, number>(
  promises.map((name) => {
    const [code, message] = etcdErrors[name];
    return [message, code];
  }),
);

/** Code and text must both be the server's: a proxy or client library may use the same code. */
export function outcomeOfError(code: number, message: string): Outcome {
  return refusals.get(message) === code
    ? { kind: 'refused', code, message }
    : { kind: 'unknown', reason: `${code}: ${message}` };
}
