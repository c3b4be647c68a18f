/**
 * Who belongs to the cluster, by member id. Peer URLs come from the start flags; a member's name
 * and client URLs from its own logged announcement, so that every member can list all.
 */
import { assert, present } from '../base/assert.ts';
import { fromUtf8, utf8 } from '../base/bytes.ts';
import type { StateBackend } from '../mvcc/state-backend.ts';
import { digestOf, StateDigest } from '../mvcc/state-digest.ts';
import { prefixRange, stateKeys } from '../storage/keyspace.ts';

export interface Member {
  readonly id: bigint;
  /** Empty until the member has started once. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

/** What a member says of itself once it has started (etcd: membershippb.Attributes). */
export interface MemberAttributes {
  readonly name: string;
  readonly clientUrls: readonly string[];
}

/** The state database as this file needs it. */
export type MemberBackend = Pick<StateBackend, 'put' | 'scan'>;

/** Clusters have few members; a slice holds them all. */
const scanSlice = 256;

export class Membership {
  readonly #backend: MemberBackend;
  readonly #members = new Map<bigint, Member>();
  /** Of all members' records. */
  readonly #digest = new StateDigest();

  private constructor(backend: MemberBackend) {
    this.#backend = backend;
  }

  /** Reads the members that the state knows; none in a member's first life. */
  static load(
    backend: MemberBackend,
    done: (error: Error | undefined, membership: Membership | undefined) => void,
  ): void {
    const membership = new Membership(backend);
    backend.scan(
      prefixRange(stateKeys.member),
      scanSlice,
      (entries) => {
        for (const [, record] of entries) {
          membership.#remember(decodeMember(record));
        }
      },
      (error) => {
        done(error, error === undefined ? membership : undefined);
      },
    );
  }

  /** Founds the cluster. Every founder does the same, so all begin with equal states. */
  found(members: readonly Member[]): void {
    assert(this.#members.size === 0, 'a cluster is founded once');
    for (const member of members) this.#set(member);
  }

  get(id: bigint): Member | undefined {
    return this.#members.get(id);
  }

  /** All members, ascending by id. */
  list(): readonly Member[] {
    return [...this.#members.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Equal on members that applied the same entries; a part of the hash of the whole state. */
  get stateHash(): bigint {
    return this.#digest.value;
  }

  /** Applies a member's announcement. One from an unknown member is ignored, as in etcd. */
  setAttributes(id: bigint, attributes: MemberAttributes): void {
    const member = this.#members.get(id);
    if (member === undefined) return;
    this.#set({ ...member, name: attributes.name, clientUrls: [...attributes.clientUrls] });
  }

  #set(member: Member): void {
    this.#remember(member);
    const key = stateKeys.member + member.id.toString(16).padStart(16, '0');
    this.#backend.put(key, encodeMember(member));
  }

  #remember(member: Member): void {
    const before = this.#members.get(member.id);
    if (before !== undefined) this.#digest.remove(digestOf(encodeMember(before)));
    this.#members.set(member.id, member);
    this.#digest.add(digestOf(encodeMember(member)));
  }
}

/** The record's format; a newer one stops the member. */
const recordVersion = 1;

interface MemberRecord extends Omit<Member, 'id'> {
  readonly version: number;
  /** In hexadecimal, as JSON has no 64-bit integers. */
  readonly id: string;
}

/** Field by field: equal members have equal bytes, of which the hash of the state is made. */
function encodeMember({ id, name, peerUrls, clientUrls, isLearner }: Member): Uint8Array {
  const record: MemberRecord = {
    version: recordVersion,
    id: id.toString(16),
    name,
    peerUrls,
    clientUrls,
    isLearner,
  };
  return utf8(JSON.stringify(record));
}

export function decodeMember(bytes: Uint8Array): Member {
  const record = JSON.parse(fromUtf8(bytes)) as Partial<MemberRecord>;
  assert(record.version === recordVersion, `member record of version ${String(record.version)}`);
  return {
    id: BigInt(`0x${present(record.id, 'member id')}`),
    name: present(record.name, 'member name'),
    peerUrls: present(record.peerUrls, 'peer URLs'),
    clientUrls: present(record.clientUrls, 'client URLs'),
    isLearner: present(record.isLearner, 'learner flag'),
  };
}
