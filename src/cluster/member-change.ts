/**
 * A change of membership as it is logged: Raft's own part says how the quorum changes, and carries
 * this one, from which every member makes the same of its list of members.
 */
import { assert, AssertionFailure, present } from '../base/assert.ts';
import { fromUtf8, utf8 } from '../base/bytes.ts';
import {
  type ConfChange,
  type ConfChangeSingle,
  ConfChangeTransition,
  ConfChangeType,
  noMember,
} from '../raft/index.ts';

export type MemberChange =
  | {
      readonly kind: 'add';
      readonly member: bigint;
      readonly peerUrls: readonly string[];
      readonly isLearner: boolean;
      /** Most learners after the change: the setting of the member that was asked. */
      readonly learnersMax: number;
    }
  | { readonly kind: 'remove'; readonly member: bigint }
  | { readonly kind: 'update'; readonly member: bigint; readonly peerUrls: readonly string[] }
  | { readonly kind: 'promote'; readonly member: bigint };

export interface LoggedMemberChange {
  /** Routes the outcome back to whoever waits for it. */
  readonly request: bigint;
  readonly change: MemberChange;
}

/** The form of what is logged; a newer one stops the member. */
const contextVersion = 1;

interface Context {
  readonly version: number;
  /** Ids are hexadecimal, as JSON has no 64-bit integers. */
  readonly request: string;
  readonly member: string;
  readonly kind: MemberChange['kind'];
  readonly peerUrls?: readonly string[];
  readonly isLearner?: boolean;
  readonly learnersMax?: number;
}

export function encodeMemberChange({ request, change }: LoggedMemberChange): ConfChange {
  const { member, ...rest } = change;
  const context: Context = {
    version: contextVersion,
    request: request.toString(16),
    member: member.toString(16),
    ...rest,
  };
  return {
    transition: ConfChangeTransition.auto,
    changes: [{ type: typeOf(change), member }],
    context: utf8(JSON.stringify(context)),
  };
}

function typeOf(change: MemberChange): ConfChangeType {
  switch (change.kind) {
    case 'add':
      return change.isLearner ? ConfChangeType.addLearner : ConfChangeType.addVoter;
    case 'promote':
      return ConfChangeType.addVoter;
    case 'remove':
      return ConfChangeType.remove;
    case 'update':
      return ConfChangeType.update;
  }
}

/**
 * Undefined for a change of Raft's own, which leaves the members as they are.
 * @throws AssertionFailure for one that this version does not know: to skip it would let this
 * member's list part from the others'
 */
export function decodeMemberChange({ context }: ConfChange): LoggedMemberChange | undefined {
  if (context.length === 0) return undefined;
  const fields = JSON.parse(fromUtf8(context)) as Context;
  assert(fields.version === contextVersion, `change of membership of version ${fields.version}`);
  return { request: BigInt(`0x${fields.request}`), change: changeOf(fields) };
}

function changeOf({ kind, member: id, ...rest }: Context): MemberChange {
  const member = BigInt(`0x${id}`);
  switch (kind) {
    case 'add':
      return {
        kind,
        member,
        peerUrls: present(rest.peerUrls, 'peer URLs of a new member'),
        isLearner: present(rest.isLearner, 'standing of a new member'),
        learnersMax: present(rest.learnersMax, 'the limit of learners'),
      };
    case 'update':
      return { kind, member, peerUrls: present(rest.peerUrls, 'new peer URLs') };
    case 'promote':
    case 'remove':
      return { kind, member };
    default:
      throw new AssertionFailure(
        `the log holds a change of membership unknown to this version: ${String(kind)}`,
      );
  }
}

/** What Raft makes of a change that the members refuse: an entry without effect. */
export function withoutEffect(change: ConfChange): ConfChange {
  const nobody = ({ type }: ConfChangeSingle): ConfChangeSingle => ({ type, member: noMember });
  return { ...change, changes: change.changes.map(nobody) };
}
