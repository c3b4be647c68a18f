/** The services of a member of a virtual cluster, without a network between it and its clients. */
import type { CallContext } from '../../src/api/handler.ts';
import type { OwnershipBackend } from '../../src/api/ownership.ts';
import { noMember } from '../../src/raft/index.ts';
import { roomyMemory } from './api-calls.ts';
import type { VirtualCluster, VirtualMember } from './virtual-cluster.ts';

/** What the services need of a member that is up. */
export function backendOf(
  cluster: VirtualCluster,
  { id, running }: VirtualMember,
): OwnershipBackend {
  if (running === undefined) throw new Error('the member is down');
  const { server } = running;
  return {
    clock: cluster.clock,
    headerSource: {
      clusterId: 0xc1n,
      memberId: id,
      get revision() {
        return running.store.revision;
      },
      get term() {
        return server.term;
      },
    },
    get store() {
      return running.store;
    },
    get hasLeader() {
      return server.leader !== noMember;
    },
    leases: running.leases,
    txnOperationsLimit: 128,
    requestLimitBytes: 1_572_864,
    request: (command) => server.request(command),
    linearizableRead: () => server.linearizableRead(),
    whenCompacted: () => Promise.resolve(),
    onLeaderLost: (listener) => server.onLeaderLost(listener),
    onStateRefused: (listener) => running.stateCheck.onRefusing(listener),
    openWatchStream: (options) => running.watchable.openStream(options),
  };
}

/** A call, and how its client gives it up. */
export function call(headers: Readonly<Record<string, string>> = {}): {
  readonly context: CallContext;
  readonly abort: () => void;
} {
  const controller = new AbortController();
  const metadata = (name: string): string | undefined => headers[name];
  const context = { signal: controller.signal, metadata, memory: roomyMemory };
  return { context, abort: () => controller.abort() };
}
