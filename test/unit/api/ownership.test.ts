/** Locks and elections of whole members in virtual time, through lost leases and leaders. */
import { beforeEach, describe, expect, test } from 'vitest';
import { LockService } from '../../../src/api/lock.ts';
import { latin1, utf8 } from '../../../src/base/bytes.ts';
import { EtcdError, StatusError } from '../../../src/base/errors.ts';
import type { LeaderKey, LeaderResponse } from '../../../src/gen/election.ts';
import type { LockResponse } from '../../../src/gen/lock.ts';
import { CompactionRequest } from '../../../src/gen/rpc.ts';
import { backendOf, call } from '../../support/virtual-api.ts';
import {
  begun,
  cluster,
  cutOff,
  elections,
  grant,
  held,
  keysOf,
  lock,
  locks,
  member,
  revoke,
  running,
  start,
  unlock,
  wait,
  type Waiting,
} from './ownership-setup.ts';

describe('a lock', () => {
  beforeEach(() => start(1));

  test('goes to those who wait in the order of their coming, whatever their keys', async () => {
    const waiting: Waiting<LockResponse>[] = [];
    for (const [i, lease] of [0x9n, 0x50n, 0x1n, 0x30n].entries()) {
      await grant(lease);
      waiting.push(lock(i, 'l', lease));
      await cluster.pass(50);
    }
    for (const [i, lease] of ['9', '50', '1', '30'].entries()) {
      expect(waiting.map(held).slice(i)).toEqual([
        `l/${lease}`,
        ...Array.from({ length: 3 - i }, () => 'undefined'),
      ]);
      await unlock(i + 1, `l/${lease}`);
      await cluster.pass(50);
    }
    expect(keysOf('l')).toEqual([]);
  });

  test('goes on when the lease of its holder runs out', async () => {
    await grant(1n, 2);
    await grant(2n);
    await wait(lock(0, 'l', 1n).answer);
    const second = lock(1, 'l', 2n);
    await cluster.pass(1_500);
    expect(held(second)).toBe('undefined');
    await cluster.until(() => held(second) === 'l/2', 2_000);
    expect(running(1).lessor.has(1n)).toBe(false);
  });

  test('is refused at once to one whose lease ends while it waits', async () => {
    for (const lease of [1n, 2n, 3n]) await grant(lease);
    await wait(lock(0, 'l', 1n).answer);
    const second = lock(1, 'l', 2n);
    const third = lock(2, 'l', 3n);
    await cluster.pass(50);
    await revoke(2n);
    await cluster.pass(50);
    expect(held(second)).toBe('mutex: session is expired');
    await unlock(0, 'l/1');
    await cluster.until(() => held(third) === 'l/3');
  });

  test('is refused if the key is another one by now, of the same lease', async () => {
    for (const lease of [1n, 2n]) await grant(lease);
    await wait(lock(0, 'l', 1n).answer);
    const second = lock(1, 'l', 2n);
    await cluster.pass(50);
    await unlock(0, 'l/2');
    const again = lock(0, 'l', 2n);
    await unlock(0, 'l/1');
    await cluster.pass(50);
    expect(held(second)).toBe('mutex: session is expired');
    expect(held(again)).toBe('l/2');
    expect(keysOf('l')).toEqual(['l/2']);
  });

  test('is not given by a member whose state turned out to be wrong', async () => {
    for (const lease of [1n, 2n]) await grant(lease);
    await wait(lock(0, 'l', 1n).answer);
    const wrong = cluster.members.findIndex((each) => each !== cluster.leader);
    const second = lock(wrong, 'l', 2n);
    await cluster.pass(50);
    // Changes its state as no entry does.
    running(wrong).lessor.grant(77n, 1_000, 5n);
    await grant(3n);
    await cluster.until(() => running(wrong).stateCheck.refuses);
    await cluster.pass(50);
    expect(held(second)).toBe('etcdserver: corrupt cluster');
    expect(running(wrong).watchable.watcherCount).toBe(0);
  });

  test('is not waited for by one that gives up, who leaves nothing behind', async () => {
    for (const lease of [1n, 2n, 3n]) await grant(lease);
    await wait(lock(0, 'l', 1n).answer);
    const second = lock(1, 'l', 2n);
    const third = lock(2, 'l', 3n);
    await cluster.pass(50);
    second.giveUp();
    await cluster.pass(50);
    expect(keysOf('l')).toEqual(['l/1', 'l/3']);
    expect(running(1).watchable.watcherCount).toBe(0);
    await unlock(0, 'l/1');
    await cluster.until(() => held(third) === 'l/3');
  });

  test('is still held after its holder was asked for it again and gave that up', async () => {
    await grant(1n);
    await wait(lock(0, 'l', 1n).answer);
    const again = lock(1, 'l', 1n);
    again.giveUp();
    await cluster.pass(50);
    expect(keysOf('l')).toEqual(['l/1']);
  });

  test('is not kept by one that gave up before its key was put', async () => {
    await grant(1n);
    lock(1, 'l', 1n).giveUp();
    await cluster.pass(50);
    expect(keysOf('l')).toEqual([]);
  });

  test('takes back the key of a wait that fails, and tells why without a code', async () => {
    for (const lease of [1n, 2n]) await grant(lease);
    await wait(lock(0, 'l', 1n).answer);
    const backend = Object.defineProperty(backendOf(cluster, member(1)), 'linearizableRead', {
      value: () => Promise.reject(new EtcdError('timeout')),
    });
    const second = begun((context) =>
      new LockService(backend).lock({ name: utf8('l'), lease: 2n }, context),
    );
    await cluster.pass(50);
    await unlock(0, 'l/1');
    await cluster.until(() => second.outcome !== undefined);
    expect(held(second)).toBe('etcdserver: request timed out');
    expect(keysOf('l', 1)).toEqual([]);
  });

  test('is refused if its key goes before the leader has confirmed that it is there', async () => {
    for (const lease of [1n, 2n]) await grant(lease);
    await wait(lock(0, 'l', 1n).answer);
    const { server } = running(1);
    const backend = Object.defineProperty(backendOf(cluster, member(1)), 'linearizableRead', {
      value: async () => {
        await server.request({ case: 'leaseRevoke', value: { id: 2n, grant: 0n } });
        await server.linearizableRead();
      },
    });
    const second = begun((context) =>
      new LockService(backend).lock({ name: utf8('l'), lease: 2n }, context),
    );
    await cluster.pass(50);
    await unlock(0, 'l/1');
    await cluster.until(() => second.outcome !== undefined);
    expect(held(second)).toBe('mutex: session is expired');
  });

  test('is waited for through a compaction of all that its wait began with', async () => {
    for (const lease of [1n, 2n]) await grant(lease);
    await wait(lock(0, 'l', 1n).answer);
    const second = lock(1, 'l', 2n);
    await cluster.pass(50);
    const { revision } = running(0).store;
    const value = CompactionRequest.create({ revision });
    await wait(running(0).server.request({ case: 'compaction', value }));
    await unlock(0, 'l/1');
    await cluster.until(() => held(second) === 'l/2');
  });

  test('finds who is ahead among more keys than are looked at in one turn', async () => {
    for (const lease of [1n, 2n]) await grant(lease);
    await wait(lock(0, 'l', 1n).answer);
    for (let i = 0; i < 2_500; i++) {
      const value = { key: utf8(`l/x${i}`), value: utf8(''), lease: 0n };
      const rest = { prevKv: false, ignoreValue: false, ignoreLease: false };
      void running(0).server.request({ case: 'put', value: { ...value, ...rest } });
      if (i % 500 === 0) await cluster.pass(100);
    }
    await cluster.pass(500);
    const second = lock(1, 'l', 2n);
    await cluster.pass(100);
    expect(held(second)).toBe('undefined');
    await unlock(0, 'l/1');
    await cluster.pass(100);
    expect(held(second)).toBe('undefined');
    await unlock(0, 'l/x2499');
    await cluster.pass(100);
    expect(held(second)).toBe('undefined');
  });
});

