/** Streams of renewals, with a member that answers when the test says so. */
import { beforeEach, describe, expect, test } from 'vitest';
import type { CallContext } from '../../../src/api/handler.ts';
import { type LeaseBackend, LeaseService } from '../../../src/api/lease.ts';
import type { Command } from '../../../src/apply/request.ts';
import { EtcdError } from '../../../src/base/errors.ts';
import type { LeaseKeepAliveRequest, LeaseKeepAliveResponse } from '../../../src/gen/rpc.ts';
import { roomyMemory } from '../../support/api-calls.ts';

interface Renewal {
  readonly id: bigint;
  readonly answer: (ttl: number) => void;
  readonly refuse: (error: Error) => void;
}

let renewals: Renewal[];
let proposed: Command[];
let leaderLost: (() => void)[];
let stateRefused: (() => void)[];
let hasLeader: boolean;
let revision: number;
let service: LeaseService;
let abort: AbortController;

beforeEach(() => {
  renewals = [];
  proposed = [];
  leaderLost = [];
  stateRefused = [];
  hasLeader = true;
  revision = 5;
  abort = new AbortController();
  const backend: LeaseBackend = {
    headerSource: {
      clusterId: 1n,
      memberId: 2n,
      term: 3,
      get revision() {
        return revision;
      },
    },
    get hasLeader() {
      return hasLeader;
    },
    leases: {
      minTtlSeconds: 2,
      chooseId: () => 99n,
      get: () => undefined,
      list: () => [],
      renew: (id) =>
        new Promise((answer, refuse) => {
          renewals.push({ id, answer, refuse });
        }),
      secondsLeft: () => Promise.resolve(undefined),
    },
    request: (command) => {
      proposed.push(command);
      const { id, ttl } = command.case === 'leaseGrant' ? command.value : { id: 0n, ttl: 0 };
      return Promise.resolve({ response: { header: undefined, id, ttl, error: '' } });
    },
    linearizableRead: () => Promise.resolve(),
    onLeaderLost: (listener) => {
      leaderLost.push(listener);
      return () => undefined;
    },
    onStateRefused: (listener) => {
      stateRefused.push(listener);
      return () => undefined;
    },
  };
  service = new LeaseService(backend);
});

/** The client's half of a stream. */
class Asking implements AsyncIterable<LeaseKeepAliveRequest> {
  readonly #ids: bigint[] = [];
  #wake: (() => void) | undefined;
  #ended = false;
  taken = 0;

  send(...ids: bigint[]): void {
    this.#ids.push(...ids);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<LeaseKeepAliveRequest> {
    for (;;) {
      const id = this.#ids.shift();
      if (id !== undefined) {
        this.taken++;
        yield { id };
      } else if (this.#ended) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

const context = (metadata: Readonly<Record<string, string>> = {}): CallContext => ({
  signal: abort.signal,
  metadata: (name) => metadata[name],
  memory: roomyMemory,
});

/** Everything that is told until the stream ends, and why it ended. */
function told(stream: AsyncIterable<LeaseKeepAliveResponse>) {
  const seen = { answers: [] as LeaseKeepAliveResponse[], end: undefined as unknown };
  void (async () => {
    try {
      for await (const answer of stream) seen.answers.push(answer);
      seen.end = 'end';
    } catch (error) {
      seen.end = error instanceof EtcdError ? error.reason : error;
    }
  })();
  return seen;
}

async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}

describe('a stream of renewals', () => {
  test('answers in the order of asking, with headers from before the renewal', async () => {
    const asking = new Asking();
    const seen = told(service.leaseKeepAlive(asking, context()));
    asking.send(1n, 2n, 3n);
    await settle();
    expect(renewals.map(({ id }) => id)).toEqual([1n, 2n, 3n]);
    revision = 9;
    renewals[1]?.answer(20);
    renewals[2]?.answer(0);
    await settle();
    expect(seen.answers).toEqual([]);
    renewals[0]?.answer(10);
    await settle();
    expect(seen.answers.map(({ id, ttl }) => [id, ttl])).toEqual([
      [1n, 10],
      [2n, 20],
      [3n, 0],
    ]);
    expect(new Set(seen.answers.map(({ header }) => header?.revision))).toEqual(new Set([5]));
  });

  test('ends when all that was asked is answered', async () => {
    const asking = new Asking();
    const seen = told(service.leaseKeepAlive(asking, context()));
    asking.send(1n);
    asking.end();
    await settle();
    expect(seen.end).toBeUndefined();
    renewals[0]?.answer(10);
    await settle();
    expect([seen.answers.length, seen.end]).toEqual([1, 'end']);
  });

  test('reads no more while too many are under way', async () => {
    const asking = new Asking();
    told(service.leaseKeepAlive(asking, context()));
    asking.send(...Array.from({ length: 3_000 }, (_, i) => BigInt(i + 1)));
    await settle();
    expect([asking.taken, renewals.length]).toEqual([1024, 1024]);
    for (const renewal of renewals) renewal.answer(10);
    await settle();
    expect(asking.taken).toBe(2048);
  });

  test('ends with what a renewal was refused for', async () => {
    const asking = new Asking();
    const seen = told(service.leaseKeepAlive(asking, context()));
    asking.send(1n, 2n);
    await settle();
    renewals[1]?.refuse(new EtcdError('timeout'));
    await settle();
    expect(seen.end).toBe('timeout');
  });

  test('ends when the state must not be shown any more', async () => {
    const asking = new Asking();
    const seen = told(service.leaseKeepAlive(asking, context()));
    asking.send(1n);
    await settle();
    for (const refused of stateRefused) refused();
    renewals[0]?.answer(0);
    await settle();
    expect(seen).toEqual({ answers: [], end: 'corrupt' });
  });

  test('ends when the leader is lost, for those who asked to be told', async () => {
    const plain = told(service.leaseKeepAlive(new Asking(), context()));
    const told1 = told(service.leaseKeepAlive(new Asking(), context({ hasleader: 'true' })));
    await settle();
    for (const lost of leaderLost) lost();
    await settle();
    expect([plain.end, told1.end]).toEqual([undefined, 'noLeader']);
    hasLeader = false;
    const late = told(service.leaseKeepAlive(new Asking(), context({ hasleader: 'true' })));
    await settle();
    expect(late.end).toBe('noLeader');
  });

  test('ends with its client, though an answer is still out', async () => {
    const asking = new Asking();
    const seen = told(service.leaseKeepAlive(asking, context()));
    asking.send(1n);
    await settle();
    abort.abort();
    await settle();
    expect(seen.end).toBe('requestCanceled');
  });
});

test('what a grant leaves open is decided before it is proposed', async () => {
  await service.leaseGrant({ id: 0n, ttl: -5 });
  await service.leaseGrant({ id: -3n, ttl: 60 });
  expect(proposed.map(({ value }) => value)).toEqual([
    { id: 99n, ttl: 2 },
    { id: -3n, ttl: 60 },
  ]);
});
