/**
 * Who belongs to the cluster, by member id. Peer URLs come from the start flags of the founders and
 * from changes of membership; a member's name and client URLs from its own logged announcement, so
 * that every member can list all. Ids of removed members are kept for ever, and never used again.
 */
import { assert, present, safeInteger } from '../base/assert.ts';
import { fromUtf8, utf8 } from '../base/bytes.ts';
import type { EtcdErrorName } from '../base/errors.ts';
import { PEER_PROTOCOL, WITNESS_PROTOCOL } from '../base/versions.ts';
import { majorityOf } from '../raft/index.ts';
import type { RecordBackend } from '../mvcc/state-backend.ts';
import { type DigestHalves, digestOf, StateDigest } from '../mvcc/state-digest.ts';
import { prefixRange, stateKeys } from '../storage/keyspace.ts';
import type { MemberChange } from './member-change.ts';

export interface Member {
  readonly id: bigint;
  /** Empty until the member has started once. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
  /** Of one that was added and has not announced itself yet. */
  readonly witnesses?: Witnesses;
}

/**
 * Who shows that a member that was added is new (`founding.ts`): the voters that had started by
 * then, or all voters if none had. That is in the state, so that it is the same however often the
 * member starts anew. Those that are removed later leave it, as long as a majority of those that
 * are left shares a member with any that there was before.
 */
export interface Witnesses {
  readonly ids: readonly bigint[];
  /** How many more of them leave it when they are removed. */
  readonly spare: number;
}

/** What a member tells of another's witnesses; nobody if that one has none. */
export interface KnownWitnesses extends Witnesses {
  /** Those of them that have been removed. */
  readonly removed: readonly bigint[];
}

/** Whether those that are left can still show the member to be new. */
export function areEnough({ ids, spare, removed }: KnownWitnesses): boolean {
  const missed = ids.length - Math.min(spare, removed.length);
  return ids.length - removed.length >= majorityOf(missed);
}

/** What a member says of itself once it has started (etcd: membershippb.Attributes). */
export interface MemberAttributes {
  readonly name: string;
  readonly clientUrls: readonly string[];
}

/** Clusters have few members; a slice holds them all. */
const scanSlice = 256;

export class Membership {
  readonly #backend: RecordBackend;
  readonly #members = new Map<bigint, Member>();
  readonly #removed = new Set<bigint>();
  #protocol = 0;
  /** Of all records, but see {@link hashOf}. */
  readonly #digest = new StateDigest();

  private constructor(backend: RecordBackend) {
    this.#backend = backend;
  }

  /** Reads the members that the state knows; none in a member's first life. */
  static load(
    backend: RecordBackend,
    done: (error: Error | undefined, membership: Membership | undefined) => void,
  ): void {
    const membership = new Membership(backend);
    const scan = (prefix: string, take: (record: Uint8Array) => void, next: () => void): void => {
      const takeAll = (entries: readonly (readonly [string, Uint8Array])[]): void => {
        for (const [, record] of entries) take(record);
      };
      backend.scan(prefixRange(prefix), scanSlice, takeAll, (error) => {
        if (error === undefined) next();
        else done(error, undefined);
      });
    };
    const remember = (record: Uint8Array): void => membership.#remember(decodeMember(record));
    const forget = (record: Uint8Array): void => membership.#forget(decodeRemovedMember(record));
    scan(stateKeys.member, remember, () => {
      scan(stateKeys.removedMember, forget, () => {
        const agree = (record: Uint8Array): void => membership.#agree(decodeProtocol(record));
        scan(protocolKey, agree, () => done(undefined, membership));
      });
    });
  }