describe('a lock that is waited for on a member while a snapshot replaces its state', () => {
  let away: number;
  let second: Waiting<LockResponse>;
  /** One that is not cut off. */
  let other: number;

  const compact = (revision: number): Promise<unknown> => {
    const value = CompactionRequest.create({ revision });
    return wait(running(other).server.request({ case: 'compaction', value }));
  };

  async function fill(): Promise<void> {
    const options = { prevKv: false, ignoreValue: false, ignoreLease: false };
    const rest = { value: utf8(''), lease: 0n, ...options };
    for (let i = 0; i < 10; i++) {
      const puts = Array.from({ length: 20 }, (_, j) => {
        const value = { key: utf8(`k${i}/${j}`), ...rest };
        return running(other).server.request({ case: 'put', value });
      });
      await wait(Promise.all(puts));
      await cluster.pass(150);
    }
  }

  /** Returns once the member has the others' state, which no log could have given it. */
  async function snapshotArrives(): Promise<void> {
    const old = running(away).store;
    cluster.network.heal();
    const { revision } = running(other).store;
    await cluster.until(() => running(away).store.revision >= revision);
    expect(running(away).store).not.toBe(old);
    await cluster.pass(200);
  }

  beforeEach(async () => {
    await start(7, { snapshotCount: 50, catchUpEntries: 5 });
    for (const lease of [1n, 2n]) await grant(lease);
    away = cluster.members.findIndex((each) => each !== cluster.leader);
    other = (away + 1) % 3;
    await wait(lock(other, 'l', 1n).answer);
    second = lock(away, 'l', 2n);
    await cluster.pass(50);
    cutOff(away);
  });

  test('goes to it with the snapshot, if the holder had let it go', async () => {
    await unlock(other, 'l/1');
    await fill();
    await snapshotArrives();
    expect(held(second)).toBe('l/2');
    expect(running(away).watchable.watcherCount).toBe(0);
  });

  test.each(['kept', 'compacted'])('is waited for on, its history %s', async (history) => {
    await fill();
    if (history === 'compacted') await compact(running(other).store.revision);
    await snapshotArrives();
    expect(held(second)).toBe('undefined');
    await unlock(other, 'l/1');
    await cluster.until(() => held(second) === 'l/2', 100);
  });

  test('is refused with the snapshot to one whose lease had ended', async () => {
    await wait(
      running(other).server.request({ case: 'leaseRevoke', value: { id: 2n, grant: 0n } }),
    );
    await fill();
    await compact(running(other).store.revision);
    await snapshotArrives();
    expect(held(second)).toBe('mutex: session is expired');
  });
});

