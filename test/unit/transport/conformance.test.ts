/** One suite over both transports. */
import { MemoryNetwork, type MemoryTransport } from '../../../src/transport/memory-transport.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { MemberId } from '../../../src/raft/index.ts';
import { GrpcNetwork, everyone } from './grpc-network.ts';
import { TestMember, realClock } from './members.ts';
import { transportSuite, type Network } from './suite.ts';

function memoryNetwork(delayMs: number): Network {
  const network = new MemoryNetwork(realClock, new SeededRandom(7), {
    delayMs: { least: 0, most: delayMs },
  });
  const members = new Set<TestMember>();
  const addresses = (peers: readonly MemberId[]): { id: MemberId; peerUrls: string[] }[] =>
    peers.map((id) => ({ id, peerUrls: [] }));
  const stop = (member: TestMember): Promise<void> => {
    members.delete(member);
    return new Promise((resolve) => member.transport.stop(resolve));
  };
  return {
    start(id, options = {}) {
      const transport: MemoryTransport = network.transport(id, options.cluster ?? 42n);
      const member = new TestMember(id, transport);
      members.add(member);
      transport.setPeers(addresses(options.peers ?? everyone));
      transport.start(member);
      return Promise.resolve(member);
    },
    stop,
    setPeers: (member, peers) => member.transport.setPeers(addresses(peers)),
    cut: (a, b) => network.partition([a], [b]),
    heal: () => network.heal(),
    async close() {
      for (const member of members) await stop(member);
    },
  };
}

transportSuite('the transport over gRPC', () => GrpcNetwork.open());
transportSuite('the transport in memory', () => Promise.resolve(memoryNetwork(0)));
transportSuite('the transport in memory with delay', () => Promise.resolve(memoryNetwork(3)));
