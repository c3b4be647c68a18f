import { afterEach, describe, expect, test } from 'vitest';
import { fromUtf8, utf8 } from '../../../src/base/bytes.ts';
import { EtcdError } from '../../../src/base/errors.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { SessionAnswers } from '../../../src/api/session-answers.ts';
import { type WatchBackend, WatchService } from '../../../src/api/watch.ts';
import { WatchCreateRequest, WatchRequest, WatchResponse } from '../../../src/gen/rpc.ts';
import { WatchableStore } from '../../../src/mvcc/watchable-store.ts';
import { roomyMemory } from '../../support/api-calls.ts';
import { ManualClock, MapBackend, openStore } from '../mvcc/fakes.ts';

/** A client's half of a stream. */
class Requests implements AsyncIterable<WatchRequest> {
  readonly #waiting: WatchRequest[] = [];
  #ended = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;
  taken = 0;

  send(request: WatchRequest['requestUnion']): void {
    // Through the wire, so that it is as a client's.
    this.#waiting.push(WatchRequest.decode(WatchRequest.encode({ requestUnion: request })));
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  fail(error: Error): void {
    this.#failure = error;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<WatchRequest> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next !== undefined) {
        this.taken++;
        yield next;
      } else if (this.#failure !== undefined) {
        throw this.#failure;
      } else if (this.#ended) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

type Create = Partial<Omit<WatchCreateRequest, 'key' | 'rangeEnd'>> & {
  readonly key?: string;
  readonly rangeEnd?: string;
};

class Fixture {
  readonly clock = new ManualClock();
  readonly store = openStore({ backend: new MapBackend(), clock: this.clock });
  readonly watchable = new WatchableStore({ store: this.store, clock: this.clock });
  readonly requests = new Requests();
  readonly controller = new AbortController();
  readonly leaderLost = new Set<() => void>();
  readonly #metadata: Readonly<Record<string, string>>;
  readonly answers: SessionAnswers<WatchResponse>;
  readonly #responses: AsyncGenerator<WatchResponse>;

  constructor(
    overrides: Partial<WatchBackend> = {},
    metadata: Readonly<Record<string, string>> = {},
  ) {
    this.#metadata = metadata;
    const { store } = this;
    const service = new WatchService({
      headerSource: {
        clusterId: 1n,
        memberId: 2n,
        term: 3,
        get revision() {
          return store.revision;
        },
      },
      clock: this.clock,
      random: new SeededRandom(1),
      hasLeader: true,
      progressIntervalMs: 1000,
      fragmentBytes: 2 * 1024 * 1024,
      openWatchStream: (options) => this.watchable.openStream(options),
      onLeaderLost: (listener) => {
        this.leaderLost.add(listener);
        return () => this.leaderLost.delete(listener);
      },
      ...overrides,
    });
    this.answers = service.watch(this.requests, {
      signal: this.controller.signal,
      metadata: (name) => this.#metadata[name],
      memory: roomyMemory,
    });
    this.#responses = this.answers[Symbol.asyncIterator]();
  }

  put(key: string, value: string | Uint8Array = 'v'): void {
    const txn = this.store.begin();
    txn.put(key, typeof value === 'string' ? utf8(value) : value, 0n);
    txn.end();
  }

  create({ key = 'a', rangeEnd = '', ...rest }: Create): void {
    this.requests.send({
      case: 'createRequest',
      value: WatchCreateRequest.create({ ...rest, key: utf8(key), rangeEnd: utf8(rangeEnd) }),
    });
  }

  cancel(watchId: number): void {
    this.requests.send({ case: 'cancelRequest', value: { watchId } });
  }

  progress(): void {
    this.requests.send({ case: 'progressRequest', value: {} });
  }

  /** The next answer as it arrives. */
  async next(): Promise<WatchResponse> {
    const pending = this.#responses.next();
    // Whatever the handler has to read first, it has read by then.
    for (let i = 0; i < 20; i++) await Promise.resolve();
    this.clock.settle();
    const { value, done } = await pending;
    if (done === true) throw new Error('the stream ended');
    return WatchResponse.decode(WatchResponse.encode(value));
  }

  async close(): Promise<void> {
    this.controller.abort();
    await this.#responses.next().catch(() => undefined);
  }
}

const open: Fixture[] = [];
function fixture(...parameters: ConstructorParameters<typeof Fixture>): Fixture {
  const made = new Fixture(...parameters);
  open.push(made);
  return made;
}
afterEach(async () => {
  for (const each of open.splice(0)) {
    await each.close();
    expect(each.watchable.streamCount).toBe(0);
    expect(each.leaderLost.size).toBe(0);
  }
});

function header(revision: number): object {
  return { clusterId: 1n, memberId: 2n, raftTerm: 3, revision };
}

function eventsOf({ events }: WatchResponse): string[] {
  return events.map(({ type, kv, prevKv }) => {
    const previous = prevKv === undefined ? '' : ` was ${fromUtf8(prevKv.value)}`;
    const [key, value] = [kv?.key, kv?.value].map((bytes) => fromUtf8(bytes ?? utf8('?')));
    return `${type} ${key}=${value}${previous}`;
  });
}

describe('a watch', () => {
  test('is confirmed before its events come', async () => {
    const f = fixture();
    f.put('a', '1');
    f.put('a', '2');
    f.create({ startRevision: 1, prevKv: true });
    expect(await f.next()).toEqual({
      header: header(3),
      watchId: 0,
      created: true,
      canceled: false,
      compactRevision: 0,
      cancelReason: '',
      fragment: false,
      events: [],
    });
    const past = await f.next();
    expect([past.created, ...eventsOf(past)]).toEqual([false, '0 a=1', '0 a=2 was 1']);
    f.put('a', '3');
    const live = await f.next();
    expect(live.header).toEqual(header(4));
    expect(eventsOf(live)).toEqual(['0 a=3 was 2']);
  });

  test('of no key watches every key', async () => {
    const f = fixture();
    f.create({ key: '', rangeEnd: '\0' });
    await f.next();
    f.put('\x01', '1');
    expect(eventsOf(await f.next())).toEqual(['0 \x01=1']);
  });

  test('is refused below revision 0, with an empty range or a used id', async () => {
    const f = fixture();
    f.create({ startRevision: -1 });
    f.create({ key: 'b', rangeEnd: 'a' });
    f.create({ watchId: 7 });
    f.create({ watchId: 7 });
    const refusal = { created: true, canceled: true, watchId: -1, header: header(1) };
    expect(await f.next()).toMatchObject({
      ...refusal,
      cancelReason: 'etcdserver: mvcc: required revision has been compacted',
    });
    expect(await f.next()).toMatchObject({
      ...refusal,
      cancelReason: 'mvcc: watcher range is empty',
    });
    expect(await f.next()).toMatchObject({ created: true, canceled: false, watchId: 7 });
    expect(await f.next()).toMatchObject({
      ...refusal,
      cancelReason: 'mvcc: duplicate watch ID provided on the WatchStream',
    });
  });

  test('is refused to those who may not read', async () => {
    const reason = 'rpc error: code = PermissionDenied desc = etcdserver: permission denied';
    const f = fixture({
      refusal: ({ key }) => (fromUtf8(key) === 'secret' ? reason : undefined),
    });
    f.create({ key: 'secret' });
    f.create({ key: 'open' });
    expect(await f.next()).toMatchObject({ watchId: -1, canceled: true, cancelReason: reason });
    expect(await f.next()).toMatchObject({ watchId: 0, canceled: false });
  });

  test('from a compacted revision is confirmed, then cancelled with the revision to go on from', async () => {
    const f = fixture();
    for (const value of ['1', '2', '3']) f.put('a', value);
    f.store.compact(3);
    f.create({ startRevision: 2 });
    expect(await f.next()).toMatchObject({ created: true, canceled: false });
    expect(await f.next()).toEqual({
      header: header(0),
      watchId: 0,
      created: false,
      canceled: true,
      compactRevision: 3,
      cancelReason: '',
      fragment: false,
      events: [],
    });
  });

  test('ends with a confirmation; an unknown one is not answered', async () => {
    const f = fixture();
    f.create({});
    f.cancel(5);
    f.cancel(0);
    f.create({});
    expect(await f.next()).toMatchObject({ created: true, watchId: 0 });
    expect(await f.next()).toMatchObject({ canceled: true, created: false, watchId: 0 });
    expect(await f.next()).toMatchObject({ created: true, watchId: 1 });
  });

  test('gets a large revision in pieces if it may', async () => {
    const f = fixture({ fragmentBytes: 1024 });
    f.create({ rangeEnd: 'z', fragment: true });
    f.create({ rangeEnd: 'z' });
    await f.next();
    await f.next();
    const txn = f.store.begin();
    for (const key of ['a', 'b', 'c', 'd', 'e']) txn.put(key, new Uint8Array(400), 0n);
    txn.end();
    const pieces = [await f.next(), await f.next(), await f.next()];
    expect(
      pieces.map(({ watchId, fragment, events }) => [watchId, fragment, events.length]),
    ).toEqual([
      [0, true, 2],
      [0, true, 2],
      [0, false, 1],
    ]);
    for (const piece of pieces) expect(WatchResponse.encode(piece).length).toBeLessThan(1024);
    const whole = await f.next();
    expect([whole.watchId, whole.fragment, whole.events.length]).toEqual([1, false, 5]);
  });

  test('is given what is there without waiting, in the order of the iteration', async () => {
    const f = fixture({ fragmentBytes: 1024 });
    expect(f.answers.ready()).toBeUndefined();
    f.create({ rangeEnd: 'z', fragment: true });
    f.create({ key: 'e' });
    expect([(await f.next()).watchId, f.answers.ready()?.watchId]).toEqual([0, 1]);
    expect(f.answers.ready()).toBeUndefined();
    const txn = f.store.begin();
    for (const key of ['a', 'b', 'c', 'd', 'e']) txn.put(key, new Uint8Array(400), 0n);
    txn.end();
    const first = await f.next();
    const second = f.answers.ready();
    const third = await f.next();
    const rest = [f.answers.ready(), f.answers.ready()];
    const all = [first, second, third, ...rest];
    const keys = (answer: WatchResponse): string =>
      answer.events.map(({ kv }) => fromUtf8(kv?.key ?? utf8('?'))).join('');
    expect(all.map((answer) => answer && [answer.watchId, keys(answer), answer.fragment])).toEqual([
      [0, 'ab', true],
      [0, 'cd', true],
      [0, 'e', false],
      [1, 'e', false],
      undefined,
    ]);
    f.controller.abort();
    expect(() => f.answers.ready()).toThrow(new EtcdError('watchCanceled'));
  });
});

describe('progress', () => {
  test('is answered for all watchers at once', async () => {
    const f = fixture();
    f.create({});
    await f.next();
    f.put('b');
    f.progress();
    expect(await f.next()).toMatchObject({ watchId: -1, header: header(2), events: [] });
  });

  test('is told at intervals to quiet watchers that asked', async () => {
    const f = fixture();
    f.create({ progressNotify: true });
    f.create({ key: 'z' });
    await f.next();
    await f.next();
    f.put('b');
    f.clock.advance(1100);
    expect(await f.next()).toMatchObject({ watchId: 0, header: header(2), events: [] });
    f.put('a');
    f.clock.advance(1100);
    expect((await f.next()).events).toHaveLength(1);
    f.clock.advance(1100);
    expect(await f.next()).toMatchObject({ watchId: 0, header: header(3), events: [] });
  });
});

describe('a stream', () => {
  test('outlives the end of requests', async () => {
    const f = fixture();
    f.create({});
    f.requests.end();
    await f.next();
    f.put('a', '1');
    expect(eventsOf(await f.next())).toEqual(['0 a=1']);
  });

  test('ends when the client leaves', async () => {
    const f = fixture();
    f.create({});
    await f.next();
    const next = f.next();
    f.controller.abort();
    await expect(next).rejects.toEqual(new EtcdError('watchCanceled'));
    expect(f.watchable.watcherCount).toBe(0);
  });

  test('ends when its requests fail', async () => {
    const f = fixture();
    const next = f.next();
    f.requests.fail(new Error('malformed'));
    await expect(next).rejects.toThrow('malformed');
  });

  test('ends without a leader if the client wants to know', async () => {
    const wants = { hasleader: 'true' };
    await expect(fixture({ hasLeader: false }, wants).next()).rejects.toThrow('no leader');
    const f = fixture({}, wants);
    f.create({});
    await f.next();
    const next = f.next();
    for (const listener of f.leaderLost) listener();
    await expect(next).rejects.toEqual(new EtcdError('noLeader'));
    const indifferent = fixture({ hasLeader: false });
    indifferent.create({});
    expect(await indifferent.next()).toMatchObject({ created: true });
  });

  test('reads no more requests while its answers are not taken', async () => {
    const f = fixture();
    for (let i = 0; i < 5000; i++) f.create({});
    await f.next();
    for (let i = 0; i < 20_000; i++) await Promise.resolve();
    expect(f.requests.taken).toBeGreaterThan(100);
    expect(f.requests.taken).toBeLessThan(2000);
    for (let i = 1; i < 5000; i++) await f.next();
    expect(f.requests.taken).toBe(5000);
  });
});