describe('an election', () => {
  beforeEach(() => start(2));

  const campaign = (i: number, lease: bigint, value: string) =>
    begun(async (context) => {
      const request = { name: utf8('e'), lease, value: utf8(value) };
      const { leader } = await elections(i).campaign(request, context);
      return leader as LeaderKey;
    });

  test('tells observers on every member of every leader and its last word', async () => {
    const seen = cluster.members.map((): string[] => []);
    const calls = cluster.members.map(() => call());
    const observers = cluster.members.map(async (_, i) => {
      const { context } = calls[i] as (typeof calls)[0];
      const told: AsyncIterable<LeaderResponse> = elections(i).observe(
        { name: utf8('e') },
        context,
      );
      for await (const { kv, header } of told) {
        seen[i]?.push(`${latin1(kv?.key ?? utf8(''))}=${latin1(kv?.value ?? utf8(''))}`);
        expect(header?.revision).toBeGreaterThanOrEqual(kv?.modRevision ?? 0);
      }
    });
    await cluster.pass(50);
    for (const lease of [7n, 3n]) await grant(lease);
    const first = campaign(0, 7n, 'a');
    await wait(first.answer);
    const second = campaign(1, 3n, 'b');
    await cluster.pass(50);
    const leader = await first.answer;
    await wait(elections(2).proclaim({ leader, value: utf8('c') }));
    await cluster.pass(50);
    await wait(elections(1).resign({ leader }));
    await cluster.until(() => second.outcome !== undefined);
    await cluster.pass(50);
    for (const told of seen) expect(told).toEqual(['e/7=a', 'e/7=c', 'e/3=b']);
    for (const { abort } of calls) abort();
    await wait(Promise.all(observers));
    for (let i = 0; i < 3; i++) expect(running(i).watchable.streamCount).toBe(0);
  });

  test('is observed by one that wants to know if the member is alone, until it is', async () => {
    const told: string[] = [];
    const observed = async (headers: Readonly<Record<string, string>>): Promise<void> => {
      const events = elections(0).observe({ name: utf8('e') }, call(headers).context);
      for await (const { kv } of events) told.push(latin1(kv?.value ?? utf8('')));
    };
    const ends = { wary: 'none', other: 'none' };
    void observed({ hasleader: 'true' }).catch((error: unknown) => {
      ends.wary = error instanceof EtcdError ? error.message : String(error);
    });
    void observed({}).finally(() => {
      ends.other = 'ended';
    });
    await grant(1n);
    await wait(campaign(1, 1n, 'a').answer);
    await cluster.until(() => told.length === 2);
    cutOff(0);
    await cluster.pass(2_000);
    expect(ends.wary).toBe('none');
    await cluster.pass(8_000);
    expect(ends).toEqual({ wary: 'etcdserver: no leader', other: 'none' });
    expect(running(0).watchable.streamCount).toBe(1);
  });

  test('is lost by a candidate whose lease ends, and it does not lead', async () => {
    for (const lease of [1n, 2n]) await grant(lease);
    await wait(campaign(0, 1n, 'a').answer);
    const second = campaign(1, 2n, 'b');
    await cluster.pass(50);
    await revoke(2n);
    await cluster.pass(50);
    expect(second.outcome).toBe('election: not leader');
  });

  test('forgets a candidate that gives up, and keeps a leader that asks again', async () => {
    for (const lease of [1n, 2n]) await grant(lease);
    await wait(campaign(0, 1n, 'a').answer);
    const second = campaign(1, 2n, 'b');
    await cluster.pass(50);
    second.giveUp();
    await cluster.pass(50);
    expect(keysOf('e')).toEqual(['e/1']);
    const again = await wait(campaign(2, 1n, 'z').answer);
    const { kv } = await wait(elections(1).leader({ name: utf8('e') }));
    expect([latin1(kv?.value ?? utf8('')), kv?.createRevision]).toEqual(['z', again.rev]);
  });
});

