/** 20,000 random requests to etcd and to us, with watches open: every answer and event is equal. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fromLatin1 } from '../../src/base/bytes.ts';
import type { RangeResponse, WatchCreateRequest } from '../../src/gen/rpc.ts';
import { KV, Lease } from '../../src/gen/services.ts';
import { etcdMissing, etcdVersion } from '../support/etcd.ts';
import { CallError } from '../support/grpc.ts';
import { put } from './messages.ts';
import { Pair, differencesOf } from './pair.ts';
import { explain } from './differences.ts';
import { pendingIn } from './pending.ts';
import { type Operation, OperationSource } from './random-operations.ts';
import { type Plain, type Session, plainOf } from './session.ts';
import { WatchLog, everything, shows } from './watch-log.ts';

const operationCount = 20_000;
/** Replays a run: the seed is in the name of the test. */
const seed = Number(process.env['QUORATE_TEST_SEED'] ?? 20_261_124);
const checkpointEvery = 1000;
const deliveryTimeoutMs = 20_000;
const firstWatchId = 10;

async function answerOf(session: Session, operation: Operation): Promise<Plain> {
  const { client } = session;
  switch (operation.kind) {
    case 'put':
      return plainOf(await client.unary(KV.methods.put, operation.request), []);
    case 'range':
      return plainOf(await client.unary(KV.methods.range, operation.request), []);
    case 'deleteRange':
      return plainOf(await client.unary(KV.methods.deleteRange, operation.request), []);
    case 'txn':
      return plainOf(await client.unary(KV.methods.txn, operation.request), []);
    case 'compact': {
      const { revision, physical } = operation;
      return plainOf(await client.unary(KV.methods.compact, { revision, physical }), []);
    }
    case 'grant':
      return plainOf(await client.unary(Lease.methods.leaseGrant, operation), []);
    case 'revoke':
      return plainOf(await client.unary(Lease.methods.leaseRevoke, operation), []);
    case 'timeToLive': {
      const answer = await client.unary(Lease.methods.leaseTimeToLive, operation);
      const sorted = answer.keys.toSorted((a, b) => Buffer.compare(a, b));
      return plainOf({ ...answer, keys: sorted, ttl: Math.sign(answer.ttl) }, []);
    }
    case 'leases': {
      const answer = await client.unary(Lease.methods.leaseLeases, {});
      return plainOf({ ...answer, leases: answer.leases.map(({ id }) => String(id)).sort() }, []);
    }
    default:
      return null;
  }
}

async function outcomeOf(session: Session, operation: Operation): Promise<Plain> {
  try {
    return await answerOf(session, operation);
  } catch (error) {
    if (error instanceof CallError) return { code: error.code, details: error.details };
    throw error;
  }
}

async function servesLeases({ client }: Session): Promise<boolean> {
  try {
    await client.unary(Lease.methods.leaseLeases, {});
    return true;
  } catch (error) {
    if (error instanceof CallError && pendingIn(error.code, error.details)) return false;
    throw error;
  }
}

const show = (value: unknown): string => JSON.stringify(plainOf(value, [])).slice(0, 2000);

interface OpenWatch {
  readonly request: WatchCreateRequest;
  readonly createdAt: number;
  readonly isCompacted: boolean;
  /** How much of the log of everything is counted in `expected`. */
  counted: number;
  /** Revisions of the events that the watch must have shown, ascending. */
  readonly expected: number[];
}

/** One run: sends, compares, and keeps account of revisions and watches. */
class Run {
  readonly #pair: Pair;
  readonly #source: OperationSource;
  readonly #etcdLog: WatchLog;
  readonly #ourLog: WatchLog;
  readonly #open = new Map<number, OpenWatch>();
  #nextWatchId = firstWatchId;
  #revision = 1;
  #compacted = 0;
  /** By watch: events once compared are not compared again. */
  readonly #compared = new Map<number, number>();

