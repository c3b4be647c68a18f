/**
 * Who belongs to the cluster, by member id. Peer URLs come from the start flags; a member's name
 * and client URLs from its own logged announcement, so that every member can list all.
 */
import { assert, present } from '../base/assert.ts';
import { fromUtf8, utf8 } from '../base/bytes.ts';

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

/** Where members are kept: records of the state database, by member id. */
export interface MemberRecords {
  get(id: bigint): Uint8Array | undefined;
  put(id: bigint, record: Uint8Array): void;
}

export class Membership {
  readonly clusterId: bigint;
  readonly #initial: readonly Member[];
  readonly #members = new Map<bigint, Member>();
  #records: MemberRecords;

  /** @param initial the members named at the first start; what the records know of them wins */
  constructor(clusterId: bigint, initial: readonly Member[], records: MemberRecords) {
    this.clusterId = clusterId;
    this.#initial = initial;
    this.#records = records;
    this.restore(records);
  }

  /** Starts anew from the records of another state, e.g. a snapshot's. */
  restore(records: MemberRecords): void {
    this.#records = records;
    this.#members.clear();
    for (const member of this.#initial) {
      const record = records.get(member.id);
      this.#members.set(member.id, record === undefined ? member : decodeMember(record));
    }
  }

  get(id: bigint): Member | undefined {
    return this.#members.get(id);
  }

  /** All members, ascending by id. */
  list(): readonly Member[] {
    return [...this.#members.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Applies a member's announcement. One from an unknown member is ignored, as in etcd. */
  setAttributes(id: bigint, attributes: MemberAttributes): void {
    const member = this.#members.get(id);
    if (member === undefined) return;
    const changed = {
      ...member,
      name: attributes.name,
      clientUrls: [...attributes.clientUrls],
    };
    this.#members.set(id, changed);
    this.#records.put(id, encodeMember(changed));
  }
}

/** The record's format; a newer one stops the member. */
const recordVersion = 1;

interface MemberRecord extends Omit<Member, 'id'> {
  readonly version: number;
  /** In hexadecimal, as JSON has no 64-bit integers. */
  readonly id: string;
}

function encodeMember(member: Member): Uint8Array {
  const record: MemberRecord = {
    version: recordVersion,
    ...member,
    id: member.id.toString(16),
  };
  return utf8(JSON.stringify(record));
}

function decodeMember(bytes: Uint8Array): Member {
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
