/** That the loads notice answers that are not what they should be. */
import { describe, expect, test } from 'vitest';
import type { ClientJob, LoadJob, UnaryOperation } from '../../bench/client-job.ts';
import type { Connection } from '../../bench/connection.ts';
import { keepAliveLoad } from '../../bench/keep-alive-load.ts';
import type { Load } from '../../bench/load.ts';
import { keyOf, valueOf } from '../../bench/requests.ts';
import { preparedPrefix, unaryLoad } from '../../bench/unary-load.ts';
import { watchLoad } from '../../bench/watch-load.ts';

/** What a member answers to a call, by the method's name. */
type Answer = (method: string, request: Record<string, unknown>) => unknown;
/** What a member sends on a stream after a message. */
type Reaction = (request: Record<string, unknown>, send: (response: unknown) => void) => void;

const silent: Reaction = () => undefined;

function connectionTo(answer: Answer, react: Reaction = silent): Connection {
  const fake = {
    unary: async (method: { name: string }, request: Record<string, unknown>) =>
      answer(method.name, request),
    duplex: (_method: unknown, receive: (response: unknown) => void) => ({
      send: (request: Record<string, unknown>) => react(request, receive),
    }),
  };
  return fake as unknown as Connection;
}

function jobOf(load: LoadJob): ClientJob {
  const times = { warmUpSeconds: 0, seconds: 0.01 };
  return { load, address: '', connections: 1, ...times, process: 0, processes: 1 };
}

const header = { clusterId: 1n, memberId: 1n, revision: 7, raftTerm: 1 };

/** Runs a load until it has done enough, however slow the machine is. */
async function runUntil(load: Load, enough: number) {
  let [operations, writes, samples] = [0, 0, 0];
  while (operations < enough) {
    const figures = await load.run(0.01);
    operations += figures.operations;
    writes += figures.writes;
    samples += figures.latenciesUs.length;
  }
  return { operations, writes, samples };
}

describe('calls', () => {
  const run = (operation: UnaryOperation, answer: Answer, enough = 1) => {
    const load = { kind: 'unary', operation, inFlight: 2, keys: 1 } as const;
    return runUntil(unaryLoad(jobOf(load), load, [connectionTo(answer)]), enough);
  };

  test('are counted if they are right', async () => {
    const key = keyOf(preparedPrefix, 0);
    const answer: Answer = (method) =>
      method === 'Put' ? { header } : { count: 1, kvs: [{ key, value: valueOf(key) }] };
    const { operations, writes, samples } = await run('mixed', answer, 1000);
    expect(operations).toBe(samples);
    expect(writes / operations).toBeGreaterThan(0.1);
    expect(writes / operations).toBeLessThan(0.3);
  });

  test('a delete is done once for each key', async () => {
    const figures = await run('delete', () => ({ deleted: 1 }));
    expect([figures.operations, figures.writes]).toEqual([1, 1]);
  });

  test('a swap compares the revision of the one before', async () => {
    const revisions = new Map<string, number>();
    let [revision, wrong] = [10, 0];
    const answer: Answer = (_, { compare }) => {
      const [{ key, targetUnion }] = compare as [
        { key: Uint8Array; targetUnion: { value: number } },
      ];
      const name = String(key);
      if (targetUnion.value !== (revisions.get(name) ?? 0)) wrong++;
      revisions.set(name, ++revision);
      return { succeeded: true, header: { ...header, revision } };
    };
    const { operations } = await run('swap', answer, 4);
    expect([wrong, revision]).toEqual([0, 10 + operations]);
    expect(revisions.size).toBeLessThan(operations);
  });

  const other = { key: keyOf('x', 0), value: valueOf(keyOf('x', 0)) };
  test.each<[UnaryOperation, string, unknown, string]>([
    ['put', 'no header', {}, 'a put without a revision'],
    ['mixed', 'another key', { header, count: 1, kvs: [other] }, 'a get of something else'],
    ['mixed', 'no key', { header, count: 0, kvs: [] }, 'a get of something else'],
    ['swap', 'a failed swap', { header, succeeded: false }, 'a swap at revision 0'],
    ['delete', 'nothing deleted', { deleted: 0 }, '0 keys deleted'],
  ])('%s: %s is wrong', async (operation, _, answer, words) => {
    await expect(run(operation, () => answer)).rejects.toThrow(words);
  });
});

describe('watches', () => {
  interface Lies {
    readonly value?: string;
    readonly revision?: number;
    readonly times?: number;
  }

  /** A member that sends each event so often to all watchers, and may say something else. */
  async function run({ value, revision = 8, times = 1 }: Lies) {
    const load = { kind: 'watch', watchers: 3, shared: true, inFlight: 1 } as const;
    const senders: ((response: unknown) => void)[] = [];
    const react: Reaction = (_, send) => {
      const watchId = senders.length;
      senders.push((kv) => send({ watchId, events: [{ kv }] }));
      send({ watchId, created: true, events: [] });
    };
    const answer: Answer = (_, put) => {
      const kv = {
        value: value === undefined ? put['value'] : Buffer.from(value),
        modRevision: revision,
      };
      for (let i = 0; i < times; i++) for (const send of senders) send(kv);
      return { header: { ...header, revision: 8 } };
    };
    return runUntil(await watchLoad(jobOf(load), load, [connectionTo(answer, react)]), 10);
  }

  test('count events, each of which all watchers had', async () => {
    const { operations, writes, samples } = await run({});
    expect(operations).toBe(3 * writes);
    expect(samples).toBe(operations);
  });

  test.each<[string, Lies, string]>([
    ['another value', { value: 'x' }, 'an event with another value'],
    ['another revision than the put', { revision: 9 }, 'an event of another revision'],
    ['the same event again', { times: 2 }, 'one event too many'],
  ])('notice %s', async (_, lies, words) => {
    await expect(run(lies)).rejects.toThrow(words);
  });
});

describe('leases', () => {
  async function run(renewed: (id: bigint) => { id: bigint; ttl: number }) {
    const load = { kind: 'keep-alive', leases: 5, inFlight: 2 } as const;
    let last = 0n;
    const answer: Answer = (_, { ttl }) => ({ id: ++last, ttl, error: '' });
    const react: Reaction = ({ id }, send) => {
      setImmediate(() => send(renewed(id as bigint)));
    };
    return runUntil(await keepAliveLoad(jobOf(load), load, [connectionTo(answer, react)]), 20);
  }

  test('are renewed in turns', async () => {
    const seen: bigint[] = [];
    const { writes } = await run((id) => {
      seen.push(id);
      return { id, ttl: 3600 };
    });
    expect(writes).toBe(0);
    expect(seen.slice(0, 7)).toEqual([1n, 2n, 3n, 4n, 5n, 1n, 2n]);
  });

  test('one that is gone, or another one, is noticed', async () => {
    await expect(run((id) => ({ id, ttl: 0 }))).rejects.toThrow('TTL of 0');
    await expect(run((id) => ({ id: id + 1n, ttl: 3600 }))).rejects.toThrow('lease');
  });
});
