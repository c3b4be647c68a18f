/** Leases that the client keeps alive, and what it makes of members that do not answer. */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { StatusCode } from '../../../src/base/errors.ts';
import {
  LeaseGrantResponse,
  LeaseKeepAliveResponse,
  LeaseRevokeResponse,
} from '../../../src/gen/rpc.ts';
import { Lease } from '../../../src/gen/services.ts';
import { FakeMember, Refusal } from '../../support/fake-member.ts';
import { cabled, client, failure, never, until } from './setup.ts';

/** Grants leases of one second and counts what is asked. */
class LeaseMember extends FakeMember {
  renewals = 0;
  revoked: bigint[] = [];
  /** What a renewal is answered with; what it throws is the answer. */
  renew: () => unknown = () => 1;

  constructor() {
    super();
    this.on(Lease.methods.leaseGrant, ({ id }) =>
      LeaseGrantResponse.create({ id: id === 0n ? 7n : id, ttl: 1 }),
    );
    this.onEach(Lease.methods.leaseKeepAlive, async ({ id }) => {
      this.renewals++;
      return LeaseKeepAliveResponse.create({ id, ttl: Number(await this.renew()) });
    });
    this.on(Lease.methods.leaseRevoke, ({ id }) => {
      this.revoked.push(id);
      return LeaseRevokeResponse.create();
    });
  }
}

const unavailable = (): never => {
  throw new Refusal(StatusCode.unavailable, 'etcdserver: request timed out');
};

describe('a lease that is held', () => {
  test('is renewed three times in its time, until it is revoked', async () => {
    const member = new LeaseMember();
    const { address } = await cabled(member);
    const lease = await client({ endpoints: address }).lease(60);
    expect([lease.id, lease.ttlSeconds]).toEqual([7n, 1]);
    await delay(1_200);
    expect(member.renewals).toBeGreaterThanOrEqual(3);
    expect(member.renewals).toBeLessThanOrEqual(5);
    expect(lease.lost.aborted).toBe(false);
    await lease.revoke();
    expect(member.revoked).toEqual([7n]);
    const { renewals } = member;
    await delay(500);
    expect([member.renewals, lease.lost.aborted]).toEqual([renewals, false]);
  });

  test('is lost when the server does not know it any more', async () => {
    const member = new LeaseMember();
    const { address } = await cabled(member);
    const lease = await client({ endpoints: address }).lease(60);
    member.renew = () => 0;
    await until(() => lease.lost.aborted);
    expect(lease.lost.reason).toMatchObject({ code: StatusCode.notFound });
  });

  test('is lost when its time has passed without an answer, and not before', async () => {
    const member = new LeaseMember();
    const { address } = await cabled(member);
    member.renew = unavailable;
    const startMs = performance.now();
    const lease = await client({ endpoints: address }).lease(60);
    await delay(700);
    expect(lease.lost.aborted).toBe(false);
    await until(() => lease.lost.aborted);
    expect(performance.now() - startMs).toBeGreaterThan(990);
    expect(performance.now() - startMs).toBeLessThan(1_600);
  });

  test('is lost on time by a member that does not answer at all', async () => {
    const member = new LeaseMember();
    const { address } = await cabled(member);
    member.renew = never;
    const startMs = performance.now();
    const lease = await client({ endpoints: address }).lease(60);
    await until(() => lease.lost.aborted);
    expect(performance.now() - startMs).toBeLessThan(1_600);
    expect(lease.lost.reason).toMatchObject({ code: StatusCode.deadlineExceeded });
  });

  test.each([
    ['refuses', unavailable],
    ['does not answer', never],
  ])('moves on to another member if one %s', async (_what, renew) => {
    const [first, second] = [new LeaseMember(), new LeaseMember()];
    const one = await cabled(first);
    const two = await cabled(second);
    const lease = await client({ endpoints: [one.address, two.address] }).lease(60);
    first.renew = renew;
    await until(() => second.renewals >= 3);
    expect(lease.lost.aborted).toBe(false);
  });

  test('ends with its client', async () => {
    const member = new LeaseMember();
    const { address } = await cabled(member);
    const holder = client({ endpoints: address });
    const lease = await holder.lease(60);
    await holder.close();
    await until(() => lease.lost.aborted);
    const { renewals } = member;
    await delay(400);
    expect(member.renewals).toBe(renewals);
  });

  test('is let go of, and revoked at the end of a block', async () => {
    const member = new LeaseMember();
    const { address } = await cabled(member);
    const holder = client({ endpoints: address });
    const released = await holder.lease(60);
    released.release();
    {
      await using lease = await holder.lease(60);
      expect(lease.id).toBe(7n);
    }
    expect(member.revoked).toEqual([7n]);
    expect(released.lost.aborted).toBe(false);
  });
});

describe('renewals', () => {
  test('of a lease that is not there are an error once, and the end of many', async () => {
    const member = new LeaseMember();
    const { address } = await cabled(member);
    const holder = client({ endpoints: address });
    member.renew = () => (member.renewals < 3 ? 1 : 0);
    const ttls: number[] = [];
    for await (const { ttl } of holder.keepAlive(7n)) ttls.push(ttl);
    expect(ttls).toEqual([1, 1]);
    const error = await failure(holder.keepAliveOnce(7n));
    expect([error.code, error.message]).toEqual([
      StatusCode.notFound,
      'etcdserver: requested lease not found',
    ]);
  });

  test('end where nobody asks for the next', async () => {
    const member = new LeaseMember();
    const { address } = await cabled(member);
    for await (const { id } of client({ endpoints: address }).keepAlive(9n)) {
      expect(id).toBe(9n);
      break;
    }
    await delay(500);
    expect(member.renewals).toBe(1);
  });
});
