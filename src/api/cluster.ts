/** The Cluster service: who is a member, and how that changes (etcd: api/v3rpc/member.go). */
import type { Member as ClusterMember } from '../cluster/membership.ts';
import type {
  Member,
  MemberAddRequest,
  MemberAddResponse,
  MemberListRequest,
  MemberListResponse,
  MemberPromoteRequest,
  MemberPromoteResponse,
  MemberRemoveRequest,
  MemberRemoveResponse,
  MemberUpdateRequest,
  MemberUpdateResponse,
  ResponseHeader,
} from '../gen/rpc.ts';
import { header, type HeaderSource } from './header.ts';

type Members = readonly ClusterMember[];

/** What changes the members. All of it rejects with EtcdError, in etcd's words. */
export interface MemberChanges {
  add(
    peerUrls: readonly string[],
    isLearner: boolean,
  ): Promise<{ readonly member: ClusterMember; readonly members: Members }>;
  remove(id: bigint): Promise<Members>;
  update(id: bigint, peerUrls: readonly string[]): Promise<Members>;
  promote(id: bigint): Promise<Members>;
}

export interface ClusterBackend {
  readonly headerSource: HeaderSource;
  readonly memberChanges: MemberChanges;
  members(): Members;
  linearizableRead(): Promise<void>;
}

export class ClusterService {
  readonly #backend: ClusterBackend;

  constructor(backend: ClusterBackend) {
    this.#backend = backend;
  }

  async memberList(request: MemberListRequest): Promise<MemberListResponse> {
    if (request.linearizable) await this.#backend.linearizableRead();
    return this.#answer(this.#backend.members());
  }

  async memberAdd({ peerUrls, isLearner }: MemberAddRequest): Promise<MemberAddResponse> {
    const { member, members } = await this.#backend.memberChanges.add(peerUrls, isLearner);
    return { ...this.#answer(members), member: toWire(member) };
  }

  async memberRemove({ id }: MemberRemoveRequest): Promise<MemberRemoveResponse> {
    return this.#answer(await this.#backend.memberChanges.remove(id));
  }

  async memberUpdate({ id, peerUrls }: MemberUpdateRequest): Promise<MemberUpdateResponse> {
    return this.#answer(await this.#backend.memberChanges.update(id, peerUrls));
  }

  async memberPromote({ id }: MemberPromoteRequest): Promise<MemberPromoteResponse> {
    return this.#answer(await this.#backend.memberChanges.promote(id));
  }

  /** The answers of this service carry no revision. */
  #answer(members: Members): { header: ResponseHeader; members: Member[] } {
    const { headerSource } = this.#backend;
    return { header: { ...header(headerSource), revision: 0 }, members: members.map(toWire) };
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
