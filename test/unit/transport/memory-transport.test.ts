/** The faults of the network in memory, under virtual time. */
import { beforeEach, describe, expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import type { MemberId } from '../../../src/raft/index.ts';
import { memoryQueueMessages } from '../../../src/transport/memory-path.ts';
import {
  MemoryNetwork,
  type MemoryNetworkFaults,
} from '../../../src/transport/memory-transport.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';
import { TestMember, append, heartbeat, proposal } from './members.ts';

let clock: VirtualClock;
let network: MemoryNetwork;

function start(id: MemberId): TestMember {
  const member = new TestMember(id, network.transport(id, 1n));
  member.transport.setPeers([1n, 2n, 3n].map((peer) => ({ id: peer, peerUrls: [] })));
  member.transport.start(member);
  return member;
}

function open(faults: Partial<MemoryNetworkFaults>, seed = 1): [TestMember, TestMember] {
  clock = new VirtualClock();
  network = new MemoryNetwork(clock, new SeededRandom(seed), faults);
  const members: [TestMember, TestMember] = [start(1n), start(2n)];
  clock.advance(100);
  return members;
}

const numbers = (member: TestMember): number[] =>
  member.received.map((message) =>
    message.type === 'append' ? message.index : message.type === 'heartbeat' ? message.commit : -1,
  );

describe('the network in memory', () => {
  let one: TestMember;
  let two: TestMember;

  beforeEach(() => {
    [one, two] = open({ delayMs: { least: 5, most: 20 } });
  });

  test('delays', () => {
    one.send(append(1n, 2n, 1));
    clock.advance(4.9);
    expect(two.received).toEqual([]);
    clock.advance(15.1);
    expect(numbers(two)).toEqual([1]);
  });

  test('keeps order unless told otherwise', () => {
    for (let i = 0; i < 100; i++) one.send(append(1n, 2n, i));
    clock.advance(20);
    expect(numbers(two)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    network.setFaults({ reorder: 0.5 });
    for (let i = 0; i < 100; i++) one.send(append(1n, 2n, i));
    clock.advance(20);
    const second = numbers(two).slice(100);
    expect(second.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(second).not.toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  test('drops', () => {
    network.setFaults({ drop: 0.5 });
    for (let i = 0; i < 1_000; i++) one.send(append(1n, 2n, i));
    clock.advance(20);
    expect(two.received.length).toBeGreaterThan(400);
    expect(two.received.length).toBeLessThan(600);
  });

  test('duplicates all but proposals', () => {
    network.setFaults({ duplicate: 1 });
    for (let i = 0; i < 50; i++) one.send(heartbeat(1n, 2n, i), proposal(1n, 2n, i));
    clock.advance(20);
    expect(two.received.filter((m) => m.type === 'heartbeat').length).toBe(100);
    expect(two.received.filter((m) => m.type === 'propose').length).toBe(50);
  });

  test('cuts one way only where asked, losing what is under way', () => {
    one.send(heartbeat(1n, 2n, 1));
    network.setCut(1n, 2n, true);
    two.send(heartbeat(2n, 1n, 2));
    clock.advance(20);
    expect(two.received).toEqual([]);
    expect(numbers(one)).toEqual([2]);
    expect(one.transport.connected(2n)).toBe(false);
    one.send(heartbeat(1n, 2n, 3));
    clock.advance(20);
    expect(one.unreachables).toEqual([2n]);
  });

  test('partitions into groups and heals', () => {
    const three = start(3n);
    network.partition([1n, 2n], [3n]);
    one.send(heartbeat(1n, 2n, 1), heartbeat(1n, 3n, 2));
    clock.advance(20);
    expect([two.received.length, three.received.length]).toEqual([1, 0]);
    network.heal();
    clock.advance(100);
    one.send(heartbeat(1n, 3n, 3));
    clock.advance(20);
    expect(numbers(three)).toEqual([3]);
    expect(one.transport.connected(3n)).toBe(true);
  });

  test('holds a bounded number of messages', () => {
    for (let i = 0; i < 2 * memoryQueueMessages; i++) one.send(heartbeat(1n, 2n, i));
    clock.advance(20);
    expect(two.received.length).toBe(memoryQueueMessages);
    expect(one.unreachables).toEqual([2n]);
  });

  test('gives a member that started again nothing that was sent to its earlier life', () => {
    one.send(heartbeat(1n, 2n, 1));
    two.transport.stop(() => {});
    const again = start(2n);
    clock.advance(20);
    expect(again.received).toEqual([]);
    expect(two.received).toEqual([]);
    one.send(heartbeat(1n, 2n, 2));
    clock.advance(20);
    expect(numbers(again)).toEqual([2]);
  });

  test('shares no memory between members', () => {
    const data = Uint8Array.of(1, 2, 3);
    one.send(append(1n, 2n, 1, data));
    data.fill(9);
    clock.advance(20);
    expect(two.received).toEqual([append(1n, 2n, 1)]);
  });
});

test('the same seed gives the same run', () => {
  const run = (seed: number): number[] => {
    const [one, two] = open(
      { delayMs: { least: 1, most: 50 }, drop: 0.2, duplicate: 0.2, reorder: 0.3 },
      seed,
    );
    for (let i = 0; i < 200; i++) one.send(append(1n, 2n, i));
    clock.advance(100);
    return numbers(two);
  };
  expect(run(5)).toEqual(run(5));
  expect(run(5)).not.toEqual(run(6));
});
