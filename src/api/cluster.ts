/** The part of the Cluster service that needs no later version (etcd: api/v3rpc/member.go). */
import type { Member as ClusterMember } from '../cluster/membership.ts';
import type { Member, MemberListRequest, MemberListResponse } from '../gen/rpc.ts';
import { header, type HeaderSource } from './header.ts';

export interface ClusterBackend {
  readonly headerSource: HeaderSource;
  members(): readonly ClusterMember[];
  linearizableRead(): Promise<void>;
}

export class ClusterService {
  readonly #backend: ClusterBackend;

  constructor(backend: ClusterBackend) {
    this.#backend = backend;
  }

  async memberList(request: MemberListRequest): Promise<MemberListResponse> {
    if (request.linearizable) await this.#backend.linearizableRead();
    const { headerSource } = this.#backend;
    return {
      // The answers of this service carry no revision.
      header: { ...header(headerSource), revision: 0 },
      members: this.#backend.members().map(toWire),
    };
  }
}

function toWire(member: ClusterMember): Member {
  return {
    id: member.id,
    name: member.name,
    peerUrls: [...member.peerUrls],
    clientUrls: [...member.clientUrls],
    isLearner: member.isLearner,
  };
}