interface Holding {
  readonly key: string;
  /** What others would compare. */
  readonly token: number;
  /** Of the answer. */
  readonly revision: number;
}

describe('the owner', () => {
  /** A client that wants the lock again and again, and sometimes forgets to renew its lease. */
  async function contend(id: number, holdings: Holding[], rounds: number): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      const { random } = cluster;
      const lease = BigInt((9 - id) * 100 + round);
      const at = random.below(3);
      const { server } = running(at);
      try {
        await server.request({ case: 'leaseGrant', value: { id: lease, ttl: 2 } });
        const renewing = { goesOn: random.below(2) === 0 };
        const renew = async (): Promise<void> => {
          while (renewing.goesOn) {
            await running(at)
              .leases.renew(lease)
              .catch(() => 0);
            await after(700);
          }
        };
        void renew();
        const { key, header } = await locks(at).lock({ name: utf8('l'), lease }, call().context);
        const revision = header?.revision ?? 0;
        const query = { key: latin1(key), end: undefined, revision, limit: 0, countOnly: false };
        const kv = running(at).store.range(query).kvs[0];
        holdings.push({ key: latin1(key), token: kv?.createRevision ?? 0, revision });
        await after(random.below(3_000));
        renewing.goesOn = false;
        await locks(random.below(3)).unlock({ key });
      } catch (error) {
        if (!(error instanceof StatusError)) throw error;
        await after(100);
      }
    }
  }

  const after = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      cluster.clock.after(ms, resolve);
    });

  test.each([1, 2, 3, 4])(
    'is one at a time, while leases run out and leaders change (seed %i)',
    { timeout: 60_000 },
    async (seed) => {
      await start(seed * 31);
      const holdings: Holding[] = [];
      const clients = Promise.all([0, 1, 2, 3].map((id) => contend(id, holdings, 8)));
      const ended = { isSo: false };
      void clients.then(() => {
        ended.isSo = true;
      });
      let depositions = 0;
      while (!ended.isSo) {
        const old = cluster.leader;
        if (old !== undefined) {
          const others = cluster.members.filter((each) => each !== old).map((each) => each.id);
          cluster.network.partition([old.id], others);
          depositions++;
        }
        await cluster.pass(3_000);
        cluster.network.heal();
        await cluster.pass(2_000);
      }
      await clients;
      await cluster.pass(3_000);
      expect(depositions).toBeGreaterThan(2);
      expect(holdings.length).toBeGreaterThan(8);
      const { store } = running(0);
      const tokens = new Set<number>();
      for (const { key, token, revision } of holdings) {
        const query = { key: 'l/', end: 'l0', revision, limit: 0, countOnly: false };
        const [oldest] = store
          .range(query)
          .kvs.toSorted((a, b) => a.createRevision - b.createRevision);
        expect([latin1(oldest?.key ?? utf8('')), oldest?.createRevision]).toEqual([key, token]);
        expect(tokens.has(token)).toBe(false);
        tokens.add(token);
      }
    },
  );
});
