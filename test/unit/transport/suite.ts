/** What every transport must do: run over gRPC and over its twin in memory. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { MemberId, Message } from '../../../src/raft/index.ts';
import {
  TestSink,
  TestSource,
  append,
  chunks,
  heartbeat,
  metadata,
  oneOfEach,
  proposal,
  snapshot,
  until,
  type TestMember,
} from './members.ts';

/** A network on which members can be started and cut off. */
export interface Network {
  /** Starts a member that knows `peers`, all members ever started if absent. */
  start(id: MemberId, options?: { cluster?: bigint; peers?: MemberId[] }): Promise<TestMember>;
  stop(member: TestMember): Promise<void>;
  setPeers(member: TestMember, peers: MemberId[]): void;
  /** Both ways. */
  cut(a: MemberId, b: MemberId): void;
  heal(): void;
  close(): Promise<void>;
}

export function transportSuite(name: string, open: () => Promise<Network>): void {
  describe(name, () => {
    let network: Network;
    let one: TestMember;
    let two: TestMember;

    const connected = (a: TestMember, b: TestMember): Promise<void> =>
      until(
        () => a.transport.connected(b.id) && b.transport.connected(a.id),
        `${a.id} and ${b.id} are connected`,
      );

    beforeEach(async () => {
      network = await open();
      one = await network.start(1n, { peers: [2n, 3n] });
      two = await network.start(2n, { peers: [1n, 3n] });
      await connected(one, two);
    });

    afterEach(() => network.close());

    test('every kind of message arrives as it was sent', async () => {
      const sent = oneOfEach(1n, 2n);
      one.send(...sent);
      await until(() => two.received.length >= sent.length, 'all arrived');
      const byType = (messages: Message[]): Message[] =>
        messages.toSorted((a, b) => a.type.localeCompare(b.type) || a.term - b.term);
      expect(byType(two.received)).toEqual(byType(sent));
      expect(one.received).toEqual([]);
    });

    test('messages of a channel arrive in the order of sending, each once', async () => {
      const count = 3_000;
      for (let i = 0; i < count; i += 3) {
        one.send(append(1n, 2n, i), append(1n, 2n, i + 1), append(1n, 2n, i + 2));
        two.send(append(2n, 1n, i));
      }
      await until(() => two.received.length >= count, 'all arrived');
      await until(() => one.received.length >= count / 3, 'all answers arrived');
      const indexes = two.received.map((message) => 'index' in message && message.index);
      expect(indexes).toEqual(Array.from({ length: count }, (_, i) => i));
      expect(one.received.length).toBe(count / 3);
    });

    test('a message of 8 MiB arrives whole', async () => {
      const [data] = chunks(1, 8 * 1024 * 1024);
      one.send(append(1n, 2n, 1, data));
      one.send(append(1n, 2n, 2));
      await until(() => two.received.length === 2, 'both arrived');
      const [first] = two.received;
      const got = first?.type === 'append' ? first.entries[0]?.data : undefined;
      expect(Buffer.compare(got ?? new Uint8Array(), data ?? new Uint8Array())).toBe(0);
    });

    test('notes about leases arrive as they were sent, and none is sent to nobody', async () => {
      const asks = [
        { number: 2n ** 64n - 1n, question: 'renew', lease: -1n },
        { number: 2n, question: 'timeToLive', lease: 7n },
      ] as const;
      const answers = [
        { number: 1n, answer: { outcome: 'alive', seconds: 9_000_000_000 } },
        { number: 2n, answer: { outcome: 'missing' } },
        { number: 3n, answer: { outcome: 'retry' } },
      ] as const;
      const notes = [
        { kind: 'leaseAsks', asks },
        { kind: 'leaseAnswers', answers },
      ] as const;
      for (const note of notes) expect(one.transport.sendNote(2n, note)).toBe(true);
      await until(() => two.notes.length === notes.length, 'both arrived');
      expect(two.notes).toEqual(notes.map((note) => ({ member: 1n, note })));
      expect(one.transport.sendNote(3n, notes[0])).toBe(false);
    });

    test('a peer that is not there is reported unreachable, after the call', async () => {
      one.send(heartbeat(1n, 3n, 1), append(1n, 3n, 1));
      expect(one.unreachables).toEqual([]);
      await until(() => one.unreachables.length > 0, 'told');
      expect(new Set(one.unreachables)).toEqual(new Set([3n]));
      expect(one.transport.connected(3n)).toBe(false);
      expect(one.transport.lastHeardMs(3n)).toBeUndefined();
    });

    test('members introduce themselves, and a peer that is not there does not matter', async () => {
      const introduction = {
        life: 2n ** 64n - 1n,
        takesPart: false,
        asks: true,
        noted: 7n,
        early: true,
        announced: false,
        witnesses: { ids: [2n, 2n ** 63n], spare: 1, removed: [2n ** 63n] },
      };
      one.transport.introduce(3n, introduction);
      one.transport.introduce(2n, introduction);
      await until(() => two.introductions.length > 0, 'arrived');
      expect(two.introductions).toEqual([{ member: 1n, introduction }]);
      expect(one.introductions).toEqual([]);
    });

    test('hearing of a peer is noted', async () => {
      const before = one.transport.lastHeardMs(2n);
      two.send(heartbeat(2n, 1n, 1));
      await until(() => one.received.length === 1, 'arrived');
      const after = one.transport.lastHeardMs(2n);
      expect(after).toBeGreaterThan(before ?? 0);
    });

    test('a cut is noticed, and after it messages arrive again', async () => {
      network.cut(1n, 2n);
      await until(() => {
        one.send(heartbeat(1n, 2n, 1));
        return one.unreachables.length > 0;
      }, 'unreachable');
      await until(() => !one.transport.connected(2n), 'disconnected');
      const lost = two.received.length;
      network.heal();
      await connected(one, two);
      one.send(heartbeat(1n, 2n, 4711));
      await until(() => two.received.length > lost, 'arrived');
      expect(two.received.at(-1)).toEqual(heartbeat(1n, 2n, 4711));
    });

    test('proposals arrive at most once whatever happens to the line', async () => {
      const count = 400;
      for (let i = 0; i < count; i++) {
        one.send(proposal(1n, 2n, i));
        if (i % 100 === 50) {
          await until(() => two.received.length > 0 || i < 100, 'some arrived');
          network.cut(1n, 2n);
          await until(() => !one.transport.connected(2n), 'the cut is noticed');
          network.heal();
          await connected(one, two);
        }
      }
      one.send(proposal(1n, 2n, count));
      const text = (message: Message): string =>
        message.type === 'propose'
          ? new TextDecoder().decode(message.entries[0]?.data)
          : 'no proposal';
      await until(
        () => two.received.some((message) => text(message) === `proposal ${count}`),
        'the last arrived',
      );
      const texts = two.received.map(text);
      expect(new Set(texts).size).toBe(texts.length);
    });

    test('a member that starts again is heard from its first message on', async () => {
      one.send(append(1n, 2n, 1), append(1n, 2n, 2));
      await until(() => two.received.length === 2, 'arrived');
      await network.stop(one);
      await until(() => !two.transport.connected(1n), 'noticed');
      const again = await network.start(1n, { peers: [2n, 3n] });
      await connected(again, two);
      again.send(append(1n, 2n, 3));
      await until(() => two.received.length === 3, 'arrived again');
      expect(two.received[2]).toEqual(append(1n, 2n, 3));
    });

    test('a member that was removed is no longer heard or served', async () => {
      network.setPeers(two, [3n]);
      await until(() => !one.transport.connected(2n), 'disconnected');
      one.send(heartbeat(1n, 2n, 1));
      two.send(heartbeat(2n, 1n, 1));
      await until(() => one.unreachables.length > 0 && two.unreachables.length > 0, 'told');
      expect(two.received).toEqual([]);
      expect(one.received).toEqual([]);
    });

    test('a member that was removed is told so, even if it sends nothing', async () => {
      two.gone.add(1n);
      network.setPeers(two, [3n]);
      await until(() => one.removedBy.length > 0, 'told');
      expect(one.removedBy[0]).toBe(2n);
      one.send(heartbeat(1n, 2n, 1));
      await until(() => one.unreachables.length > 0, 'not sent');
      expect(two.received).toEqual([]);
    });

    test('a member that was removed is told so by one that will not forget it', async () => {
      two.gone.add(1n);
      two.remembers = false;
      network.setPeers(two, [3n]);
      await until(() => {
        one.send(heartbeat(1n, 2n, 1));
        return one.unreachables.length > 3;
      }, 'not connected');
      expect(one.removedBy).toEqual([]);
      two.remembers = true;
      await until(() => one.removedBy.length > 0, 'told');
      expect(two.received).toEqual([]);
    });

    test('members of different clusters do not talk', async () => {
      const stranger = await network.start(3n, { cluster: 99n, peers: [1n, 2n] });
      await until(() => {
        stranger.send(heartbeat(3n, 1n, 1));
        one.send(heartbeat(1n, 3n, 1));
        return stranger.unreachables.length > 3 && one.unreachables.length > 3;
      }, 'unreachable both ways');
      expect(stranger.received).toEqual([]);
      expect(one.received).toEqual([]);
      expect(one.transport.connected(3n)).toBe(false);
    });

    test('three members all talk to each other', async () => {
      const three = await network.start(3n, { peers: [1n, 2n] });
      await connected(one, three);
      await connected(two, three);
      one.send(heartbeat(1n, 2n, 1), heartbeat(1n, 3n, 2));
      two.send(heartbeat(2n, 3n, 3));
      await until(() => two.received.length === 1 && three.received.length === 2, 'arrived');
      expect(two.received).toEqual([heartbeat(1n, 2n, 1)]);
      const numbers = three.received.map((message) => 'commit' in message && message.commit);
      expect(numbers.toSorted()).toEqual([2, 3]);
    });

    describe('a snapshot', () => {
      const contents = chunks(12, 100_000);

      beforeEach(() => {
        one.source = new TestSource({ ...metadata, index: 80 }, contents);
        two.sink = new TestSink();
      });

      const ended = (): Promise<void> => until(() => one.statuses.length > 0, 'status');

      test('arrives whole, is made durable, and then the message', async () => {
        const { sink, source } = { sink: two.sink, source: one.source };
        one.send(snapshot(1n, 2n));
        await ended();
        expect(one.statuses).toEqual([{ member: 2n, ok: true }]);
        expect(two.offeredMetadata).toEqual({ ...metadata, index: 80 });
        expect(Buffer.concat(sink?.chunks ?? []).equals(Buffer.concat(contents))).toBe(true);
        expect(sink?.finished).toBe(true);
        expect(sink?.aborted).toBe(0);
        expect(source?.closed).toBe(1);
        expect(two.received).toEqual([
          { ...snapshot(1n, 2n), snapshot: { ...metadata, index: 80 } },
        ]);
      });

      test('keeps the bounds of its chunks, also of large ones', async () => {
        const sizes = [0, 1, 300_000, 1_500_000, 5];
        one.source = new TestSource(
          metadata,
          sizes.map((size) => chunks(1, size)[0] ?? new Uint8Array()),
        );
        one.send(snapshot(1n, 2n));
        await ended();
        expect(one.statuses).toEqual([{ member: 2n, ok: true }]);
        expect(two.sink?.chunks.map((chunk) => chunk.length)).toEqual(sizes);
      });

      test('that the receiver does not want is refused', async () => {
        two.sink = undefined;
        one.send(snapshot(1n, 2n));
        await ended();
        expect(one.statuses).toEqual([{ member: 2n, ok: false }]);
        expect(one.source?.closed).toBe(1);
        expect(two.received).toEqual([]);
      });

      test('whose receiver holds all that it covers has succeeded, with nothing sent', async () => {
        two.holdsAll = true;
        one.send(snapshot(1n, 2n));
        await ended();
        expect(one.statuses).toEqual([{ member: 2n, ok: true }]);
        expect(one.source?.closed).toBe(1);
        expect(two.sink?.chunks).toEqual([]);
        expect(two.received).toEqual([]);
        one.statuses.length = 0;
        two.holdsAll = false;
        one.source = new TestSource(metadata, contents);
        one.send(snapshot(1n, 2n));
        await ended();
        expect(one.statuses).toEqual([{ member: 2n, ok: true }]);
        expect(two.received).toHaveLength(1);
      });

      test('without anything to send fails', async () => {
        one.source = undefined;
        one.send(snapshot(1n, 2n));
        await ended();
        expect(one.statuses).toEqual([{ member: 2n, ok: false }]);
      });

      test('that is newer than the term in which it was wanted fails', async () => {
        one.source = new TestSource({ ...metadata, term: 7 }, contents);
        one.send(snapshot(1n, 2n));
        await ended();
        expect(one.statuses).toEqual([{ member: 2n, ok: false }]);
        expect(one.source.closed).toBe(1);
        expect(two.received).toEqual([]);
      });

      test('to a peer that is not there fails', async () => {
        one.send(snapshot(1n, 3n));
        await ended();
        expect(one.statuses).toEqual([{ member: 3n, ok: false }]);
        expect(one.unreachables).toContain(3n);
      });

      test.each(['write', 'finish'])('whose sink cannot %s fails', async (what) => {
        const sink = new TestSink();
        if (what === 'write') sink.failWrite = true;
        else sink.failFinish = true;
        two.sink = sink;
        one.send(snapshot(1n, 2n));
        await ended();
        expect(one.statuses).toEqual([{ member: 2n, ok: false }]);
        expect(sink.aborted).toBe(1);
        expect(one.source?.closed).toBe(1);
        expect(two.received).toEqual([]);
      });

      test('that cannot be read is aborted at the receiver', async () => {
        one.source = new TestSource(metadata, contents, 5);
        one.send(snapshot(1n, 2n));
        await ended();
        await until(() => two.sink?.aborted === 1, 'aborted');
        expect(one.statuses).toEqual([{ member: 2n, ok: false }]);
        expect(two.received).toEqual([]);
      });

      test('cut in the middle is aborted, and the next one arrives', async () => {
        const sink = new TestSink();
        sink.held = true;
        two.sink = sink;
        one.send(snapshot(1n, 2n));
        await until(() => sink.chunks.length > 0, 'the first chunk');
        network.cut(1n, 2n);
        sink.release();
        await ended();
        await until(() => sink.aborted === 1, 'aborted');
        expect(one.statuses).toEqual([{ member: 2n, ok: false }]);
        network.heal();
        await connected(one, two);
        one.source = new TestSource(metadata, contents);
        two.sink = new TestSink();
        one.send(snapshot(1n, 2n));
        await until(() => one.statuses.length === 2, 'second status');
        expect(one.statuses[1]).toEqual({ member: 2n, ok: true });
        expect(two.sink.chunks.length).toBe(contents.length);
      });

      test('holds up neither heartbeats nor appends', async () => {
        const sink = new TestSink();
        sink.held = true;
        two.sink = sink;
        one.send(snapshot(1n, 2n));
        await until(() => sink.chunks.length > 0, 'the first chunk');
        for (let i = 0; i < 100; i++) one.send(append(1n, 2n, i), heartbeat(1n, 2n, i));
        await until(() => two.received.length === 200, 'all messages arrived');
        expect(one.statuses).toEqual([]);
        sink.release();
        await ended();
        expect(one.statuses).toEqual([{ member: 2n, ok: true }]);
      });
    });
  });
}
