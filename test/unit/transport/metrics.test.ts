/** What members measure of each other, with etcd's names and labels. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { GrpcNetwork } from './grpc-network.ts';
import {
  chunks,
  metadata,
  snapshot,
  TestSink,
  TestSource,
  until,
  type TestMember,
} from './members.ts';

let network: GrpcNetwork;
let one: TestMember;
let two: TestMember;

beforeEach(async () => {
  network = await GrpcNetwork.open();
  one = await network.start(1n, { peers: [2n] });
  two = await network.start(2n, { peers: [1n] });
  await connected(true);
});

afterEach(() => network.close());

function connected(wanted: boolean): Promise<void> {
  return until(
    () => [one.transport.connected(2n), two.transport.connected(1n)].every((is) => is === wanted),
    wanted ? 'connected' : 'apart',
  );
}

/** Of a member, the part of the name after `etcd_network_`. */
function valueOf(member: TestMember, name: string, ...labels: string[]): number {
  return network.metricsOf(member.id).valueOf(`etcd_network_${name}`, ...labels);
}

async function sendSnapshot(): Promise<void> {
  one.source = new TestSource({ ...metadata, index: 80 }, chunks(3, 1000));
  one.statuses.length = 0;
  one.send(snapshot(1n, 2n));
  await until(() => one.statuses.length > 0, 'status');
}

describe('a member counts', () => {
  test('peers that it loses, each time', async () => {
    expect(valueOf(one, 'active_peers', '1', '2')).toBe(1);
    expect(valueOf(one, 'disconnected_peers_total', '1', '2')).toBe(0);
    for (let times = 1; times <= 2; times++) {
      network.cut(1n, 2n);
      await connected(false);
      expect(valueOf(one, 'active_peers', '1', '2')).toBe(0);
      expect(valueOf(one, 'disconnected_peers_total', '1', '2')).toBe(times);
      expect(valueOf(two, 'disconnected_peers_total', '2', '1')).toBe(times);
      network.heal();
      await connected(true);
      expect(valueOf(one, 'disconnected_peers_total', '1', '2')).toBe(times);
    }
  });

  test.each([
    ['that arrive, and how long they take', 1],
    ['that do not', 0],
  ])('snapshots %s', async (_what, arrived) => {
    two.sink = arrived > 0 ? new TestSink() : undefined;
    await sendSnapshot();
    for (const [member, name, peer] of [
      [one, 'snapshot_send', '2'],
      [two, 'snapshot_receive', '1'],
    ] as const) {
      expect(valueOf(member, `${name}_success`, peer)).toBe(arrived);
      expect(valueOf(member, `${name}_failures`, peer)).toBe(1 - arrived);
      expect(valueOf(member, `${name}_inflights_total`, peer)).toBe(0);
      expect(valueOf(member, `${name}_total_duration_seconds_count`, peer)).toBe(arrived);
    }
  });

  test('a snapshot while it is on its way', async () => {
    const sink = new TestSink();
    two.sink = sink;
    sink.held = true;
    const sent = sendSnapshot();
    await until(() => sink.chunks.length > 0, 'a chunk to be written');
    expect(valueOf(one, 'snapshot_send_inflights_total', '2')).toBe(1);
    expect(valueOf(two, 'snapshot_receive_inflights_total', '1')).toBe(1);
    await network.stop(two);
    await sent;
    expect(valueOf(one, 'snapshot_send_inflights_total', '2')).toBe(0);
    expect(valueOf(two, 'snapshot_receive_inflights_total', '1')).toBe(0);
    expect(valueOf(one, 'snapshot_send_failures', '2')).toBe(1);
    // Who stops has not failed.
    expect(valueOf(two, 'snapshot_receive_failures', '1')).toBe(0);
  });
});
