/**
 * Very many leases on three members. `QUORATE_LEASES=100000` is the whole measure, which takes two
 * minutes; without it a small part of that is run.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import {
  type LeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
  LeaseGrantRequest,
  LeaseLeasesRequest,
  PutRequest,
  RangeRequest,
} from '../../src/gen/rpc.ts';
import { KV, Lease } from '../../src/gen/services.ts';
import { prefixEnd } from '../../src/client/range-end.ts';
import type { ClusterProcess } from '../support/cluster-process.ts';
import { GrpcClient, type MessageStream } from '../support/grpc.ts';
import { startQuorate } from '../support/quorate.ts';

const wholeCount = Number(process.env['QUORATE_LEASES'] ?? 0);
const isWhole = wholeCount > 0;
const keptCount = isWhole ? wholeCount : 3_000;
const endingCount = isWhole ? wholeCount / 10 : 1_000;
/** Short, but longer than a machine with much else to do may keep a process waiting. */
const ttlSeconds = isWhole ? 30 : 12;
const renewEveryMs = (ttlSeconds * 1000) / 3;
const keptForMs = ttlSeconds * 2_200;
/** Renewals are sent in so many portions, evenly over the time for all of them. */
const portions = 50;
const grantsInFlight = 200;
const underWayMost = 20_000;
const patienceMs = 10_000;

let cluster: ClusterProcess | undefined;
let clients: GrpcClient[] = [];

afterEach(async () => {
  for (const client of clients) client.close();
  await cluster?.stop();
  clients = [];
  cluster = undefined;
});

async function start(): Promise<void> {
  cluster = await startQuorate({ members: 3 });
  clients = cluster.addresses.map((address) => new GrpcClient(address));
}

const clientAt = (i: number): GrpcClient => clients[i % clients.length] as GrpcClient;

/** Calls `work` for 0 to `count`, some at a time. */
async function forAll(count: number, work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: grantsInFlight }, lane));
}

async function grant(i: number, ttl: number): Promise<bigint> {
  const request = LeaseGrantRequest.create({ ttl });
  const { id } = await clientAt(i).unary(Lease.methods.leaseGrant, request);
  return id;
}

async function livingLeases(): Promise<Set<bigint>> {
  const { leases } = await clientAt(0).unary(
    Lease.methods.leaseLeases,
    LeaseLeasesRequest.create({}),
  );
  return new Set(leases.map(({ id }) => id));
}

/** One stream of renewals to each member. */
class Renewals {
  readonly #streams: MessageStream<LeaseKeepAliveRequest, LeaseKeepAliveResponse>[];
  readonly #ttl: number;
  #isClosed = false;
  answered = 0;
  /** Of streams that ended while they were needed. */
  readonly failures: unknown[] = [];
  /** Answers with another TTL than granted: 0 if a lease is gone. */
  readonly wrong: LeaseKeepAliveResponse[] = [];

