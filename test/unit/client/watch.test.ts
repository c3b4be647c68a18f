/** Watches: what is told, and what after a stream has ended. */
import { describe, expect, test } from 'vitest';
import { StatusCode, etcdErrors } from '../../../src/base/errors.ts';
import {
  type CallOptions,
  CompactedError,
  type Event,
  KeyValue,
  type WatchBatch,
  type WatchOptions,
  type Watcher,
  prefixEnd,
} from '../../../src/client/index.ts';
import { FakeMember, type FakeWatch, header } from '../../support/fake-member.ts';
import { CountingMember, type Cabled, cabled, client, failure, until } from './setup.ts';

const prefix = { key: 'k', rangeEnd: prefixEnd('k') };

const event = (modRevision: number, key = 'k'): Event => ({
  type: 0,
  kv: KeyValue.create({ key: Buffer.from(key), modRevision }),
  prevKv: undefined,
});

const events = (...revisions: number[]): Event[] => revisions.map((revision) => event(revision));

const revisions = ({ events: told }: WatchBatch): number[] =>
  told.map(({ kv }) => kv?.modRevision ?? 0);

/** A watcher and the member that serves it. */
class Watching {
  readonly member: FakeMember;
  readonly cabled: Cabled;
  readonly watcher: Watcher;
  readonly iterator: AsyncIterator<WatchBatch, undefined>;

  constructor(member: FakeMember, wired: Cabled, watcher: Watcher) {
    this.member = member;
    this.cabled = wired;
    this.watcher = watcher;
    this.iterator = watcher[Symbol.asyncIterator]();
  }

  async next(): Promise<WatchBatch> {
    const { value } = await this.iterator.next();
    if (value === undefined) throw new Error('the watch has ended');
    return value;
  }

  /** Sends one response for each list of revisions and expects it to be told as it is. */
  async tell(stream: FakeWatch, ...told: number[]): Promise<void> {
    stream.send({ header: header(told.at(-1) ?? 0), events: events(...told) });
    expect(revisions(await this.next())).toEqual(told);
  }
}

async function watching(
  request: Partial<WatchOptions> = {},
  options: CallOptions = {},
): Promise<Watching> {
  const member = new FakeMember().onWatch();
  const wired = await cabled(member);
  const by = client({ endpoints: wired.address });
  return new Watching(member, wired, by.watch({ ...prefix, ...request }, options));
}

describe('a watch tells', () => {
  test('what happens, and at the server asks for what the user asks for', async () => {
    const w = await watching({ prevKv: true, filters: [1], fragment: true, startRevision: 5 });
    const stream = await w.member.watch();
    const { key, rangeEnd, ...asked } = await stream.confirm(9, 3);
    expect([Buffer.from(key).toString(), Buffer.from(rangeEnd).toString()]).toEqual(['k', 'l']);
    expect(asked).toEqual({
      startRevision: 5,
      progressNotify: true,
      filters: [1],
      prevKv: true,
      watchId: 0,
      fragment: true,
    });
    expect(stream.metadata.get('hasleader')).toEqual(['true']);
    stream.send({ header: header(9), watchId: 3, events: events(6, 8) });
    const batch = await w.next();
    expect(revisions(batch)).toEqual([6, 8]);
    expect(batch).toMatchObject({ watchId: 3, created: false, progress: false });
    expect(batch.header.revision).toBe(9);
    // Of another watch, which nobody here has asked for.
    stream.send({ header: header(10), watchId: 4, events: events(10) });
    stream.send({ header: header(11), watchId: 3, events: events(11) });
    expect(revisions(await w.next())).toEqual([11]);
  });

  test('that it is established, if asked, and once', async () => {
    const w = await watching({ createdNotify: true });
    const first = await w.member.watch();
    await first.confirm(7);
    const batch = await w.next();
    expect([batch.created, batch.events, batch.header.revision]).toEqual([true, [], 7]);
    w.cabled.cable.cut();
    const second = await w.member.watch();
    await second.confirm(7);
    await w.tell(second, 8);
  });

  test('progress that the user asked for, and no other', async () => {
    const silent = await watching();
    const one = await silent.member.watch();
    await one.confirm(1);
    one.send({ header: header(5) });
    await silent.tell(one, 6);
    silent.watcher.requestProgress();
    expect((await one.next()).requestUnion?.case).toBe('progressRequest');
    one.send({ header: header(9), watchId: -1 });
    const asked = await silent.next();
    expect([asked.progress, asked.watchId, asked.header.revision]).toEqual([true, -1, 9]);

    const periodic = await watching({ progressNotify: true });
    const other = await periodic.member.watch();
    await other.confirm(1);
    other.send({ header: header(5) });
    const told = await periodic.next();
    expect([told.progress, told.events, told.header.revision]).toEqual([true, [], 5]);
  });

  test('progress asked for before there was anybody to ask, or who then left', async () => {
    const w = await watching();
    w.watcher.requestProgress();
    const first = await w.member.watch();
    await first.confirm(1);
    expect((await first.next()).requestUnion?.case).toBe('progressRequest');
    w.cabled.cable.cut();
    const second = await w.member.watch();
    await second.confirm(1);
    expect((await second.next()).requestUnion?.case).toBe('progressRequest');
    second.send({ header: header(3), watchId: -1 });
    expect((await w.next()).progress).toBe(true);
  });
});