  /** Founds the cluster. Every founder does the same, so all begin with equal states. */
  found(members: readonly Member[]): void {
    assert(this.#members.size === 0, 'a cluster is founded once');
    for (const member of members) this.#set(member);
  }

  /** Whether a member with this id was once removed. */
  isRemoved(id: bigint): boolean {
    return this.#removed.has(id);
  }

  get removed(): readonly bigint[] {
    return [...this.#removed].sort((a, b) => (a < b ? -1 : 1));
  }

  get(id: bigint): Member | undefined {
    return this.#members.get(id);
  }

  /** Nobody for a member that has announced itself, founds the cluster, or is none. */
  witnessesOf(id: bigint): KnownWitnesses {
    const { ids, spare } = this.#members.get(id)?.witnesses ?? { ids: [], spare: 0 };
    return { ids, spare, removed: ids.filter((each) => this.#removed.has(each)) };
  }

  /**
   * Whether a voter that has not started could never be shown to be new without this member, and
   * the others could do nothing without that voter.
   */
  isNeeded(id: bigint): boolean {
    const left = this.list().filter((each) => each.id !== id && !each.isLearner);
    const started = left.filter(({ clientUrls }) => clientUrls.length > 0);
    if (started.length >= majorityOf(left.length)) return false;
    return left.some((each) => {
      const { ids, spare, removed } = this.witnessesOf(each.id);
      return ids.includes(id) && !areEnough({ ids, spare, removed: [...removed, id] });
    });
  }

  /** All members, ascending by id. */
  list(): readonly Member[] {
    return [...this.#members.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Equal on members that applied the same entries; a part of the hash of the whole state. */
  get stateHash(): bigint {
    return this.#digest.value;
  }

  /** Both halves of {@link stateHash}. */
  get stateDigest(): DigestHalves {
    return this.#digest;
  }

  /** Applies a member's announcement. One from an unknown member is ignored, as in etcd. */
  setAttributes(id: bigint, attributes: MemberAttributes): void {
    const member = this.#members.get(id);
    if (member === undefined) return;
    const { witnesses: _, ...rest } = member;
    this.#set({ ...rest, name: attributes.name, clientUrls: [...attributes.clientUrls] });
  }

  /** The protocol that all members speak, as far as they have agreed on one; else 0. */
  get protocol(): number {
    return this.#protocol;
  }

  /** From here on all members speak at least `protocol`. It stays: newer ones include it. */
  setProtocol(protocol: number): void {
    if (protocol <= this.#protocol) return;
    this.#agree(protocol);
    this.#backend.put(protocolKey, encodeProtocol(protocol));
  }

  /** Why a change is refused, whoever checks it (etcd: ValidateConfigurationChange). */
  refusalOf(change: MemberChange): EtcdErrorName | undefined {
    const { kind, member: id } = change;
    const member = this.#members.get(id);
    if (this.#removed.has(id)) return 'memberNotFound';
    if (kind === 'add') {
      if (member !== undefined) return 'memberIdExists';
      if (this.#hasUrl(change.peerUrls)) return 'peerUrlExists';
      const { isLearner, learnersMax } = change;
      return isLearner && this.#learnerCount >= learnersMax ? 'tooManyLearners' : undefined;
    }
    if (member === undefined) return 'memberNotFound';
    if (kind === 'promote') return member.isLearner ? undefined : 'memberNotLearner';
    if (kind === 'update') return this.#hasUrl(change.peerUrls, id) ? 'peerUrlExists' : undefined;
    // Nobody would be left to agree on anything; etcd panics.
    const isLastVoter = !member.isLearner && this.#members.size - this.#learnerCount === 1;
    return isLastVoter ? 'notEnoughStarted' : undefined;
  }

  /** Applies a change that is not refused. */
  apply(change: MemberChange): void {
    const { kind, member: id } = change;
    if (kind === 'add') {
      const { peerUrls, isLearner } = change;
      const added = { id, name: '', peerUrls, clientUrls: [], isLearner };
      // Older members would make other bytes of the same entry.
      const isKept = this.#protocol >= WITNESS_PROTOCOL;
      this.#set(isKept ? { ...added, witnesses: this.#witnessesOfNext() } : added);
      return;
    }
    const member = present(this.#members.get(id), 'the member to change');
    if (kind === 'update') this.#set({ ...member, peerUrls: change.peerUrls });
    else if (kind === 'promote') this.#set({ ...member, isLearner: false });
    else {
      this.#forget(id);
      this.#backend.delete(keyOf(stateKeys.member, id));
      this.#backend.put(keyOf(stateKeys.removedMember, id), encodeRemovedMember(id));
      this.#excuse(id);
    }
  }

  #witnessesOfNext(): Witnesses {
    const voters = this.list().filter(({ isLearner }) => !isLearner);
    // Not by their names, which may come from their flags.
    const started = voters.filter(({ clientUrls }) => clientUrls.length > 0);
    const ids = (started.length > 0 ? started : voters).map(({ id }) => id);
    // Majorities of n and of n - 1 meet, and those of n and of n - 2 where n is even.
    return { ids, spare: Math.min(ids.length - 1, ids.length % 2 === 0 ? 2 : 1) };
  }

  /** No member waits for one that was removed, if it needs not. */
  #excuse(removed: bigint): void {
    for (const member of this.list()) {
      const { ids, spare } = this.witnessesOf(member.id);
      if (spare === 0 || !ids.includes(removed)) continue;
      const witnesses = { ids: ids.filter((each) => each !== removed), spare: spare - 1 };
      this.#set({ ...member, witnesses });
    }
  }

  get #learnerCount(): number {
    return this.list().filter(({ isLearner }) => isLearner).length;
  }

  #hasUrl(urls: readonly string[], except?: bigint): boolean {
    const others = this.list().filter(({ id }) => id !== except);
    return others.some(({ peerUrls }) => peerUrls.some((url) => urls.includes(url)));
  }

  #agree(protocol: number): void {
    assert(
      protocol <= PEER_PROTOCOL,
      `the members have agreed on protocol ${protocol}, and this version speaks ${PEER_PROTOCOL}`,
    );
    if (this.#protocol > 0) this.#digest.remove(digestOf(encodeProtocol(this.#protocol)));
    this.#digest.add(digestOf(encodeProtocol(protocol)));
    this.#protocol = protocol;
  }

  #set(member: Member): void {
    this.#remember(member);
    this.#backend.put(keyOf(stateKeys.member, member.id), encodeMember(member));
  }

  #forget(id: bigint): void {
    const before = this.#members.get(id);
    if (before !== undefined) this.#digest.remove(hashOf(before));
    this.#members.delete(id);
    this.#removed.add(id);
    this.#digest.add(digestOf(encodeRemovedMember(id)));
  }

  #remember(member: Member): void {
    const before = this.#members.get(member.id);
    if (before !== undefined) this.#digest.remove(hashOf(before));
    this.#members.set(member.id, member);
    this.#digest.add(hashOf(member));
  }
}

const protocolKey = `${stateKeys.cluster}protocol`;

function keyOf(prefix: string, id: bigint): string {
  return prefix + hex(id).padStart(16, '0');
}

/** The records' format; a newer one stops the member. */
const recordVersion = 1;

/** Ids are in hexadecimal, as JSON has no 64-bit integers. */
interface MemberRecord extends Omit<Member, 'id' | 'witnesses'> {
  readonly version: number;
  readonly id: string;
  readonly witnesses?: { readonly ids: readonly string[]; readonly spare: number };
}

/** Field by field: equal members have equal bytes, of which the hash of the state is made. */
function encodeMember(member: Member): Uint8Array {
  const { id, name, peerUrls, clientUrls, isLearner, witnesses } = member;
  const record: MemberRecord = {
    version: recordVersion,
    id: hex(id),
    name,
    peerUrls,
    clientUrls,
    isLearner,
    ...(witnesses && { witnesses: { ids: witnesses.ids.map(hex), spare: witnesses.spare } }),
  };
  return utf8(JSON.stringify(record));
}

/**
 * Before its announcement a member has the name that each founder's own flags give it: that is no
 * part of what members agree on, and ids are made of peer URLs alone.
 */
function hashOf(member: Member): number {
  const isAnnounced = member.clientUrls.length > 0;
  return digestOf(encodeMember(isAnnounced ? member : { ...member, name: '' }));
}

export function decodeMember(bytes: Uint8Array): Member {
  const record = JSON.parse(fromUtf8(bytes)) as Partial<MemberRecord>;
  assert(record.version === recordVersion, `member record of version ${String(record.version)}`);
  const { witnesses } = record;
  return {
    id: idOf(present(record.id, 'member id')),
    name: present(record.name, 'member name'),
    peerUrls: present(record.peerUrls, 'peer URLs'),
    clientUrls: present(record.clientUrls, 'client URLs'),
    isLearner: present(record.isLearner, 'learner flag'),
    ...(witnesses && { witnesses: { ids: witnesses.ids.map(idOf), spare: witnesses.spare } }),
  };
}

function hex(id: bigint): string {
  return id.toString(16);
}

function idOf(text: string): bigint {
  return BigInt(`0x${text}`);
}

function encodeRemovedMember(id: bigint): Uint8Array {
  return utf8(JSON.stringify({ version: recordVersion, removed: hex(id) }));
}

export function decodeRemovedMember(bytes: Uint8Array): bigint {
  const record = JSON.parse(fromUtf8(bytes)) as { version?: number; removed?: string };
  const version = String(record.version);
  assert(record.version === recordVersion, `record of a removed member of version ${version}`);
  return idOf(present(record.removed, 'id of a removed member'));
}

function encodeProtocol(protocol: number): Uint8Array {
  return utf8(JSON.stringify({ version: recordVersion, protocol }));
}

function decodeProtocol(bytes: Uint8Array): number {
  const record = JSON.parse(fromUtf8(bytes)) as { version?: number; protocol?: number };
  const version = String(record.version);
  assert(record.version === recordVersion, `record of a protocol of version ${version}`);
  return safeInteger(present(record.protocol, 'the protocol of the members'), 'the protocol');
}
