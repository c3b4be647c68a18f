import { expect, test } from 'vitest';
import { etcdErrors, StatusCode } from '../../src/base/errors.ts';
import { outcomeOfError } from './outcome.ts';

test.each([
  'compacted',
  'futureRevision',
  'tooManyRequests',
  'noSpace',
  'requestTooLarge',
] as const)('%s is a promise that nothing was done', (name) => {
  const [code, message] = etcdErrors[name];
  expect(outcomeOfError(code, message)).toEqual({ kind: 'refused', code, message });
});

test.each([
  'timeout',
  'timeoutLeaderFailure',
  'timeoutConnectionLost',
  'leaderChanged',
  'stopped',
  'noLeader',
  'deadline',
  'tooManyUnsent',
] as const)('%s leaves open what was done', (name) => {
  const [code, message] = etcdErrors[name];
  expect(outcomeOfError(code, message).kind).toBe('unknown');
});

test("the same code with another's words promises nothing", () => {
  const { resourceExhausted, unavailable, outOfRange } = StatusCode;
  expect(outcomeOfError(resourceExhausted, 'Received message larger than max').kind).toBe(
    'unknown',
  );
  expect(outcomeOfError(unavailable, 'connect ECONNREFUSED 127.0.0.1:1').kind).toBe('unknown');
  expect(outcomeOfError(outOfRange, 'something else').kind).toBe('unknown');
  // The server's words under a code that is not the server's come from somewhere between.
  expect(outcomeOfError(unavailable, etcdErrors.compacted[1]).kind).toBe('unknown');
});