describe('after its stream has ended, a watch resumes', () => {
  test('after the last revision told', async () => {
    const w = await watching({ startRevision: 2 });
    const first = await w.member.watch();
    await first.confirm(9);
    await w.tell(first, 3, 5);
    w.cabled.cable.cut();
    const second = await w.member.watch();
    expect((await second.confirm(9)).startRevision).toBe(6);
    await w.tell(second, 6);
  });

  test('after what was received and not taken yet', async () => {
    const w = await watching({ startRevision: 2 });
    const first = await w.member.watch();
    await first.confirm(9);
    await w.tell(first, 2);
    first.send({ header: header(3), events: events(3) });
    first.send({ header: header(4), events: events(4), watchId: 0 });
    first.fail(StatusCode.unavailable, 'etcdserver: no leader');
    const second = await w.member.watch();
    const { startRevision } = await second.confirm(9);
    // What had arrived before the end was noticed counts, and is not told again.
    expect([3, 4, 5]).toContain(startRevision);
    for (let revision = startRevision; revision < 7; revision++) {
      second.send({ header: header(revision), events: events(revision) });
    }
    for (let revision = 3; revision < 7; revision++) {
      expect(revisions(await w.next())).toEqual([revision]);
    }
  });

  test('where it began, if nothing came', async () => {
    const w = await watching({ createdNotify: true });
    const first = await w.member.watch();
    expect((await first.confirm(41)).startRevision).toBe(0);
    expect((await w.next()).created).toBe(true);
    w.cabled.cable.cut();
    const second = await w.member.watch();
    // A member that is behind, or ahead, makes no difference.
    expect((await second.confirm(50)).startRevision).toBe(42);
    second.fail(StatusCode.unavailable, 'gone');
    const third = await w.member.watch();
    expect((await third.confirm(50)).startRevision).toBe(42);
    await w.tell(third, 45);
  });

  test('from now on, if it was never established', async () => {
    const w = await watching();
    await (await w.member.watch()).createRequest();
    w.cabled.cable.cut();
    const second = await w.member.watch();
    expect((await second.confirm(7)).startRevision).toBe(0);
    await w.tell(second, 8);
  });

  test('after periodic progress, but not before what has been told', async () => {
    const w = await watching({ startRevision: 2 });
    const first = await w.member.watch();
    await first.confirm(9);
    await w.tell(first, 3);
    first.send({ header: header(20) });
    first.send({ header: header(10) });
    // Some versions of etcd answer this one too early.
    first.send({ header: header(30), watchId: -1 });
    expect((await w.next()).progress).toBe(true);
    w.cabled.cable.cut();
    const second = await w.member.watch();
    expect((await second.confirm(9)).startRevision).toBe(21);
  });

  test('and tells nothing twice, though the member sends more than was asked for', async () => {
    const w = await watching({ startRevision: 2 });
    const first = await w.member.watch();
    await first.confirm(9);
    await w.tell(first, 2, 3);
    w.cabled.cable.cut();
    const second = await w.member.watch();
    await second.confirm(9);
    second.send({ header: header(3), events: events(2, 3) });
    second.send({ header: header(4), events: events(3, 4) });
    expect(revisions(await w.next())).toEqual([4]);
  });

  test.each([
    [StatusCode.unavailable, 'etcdserver: no leader'],
    [StatusCode.unavailable, 'etcdserver: server stopped'],
    [StatusCode.cancelled, 'etcdserver: watch canceled'],
    [StatusCode.internal, 'something broke'],
  ])('after code %i, %s', async (code, text) => {
    const w = await watching();
    const first = await w.member.watch();
    await first.confirm(1);
    first.fail(code, text);
    const second = await w.member.watch();
    await second.confirm(1);
    await w.tell(second, 2);
  });

  test('after an end without an error', async () => {
    const w = await watching();
    const first = await w.member.watch();
    await first.confirm(1);
    first.call.end();
    const second = await w.member.watch();
    await second.confirm(1);
    await w.tell(second, 2);
  });

  test('at another member, if one is silent', async () => {
    const mute = new FakeMember().onWatch();
    const other = new FakeMember().onWatch();
    const endpoints = [(await cabled(mute)).address, (await cabled(other)).address];
    const by = client({ endpoints, requestTimeoutMs: 300 });
    const watcher = by.watch(prefix);
    await (await mute.watch()).createRequest();
    const stream = await other.watch();
    await stream.confirm(1);
    stream.send({ header: header(2), events: events(2) });
    const { value } = await watcher[Symbol.asyncIterator]().next();
    expect(value && revisions(value)).toEqual([2]);
  });
});

