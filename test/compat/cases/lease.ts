/** Leases: grant, revoke, renewal, expiry. */
import { Lease } from '../../../src/gen/services.ts';
import { del, put, range } from '../messages.ts';
import type { Case, Group } from '../pair.ts';
import type { Session } from '../session.ts';

const min64 = -(2n ** 63n);
const max64 = 2n ** 63n - 1n;
const { leaseGrant, leaseKeepAlive, leaseLeases } = Lease.methods;

const script = (name: string, run: (session: Session) => Promise<unknown>): Case => ({
  name,
  run: async (session) => {
    await run(session);
  },
});

/** Renews once over a stream of its own. */
async function keepAlive(s: Session, id: bigint): Promise<void> {
  const stream = s.client.bidirectional(leaseKeepAlive);
  stream.send({ id });
  s.note('LeaseKeepAlive', await stream.next().catch((error: unknown) => String(error)));
  stream.cancel();
}

const cases: Case[] = [
  script('the server chooses an id', (s) => s.grant(0n, 600, { mask: ['id'] })),
  script('the caller chooses an id', (s) => s.grant(1n, 600)),
  script('the same id again', async (s) => {
    await s.grant(2n, 600);
    await s.grant(2n, 600);
    await s.grant(2n, 0);
  }),
  script('a negative id', (s) => s.grant(-7n, 600)),
  script('ids at the ends of 64 bits', async (s) => {
    await s.grant(min64, 600);
    await s.grant(max64, 600);
    await s.timeToLive(min64, false);
    await s.revoke(min64);
    await s.revoke(max64);
  }),
  ...[0, -1, 1, 2, 3].map((ttl, i) =>
    script(`a TTL of ${ttl}`, async (s) => {
      const id = BigInt(20 + i);
      await s.grant(id, ttl);
      await s.revoke(id);
    }),
  ),
  script('the longest TTL and one more', async (s) => {
    await s.grant(30n, 9_000_000_000);
    await s.grant(31n, 9_000_000_001);
    await s.call(leaseGrant, { id: 32n, ttl: 0 }, { integers: [[1, max64]] });
    await s.call(leaseGrant, { id: 33n, ttl: 0 }, { integers: [[1, min64]] });
    await s.revoke(30n);
    await s.revoke(33n);
  }),
  script('revoking what is not there', async (s) => {
    await s.revoke(404n);
    await s.revoke(0n);
    await s.revoke(-1n);
  }),
  script('revoking deletes the keys in one revision', async (s) => {
    await s.grant(40n, 600);
    for (const key of ['rb', 'ra', 'rc']) await s.put(put({ key, value: key, lease: 40n }));
    await s.revoke(40n);
    await s.range(range({ key: 'r', rangeEnd: 's' }));
    const watch = s.watch();
    await watch.created({ key: 'r', rangeEnd: 's', startRevision: s.base + 1, prevKv: true });
    await watch.events(6);
    await s.revoke(40n);
  }),
  script('revoking an empty lease does not move the revision', async (s) => {
    await s.grant(41n, 600);
    await s.revoke(41n);
    await s.range(range({ key: 'none' }));
  }),
  script('time to live', async (s) => {
    await s.grant(42n, 600);
    await s.timeToLive(42n, false);
    await s.timeToLive(42n, true);
    for (const key of ['tb', 'ta', 'tc']) await s.put(put({ key, lease: 42n }));
    await s.timeToLive(42n, true);
    await s.timeToLive(42n, false);
    await s.del(del({ key: 'ta' }));
    await s.timeToLive(42n, true);
    await s.revoke(42n);
    await s.timeToLive(42n, true);
  }),
  script('time to live of what never was', async (s) => {
    await s.timeToLive(404n, true);
    await s.timeToLive(0n, false);
    await s.timeToLive(-5n, false);
  }),
  script('keep alive', async (s) => {
    await s.grant(43n, 600);
    await keepAlive(s, 43n);
    await keepAlive(s, 404n);
    await keepAlive(s, 0n);
    await s.revoke(43n);
    await keepAlive(s, 43n);
  }),
  script('many renewals on one stream', async (s) => {
    await s.grant(44n, 600);
    await s.grant(45n, 700);
    const stream = s.client.bidirectional(leaseKeepAlive);
    for (const id of [44n, 404n, 45n, 44n]) {
      stream.send({ id });
      s.note('LeaseKeepAlive', await stream.next());
    }
    stream.end();
    s.note('end', (await stream.next()) ?? 'end');
  }),
  script('all leases', async (s) => {
    const answer = await s.client.unary(leaseLeases, {});
    const ids = answer.leases.map(({ id }) => id).filter((id) => id < 1000n);
    s.note('LeaseLeases', { header: answer.header, ids: ids.toSorted() });
  }),
  script('a lease expires, and its keys with it', async (s) => {
    const watch = s.watch();
    await watch.created({ key: 'x', rangeEnd: 'y', prevKv: true });
    await s.grant(50n, 2);
    await s.put(put({ key: 'x2', value: '2', lease: 50n }));
    await s.put(put({ key: 'x1', value: '1', lease: 50n }));
    await watch.events(4);
    await s.timeToLive(50n, true);
    await s.range(range({ key: 'x', rangeEnd: 'y' }));
    await s.revoke(50n);
    await keepAlive(s, 50n);
  }),
];

export const leaseGroup: Group = { name: 'lease', cases };