  constructor(ttl: number) {
    this.#ttl = ttl;
    this.#streams = clients.map((client) => client.bidirectional(Lease.methods.leaseKeepAlive));
    for (const stream of this.#streams) {
      this.#read(stream).catch((error: unknown) => {
        // Members that stop end the streams that are open still.
        if (!this.#isClosed) this.failures.push(error);
      });
    }
  }

  renew(ids: readonly bigint[]): void {
    ids.forEach((id, i) => this.#streams[i % this.#streams.length]?.send({ id }));
  }

  close(): void {
    this.#isClosed = true;
    for (const stream of this.#streams) stream.end();
  }

  async #read(stream: MessageStream<LeaseKeepAliveRequest, LeaseKeepAliveResponse>): Promise<void> {
    for (;;) {
      const answer = await stream.tryNext(patienceMs);
      if (answer === undefined) return;
      if (answer === 'silence') continue;
      this.answered++;
      if (answer.ttl !== this.#ttl) this.wrong.push(answer);
    }
  }
}

test('leases that are renewed live on', async () => {
  await start();
  const ids: bigint[] = [];
  const renewals = new Renewals(ttlSeconds);
  // Those granted first must not run out while the rest is granted.
  let isDone = false;
  let sent = 0;
  const beganMs = performance.now();
  const renewing = (async () => {
    for (let portion = 0; !isDone; portion++) {
      const part = ids.filter((_, i) => i % portions === portion % portions);
      renewals.renew(part);
      sent += part.length;
      // What is sent faster than it is answered only waits in this process, and slows it down.
      while (sent - renewals.answered > underWayMost) await delay(10);
      const nextMs = beganMs + ((portion + 1) * renewEveryMs) / portions;
      await delay(Math.max(0, nextMs - performance.now()));
    }
  })();
  await forAll(keptCount, async (i) => ids.push(await grant(i, ttlSeconds)));
  const grantsSeconds = (performance.now() - beganMs) / 1000;
  await delay(keptForMs);
  isDone = true;
  await renewing;
  await expect.poll(() => renewals.answered, { timeout: patienceMs }).toBe(sent);
  const seconds = (performance.now() - beganMs) / 1000;
  const living = await livingLeases();
  renewals.close();
  expect([...renewals.wrong, ...renewals.failures]).toEqual([]);
  expect(ids.filter((id) => !living.has(id))).toEqual([]);
  console.log(
    `${ids.length} leases granted in ${grantsSeconds.toFixed(1)} s, ` +
      `${sent} renewals in ${seconds.toFixed(1)} s, all alive`,
  );
}, 400_000);

test('leases that end in one second are gone soon, and puts go on', async () => {
  await start();
  const ttl = Math.max(ttlSeconds, Math.ceil(endingCount / 500));
  const ids: bigint[] = [];
  await forAll(endingCount, async (i) => {
    const lease = await grant(i, ttl);
    ids.push(lease);
    const request = PutRequest.create({ key: utf8(`ends/${i}`), value: utf8('x'), lease });
    await clientAt(i).unary(KV.methods.put, request);
  });

  const renewals = new Renewals(ttl);
  const renewedMs = performance.now();
  renewals.renew(ids);
  await expect.poll(() => renewals.answered, { timeout: patienceMs }).toBe(ids.length);
  // They end in as much time as it took to renew them.
  const endsMs = performance.now() + ttl * 1000;
  renewals.close();
  expect([...renewals.wrong, ...renewals.failures]).toEqual([]);
  const usual = await putLatencies(() => delay(3_000));
  await delay(renewedMs + ttl * 1000 - 500 - performance.now());
  expect((await livingLeases()).size).toBe(ids.length);
  const meanwhile = await putLatencies(async () => {
    await expect
      .poll(async () => (await livingLeases()).size, { timeout: patienceMs + 1_500, interval: 200 })
      .toBe(0);
  });
  const goneMs = performance.now() - endsMs;

  const range = RangeRequest.create({
    key: utf8('ends/'),
    rangeEnd: prefixEnd(utf8('ends/')),
    countOnly: true,
  });
  expect((await clientAt(1).unary(KV.methods.range, range)).count).toBe(0);
  console.log(
    `${ids.length} leases gone after ${(goneMs / 1000).toFixed(1)} s; a put took ` +
      `${usual.toFixed(1)} ms before and ${meanwhile.toFixed(1)} ms meanwhile`,
  );
  if (isWhole) expect(meanwhile).toBeLessThan(3 * usual);
}, 120_000);

/** The median time of puts, one after another while `work` is done, in milliseconds. */
async function putLatencies(work: () => Promise<void>): Promise<number> {
  let isDone = false;
  const times: number[] = [];
  const put = async (): Promise<void> => {
    for (let i = 0; !isDone; i++) {
      const beganMs = performance.now();
      const request = PutRequest.create({ key: utf8('steady'), value: utf8(String(i)) });
      await clientAt(i).unary(KV.methods.put, request);
      times.push(performance.now() - beganMs);
      await delay(5);
    }
  };
  const puts = put();
  await work().finally(() => (isDone = true));
  await puts;
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN;
}