describe('fragments', () => {
  test('of one revision are put together', async () => {
    const w = await watching({ fragment: true });
    const stream = await w.member.watch();
    await stream.confirm(1);
    stream.send({ header: header(2), fragment: true, events: [event(2, 'ka')] });
    stream.send({ header: header(2), fragment: true, events: [event(2, 'kb')] });
    stream.send({ header: header(2), events: [event(2, 'kc')] });
    const batch = await w.next();
    expect(batch.events.map(({ kv }) => Buffer.from(kv?.key ?? []).toString())).toEqual([
      'ka',
      'kb',
      'kc',
    ]);
    expect(batch.response).toMatchObject({ fragment: false, events: batch.events });
  });

  test('without the last one are as if they had not come', async () => {
    const w = await watching({ fragment: true, startRevision: 2 });
    const first = await w.member.watch();
    await first.confirm(9);
    first.send({ header: header(9), fragment: true, events: events(2, 3, 3) });
    // Revision 2 is whole.
    expect(revisions(await w.next())).toEqual([2]);
    first.send({ header: header(9), fragment: true, events: events(3) });
    w.cabled.cable.cut();
    const second = await w.member.watch();
    expect((await second.confirm(9)).startRevision).toBe(3);
    second.send({ header: header(9), fragment: true, events: events(3, 3) });
    second.send({ header: header(9), events: events(3, 4) });
    expect(revisions(await w.next())).toEqual([3, 3, 3, 4]);
  });
});