  constructor(pair: Pair, hasLeases: boolean) {
    this.#pair = pair;
    this.#source = new OperationSource(seed, { hasLeases });
    this.#etcdLog = new WatchLog(pair.etcd.client);
    this.#ourLog = new WatchLog(pair.ours.client);
  }

  get eventsCompared(): number {
    return this.#compared.get(everything) ?? 0;
  }

  async go(): Promise<void> {
    await this.#created(everything);
    for (let i = 1; i <= operationCount; i++) {
      const operation = this.#source.next({
        revision: this.#revision,
        compacted: this.#compacted,
        watches: [...this.#open.keys()],
        nextWatchId: this.#nextWatchId,
      });
      await this.#perform(operation, i);
      if (i % checkpointEvery === 0) await this.#checkpoint(i);
    }
    this.#etcdLog.close();
    this.#ourLog.close();
  }

  async #perform(operation: Operation, number: number): Promise<void> {
    switch (operation.kind) {
      case 'watch':
        await this.#watch(operation.request);
        return;
      case 'cancel':
        await this.#cancel(operation.watchId, number);
        return;
      case 'compact':
        // What a watch shows of the time before depends on whether it was faster.
        await this.#checkpoint(number);
        await this.#cancelSilent(number);
        break;
      default:
    }
    const [etcd, ours] = await Promise.all([
      outcomeOf(this.#pair.etcd, operation),
      outcomeOf(this.#pair.ours, operation),
    ]);
    const lines = differencesOf(etcd, ours).filter(
      (line) => !explain(`random > ${operation.kind} > ${line}`, etcdVersion ?? ''),
    );
    if (lines.length > 0) {
      throw new Error(
        `operation ${number} of seed ${seed}: ${operation.kind} ${show(operation)}\n` +
          lines.slice(0, 20).join('\n'),
      );
    }
    const answer = etcd as { header?: { revision?: number }; code?: number };
    this.#revision = answer.header?.revision ?? this.#revision;
    if (operation.kind === 'compact' && answer.code === undefined) {
      this.#compacted = operation.revision;
    }
  }

  async #watch(request: WatchCreateRequest): Promise<void> {
    const { startRevision, watchId } = request;
    this.#nextWatchId++;
    this.#etcdLog.create(request);
    this.#ourLog.create(request);
    await this.#created(watchId);
    const isCompacted = startRevision !== 0 && startRevision < this.#compacted;
    this.#open.set(watchId, {
      request,
      createdAt: this.#revision,
      isCompacted,
      counted: 0,
      expected: [],
    });
    this.#compared.set(watchId, 0);
  }

  async #created(watchId: number): Promise<void> {
    const created = await Promise.all(
      [this.#etcdLog, this.#ourLog].map((log) =>
        log.until(() => {
          const { created, canceled } = log.delivered(watchId);
          return created || canceled !== undefined;
        }, deliveryTimeoutMs),
      ),
    );
    expect(created, `watch ${watchId} is confirmed`).toEqual([true, true]);
  }

  async #cancel(watchId: number, number: number): Promise<void> {
    await this.#checkpoint(number, watchId);
    if (!this.#open.has(watchId)) return;
    this.#open.delete(watchId);
    for (const log of [this.#etcdLog, this.#ourLog]) {
      log.cancel(watchId);
      await log.until(() => log.delivered(watchId).canceled !== undefined, deliveryTimeoutMs);
    }
    this.#compareWatch(watchId, number);
  }

  /**
   * A watch from the past that had nothing to show may still be catching up, on one server and not
   * on the other: a compaction now would end the one and not the other.
   */
  async #cancelSilent(number: number): Promise<void> {
    for (const [watchId, { request, createdAt, expected }] of this.#open) {
      const isFromThePast = request.startRevision !== 0 && request.startRevision <= createdAt;
      if (isFromThePast && expected.length === 0) await this.#cancel(watchId, number);
    }
  }

  /** Waits until the open watches have shown all there is, and compares them. */
  async #checkpoint(number: number, only?: number): Promise<void> {
    const mark = put({ key: '~mark' });
    const { etcd, ours } = this.#pair;
    const [answer] = await Promise.all([
      etcd.client.unary(KV.methods.put, mark),
      ours.client.unary(KV.methods.put, mark),
    ]);
    const revision = answer.header?.revision ?? 0;
    this.#revision = revision;
    for (const log of [this.#etcdLog, this.#ourLog]) {
      const hasMark = (): boolean =>
        (log.delivered(everything).events.at(-1)?.kv?.modRevision ?? 0) >= revision;
      expect(await log.until(hasMark, deliveryTimeoutMs), 'the mark arrives').toBe(true);
    }
    this.#compareWatch(everything, number);
    for (const [watchId, watch] of this.#open) {
      if (only !== undefined && watchId !== only) continue;
      await this.#settle(watchId, watch);
      this.#compareWatch(watchId, number);
      if (watch.isCompacted) this.#open.delete(watchId);
    }
  }

  async #settle(watchId: number, watch: OpenWatch): Promise<void> {
    const { request, createdAt, isCompacted } = watch;
    const all = this.#etcdLog.delivered(everything).events;
    for (; watch.counted < all.length; watch.counted++) {
      const event = all[watch.counted];
      if (event !== undefined && shows(request, createdAt, event)) {
        watch.expected.push(event.kv?.modRevision ?? 0);
      }
    }
    const { expected } = watch;
    for (const log of [this.#etcdLog, this.#ourLog]) {
      const delivered = log.delivered(watchId);
      await log.until(
        () =>
          isCompacted
            ? delivered.canceled !== undefined
            : delivered.events.length >= expected.length,
        deliveryTimeoutMs,
      );
      if (!isCompacted) {
        const which = log === this.#etcdLog ? 'etcd' : 'ours';
        const revisions = delivered.events.map(({ kv }) => kv?.modRevision);
        expect(
          revisions,
          `${which}: watch ${watchId} of revision ${createdAt}, ${show(request)}`,
        ).toEqual(expected);
      }
    }
  }

  #compareWatch(watchId: number, number: number): void {
    const etcd = this.#etcdLog.delivered(watchId);
    const ours = this.#ourLog.delivered(watchId);
    const from = this.#compared.get(watchId) ?? 0;
    const lines = differencesOf(
      plainOf({ events: etcd.events.slice(from), canceled: etcd.canceled }, []),
      plainOf({ events: ours.events.slice(from), canceled: ours.canceled }, []),
    );
    this.#compared.set(watchId, etcd.events.length);
    const request = this.#open.get(watchId)?.request;
    if (lines.length > 0) {
      throw new Error(
        `watch ${watchId} after operation ${number} of seed ${seed}: ${show(request ?? null)}\n` +
          lines.slice(0, 20).join('\n'),
      );
    }
  }
}

describe.skipIf(etcdVersion === undefined)(
  `against etcd ${etcdVersion ?? ''}${etcdMissing}`,
  () => {
    let pair: Pair;
    beforeAll(async () => {
      pair = await Pair.start();
    });
    afterAll(() => pair.stop());

    test(`${operationCount} random operations, seed ${seed}`, { timeout: 300_000 }, async () => {
      const hasLeases = await servesLeases(pair.ours);
      if (!hasLeases) console.log('without leases: Quorate does not serve them yet');
      const run = new Run(pair, hasLeases);
      await run.go();
      expect(run.eventsCompared).toBeGreaterThan(operationCount / 4);
      const range = { ...KV.methods.range.request.create(), key: fromLatin1('\0') };
      const all = { ...range, rangeEnd: fromLatin1('\0') };
      const states: RangeResponse[] = [];
      for (const { client } of [pair.etcd, pair.ours]) {
        states.push(await client.unary(KV.methods.range, all));
      }
      expect(states[1]?.kvs).toEqual(states[0]?.kvs);
    });
  },
);
