import { describe, expect, test } from 'vitest';
import { Liveness } from '../../../src/http2/liveness.ts';
import { PingPolicy } from '../../../src/api/grpc/ping-policy.ts';
import type { ConnectionError } from '../../../src/http2/frames.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

/** A connection that notes what is done to it. */
class FakeConnection {
  hasMoved = false;
  hasSent = false;
  streamCount = 0;
  pings = 0;
  isDestroyed = false;
  readonly failures: ConnectionError[] = [];
  /** Answers the last ping. */
  answer = (): void => undefined;

  ping(answered: () => void): void {
    this.pings++;
    this.answer = answered;
  }

  destroy(): void {
    this.isDestroyed = true;
  }

  fail(error: ConnectionError): void {
    this.failures.push(error);
  }
}

describe('a connection on which nothing moves', () => {
  const times = { idleMs: 1000, timeoutMs: 100 };

  function watched(): { clock: VirtualClock; connection: FakeConnection; liveness: Liveness } {
    const [clock, connection] = [new VirtualClock(), new FakeConnection()];
    return { clock, connection, liveness: new Liveness(connection, times, clock) };
  }

  test('is asked, and closed if it does not answer in time', () => {
    const { clock, connection } = watched();
    clock.advance(999);
    expect(connection.pings).toBe(0);
    clock.advance(1);
    expect(connection.pings).toBe(1);
    clock.advance(99);
    expect(connection.isDestroyed).toBe(false);
    clock.advance(1);
    expect(connection.isDestroyed).toBe(true);
  });

  test('is asked again and again while it answers', () => {
    const { clock, connection } = watched();
    for (let i = 1; i <= 5; i++) {
      clock.advance(1000);
      expect(connection.pings).toBe(i);
      connection.answer();
    }
    expect(connection.isDestroyed).toBe(false);
  });

  test('lives if something else comes than the answer, which may wait behind it', () => {
    const { clock, connection } = watched();
    clock.advance(1000);
    connection.hasMoved = true;
    clock.advance(100);
    expect(connection.isDestroyed).toBe(false);
    // That counts for now only.
    connection.hasMoved = false;
    clock.advance(1000);
    expect(connection.pings).toBe(2);
    clock.advance(100);
    expect(connection.isDestroyed).toBe(true);
  });

  test('is not asked while something moves', () => {
    const { clock, connection } = watched();
    for (let i = 0; i < 5; i++) {
      connection.hasMoved = true;
      clock.advance(1000);
    }
    expect(connection.pings).toBe(0);
  });

  test.each([500, 1050])('is of no concern after the end: %d ms', (afterMs) => {
    const { clock, connection, liveness } = watched();
    clock.advance(afterMs);
    liveness.stop();
    const { pings } = connection;
    clock.advance(10_000);
    expect([connection.pings, connection.isDestroyed]).toEqual([pings, false]);
  });
});

describe('pings of a client', () => {
  const minTimeMs = 5000;
  const hour = 3_600_000;

  test.each([
    ['with open calls', 1, minTimeMs],
    ['without', 0, 2 * hour],
  ])('may come at their time: %s', (_what, streamCount, everyMs) => {
    const [clock, connection] = [new VirtualClock(), new FakeConnection()];
    connection.streamCount = streamCount;
    const policy = new PingPolicy(minTimeMs, clock);
    for (let i = 0; i < 10; i++) {
      policy.pinged(connection);
      clock.advance(everyMs);
    }
    expect(connection.failures).toEqual([]);
    for (let i = 0; i < 2; i++) policy.pinged(connection);
    clock.advance(everyMs - 1);
    expect(connection.failures).toEqual([]);
    policy.pinged(connection);
    policy.pinged(connection);
    expect(connection.failures).not.toEqual([]);
    expect(connection.failures[0]).toMatchObject({ code: 11, message: 'too_many_pings' });
  });

  test('are forgiven with each answer', () => {
    const [clock, connection] = [new VirtualClock(), new FakeConnection()];
    const policy = new PingPolicy(minTimeMs, clock);
    for (let i = 0; i < 100; i++) {
      connection.hasSent = true;
      policy.pinged(connection);
      policy.pinged(connection);
    }
    expect(connection.failures).toEqual([]);
  });

  test('may come as they like where the least time is none', () => {
    const [clock, connection] = [new VirtualClock(), new FakeConnection()];
    const policy = new PingPolicy(0, clock);
    for (let i = 0; i < 100; i++) policy.pinged(connection);
    expect(connection.failures).toEqual([]);
  });
});