describe('a watch ends', () => {
  test('when what it wants has been compacted', async () => {
    const w = await watching({ startRevision: 2 });
    const stream = await w.member.watch();
    await stream.confirm(9);
    stream.send({ header: header(2), events: events(2) });
    stream.send({ canceled: true, compactRevision: 8 });
    expect(revisions(await w.next())).toEqual([2]);
    const error = await failure(w.iterator.next());
    expect(error).toBeInstanceOf(CompactedError);
    expect(error).toMatchObject({ code: StatusCode.outOfRange, compactRevision: 8 });
    expect(error.message).toBe(etcdErrors.compacted[1]);
    expect(await w.iterator.next()).toEqual({ done: true, value: undefined });
    await stream.left;
  });

  test.each([
    ['rpc error: code = PermissionDenied desc = etcdserver: permission denied', 7],
    ['rpc error: code = Canceled desc = etcdserver: who knows', 1],
    ['mvcc: watcher range is empty', 1],
    ['etcdserver: mvcc: required revision has been compacted', 11],
    ['', 1],
  ])('when it is refused: "%s"', async (cancelReason, code) => {
    const w = await watching();
    const stream = await w.member.watch();
    await stream.createRequest();
    stream.send({ watchId: -1, created: true, canceled: true, cancelReason });
    const error = await failure(w.iterator.next());
    expect(error.code).toBe(code);
    const text = cancelReason.replace(/^rpc error.*desc = /, '');
    expect(error.message).toBe(text || 'etcdserver: watch canceled');
  });

  test('when the server does not serve watches', async () => {
    const { address } = await cabled(new CountingMember());
    const watcher = client({ endpoints: address }).watch(prefix);
    const error = await failure(watcher[Symbol.asyncIterator]().next());
    expect(error.code).toBe(StatusCode.unimplemented);
  });

  test('at the server when the user leaves the loop', async () => {
    const w = await watching();
    const stream = await w.member.watch();
    await stream.confirm(1);
    stream.send({ header: header(2), events: events(2) });
    stream.send({ header: header(3), events: events(3) });
    for await (const batch of w.watcher) {
      expect(revisions(batch)).toEqual([2]);
      break;
    }
    await stream.left;
    expect(await w.iterator.next()).toEqual({ done: true, value: undefined });
  });

  test('when it is closed, without an error', async () => {
    const w = await watching();
    const stream = await w.member.watch();
    await stream.confirm(1);
    const waiting = w.iterator.next();
    w.watcher.close();
    expect(await waiting).toEqual({ done: true, value: undefined });
    await stream.left;
  });

  test('when its signal is aborted, with the reason', async () => {
    const controller = new AbortController();
    const w = await watching({}, { signal: controller.signal });
    const stream = await w.member.watch();
    await stream.confirm(1);
    const waiting = w.iterator.next();
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await stream.left;
    const late = await watching({}, { signal: controller.signal });
    await expect(late.iterator.next()).rejects.toThrow('enough');
  });

  test('when the client closes', async () => {
    const member = new FakeMember().onWatch();
    const { address } = await cabled(member);
    const by = client({ endpoints: address });
    const iterator = by.watch(prefix)[Symbol.asyncIterator]();
    const stream = await member.watch();
    const waiting = failure(iterator.next());
    await by.close();
    expect((await waiting).message).toBe('the client is closed');
    await stream.left;
    const late = by.watch(prefix)[Symbol.asyncIterator]();
    expect((await failure(late.next())).message).toBe('the client is closed');
  });

  test('when no member has served it for as long as the user allows', async () => {
    const w = await watching({}, { timeoutMs: 500 });
    const stream = await w.member.watch();
    await stream.confirm(1);
    await w.cabled.cable.unplug();
    const error = await failure(w.iterator.next());
    expect([error.code, error.message]).toEqual([...etcdErrors.deadline]);
    expect(error.cause).toBeInstanceOf(Error);
  });

  test('not while no member serves it, unless the user limits that', async () => {
    const member = new FakeMember().onWatch();
    const { cable, address } = await cabled(member);
    await cable.unplug();
    const by = client({ endpoints: address, dialTimeoutMs: 50, requestTimeoutMs: 100 });
    let settled = false;
    const iterator = by.watch(prefix)[Symbol.asyncIterator]();
    const next = iterator.next().finally(() => (settled = true));
    const begun = Date.now();
    await until(() => Date.now() - begun > 500);
    expect(settled).toBe(false);
    await cable.plug();
    const stream = await member.watch();
    await stream.confirm(1);
    stream.send({ header: header(2), events: events(2) });
    expect((await next).done).toBe(false);
  });
});
