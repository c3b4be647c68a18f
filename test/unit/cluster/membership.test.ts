import { describe, expect, test } from 'vitest';
import type { Member, Membership } from '../../../src/cluster/membership.ts';
import {
  decodeMemberChange,
  encodeMemberChange,
  type MemberChange,
} from '../../../src/cluster/member-change.ts';
import { parsePeerUrls } from '../../../src/cluster/peer-urls.ts';
import { mayAddVoter, mayPromote, mayRemoveVoter } from '../../../src/cluster/quorum-check.ts';
import { PEER_PROTOCOL } from '../../../src/base/versions.ts';
import { fromUtf8, utf8 } from '../../../src/base/bytes.ts';
import { decodeConfChange, encodeConfChange, majorityOf } from '../../../src/raft/index.ts';
import { joinedHash } from '../../../src/mvcc/state-digest.ts';
import { add, attributes, foundedBy, founder, load, Records } from '../../support/memberships.ts';

describe('the hash of the members', () => {
  test('leaves out what founders call a member that has not told its name yet', () => {
    // Ids are made of peer URLs alone, so members whose flags differ here found one cluster.
    const [one, two] = [load(new Records()), load(new Records())];
    one.found([{ ...founder(1n), name: 'infra1' }, founder(2n)]);
    two.found([{ ...founder(1n), name: 'node1' }, founder(2n)]);
    expect(one.stateHash).toBe(two.stateHash);
    for (const each of [one, two]) each.setAttributes(1n, attributes);
    expect(one.stateHash).toBe(two.stateHash);
    one.setAttributes(1n, { ...attributes, name: 'other' });
    expect(one.stateHash).not.toBe(two.stateHash);
  });

  test('is equal for equal members, in whatever order they became so', () => {
    const [one, two] = [load(new Records()), load(new Records())];
    expect(one.stateHash).toBe(two.stateHash);
    one.found([founder(1n), founder(2n)]);
    // The same fields in another order.
    const reversed = [founder(2n), founder(1n)].map(
      (member) => Object.fromEntries(Object.entries(member).reverse()) as unknown as Member,
    );
    two.found(reversed);
    expect(one.stateHash).toBe(two.stateHash);
  });

  test('changes with an announcement, and not with the same once more', () => {
    const membership = load(new Records());
    membership.found([founder(1n), founder(2n)]);
    const founded = membership.stateHash;
    membership.setAttributes(1n, attributes);
    const announced = membership.stateHash;
    expect(announced).not.toBe(founded);
    membership.setAttributes(1n, attributes);
    membership.setAttributes(3n, attributes);
    expect(membership.stateHash).toBe(announced);
  });

  test('is the same after a restart', () => {
    const records = new Records();
    const membership = load(records);
    membership.found([founder(1n), founder(2n)]);
    membership.setAttributes(2n, attributes);
    expect(load(records).stateHash).toBe(membership.stateHash);
  });
});

describe('changes', () => {
  test('are refused as etcd refuses them', () => {
    const { membership } = foundedBy(1n, 2n);
    const refusal = (change: MemberChange) => membership.refusalOf(change);
    expect(refusal(add(2n, 'http://x:1'))).toBe('memberIdExists');
    expect(refusal(add(3n, 'http://127.0.0.1:2'))).toBe('peerUrlExists');
    expect(refusal(add(3n, 'http://x:1'))).toBeUndefined();
    membership.apply(add(3n, 'http://x:1', true));
    expect(refusal(add(4n, 'http://y:1', true))).toBe('tooManyLearners');
    expect(refusal(add(4n, 'http://y:1', true, 2))).toBeUndefined();
    expect(refusal({ kind: 'promote', member: 1n })).toBe('memberNotLearner');
    expect(refusal({ kind: 'promote', member: 9n })).toBe('memberNotFound');
    expect(refusal({ kind: 'update', member: 9n, peerUrls: [] })).toBe('memberNotFound');
    expect(refusal({ kind: 'update', member: 1n, peerUrls: ['http://x:1'] })).toBe('peerUrlExists');
    expect(refusal({ kind: 'update', member: 3n, peerUrls: ['http://x:1'] })).toBeUndefined();
    expect(refusal({ kind: 'remove', member: 9n })).toBe('memberNotFound');
  });

  test('never leave a cluster without a voter', () => {
    const { membership } = foundedBy(1n);
    membership.apply(add(2n, 'http://x:1', true));
    expect(membership.refusalOf({ kind: 'remove', member: 1n })).toBe('notEnoughStarted');
    expect(membership.refusalOf({ kind: 'remove', member: 2n })).toBeUndefined();
  });

  test('keep ids of removed members for ever', () => {
    const { membership, records } = foundedBy(1n, 2n);
    const before = membership.stateHash;
    membership.apply({ kind: 'remove', member: 2n });
    for (const each of [membership, load(records)]) {
      expect(each.list().map(({ id }) => id)).toEqual([1n]);
      expect(each.isRemoved(2n)).toBe(true);
      expect(each.removed).toEqual([2n]);
      expect(each.refusalOf(add(2n, 'http://y:1'))).toBe('memberNotFound');
      expect(each.refusalOf({ kind: 'promote', member: 2n })).toBe('memberNotFound');
      expect(each.stateHash).toBe(membership.stateHash);
    }
    expect(membership.stateHash).not.toBe(before);
    const never = foundedBy(1n);
    expect(membership.stateHash).not.toBe(never.membership.stateHash);
  });

  test('leave a learner a learner when its URLs change, and keep what it announced', () => {
    const { membership } = foundedBy(1n);
    membership.apply(add(2n, 'http://x:1', true));
    membership.setAttributes(2n, attributes);
    membership.apply({ kind: 'update', member: 2n, peerUrls: ['http://y:1'] });
    const updated = { id: 2n, ...attributes, peerUrls: ['http://y:1'], isLearner: true };
    expect(membership.get(2n)).toEqual(updated);
    membership.apply({ kind: 'promote', member: 2n });
    expect(membership.get(2n)).toEqual({ ...updated, isLearner: false });
  });

  test.each<MemberChange>([
    add(2n ** 64n - 1n, 'http://x:1', true, 3),
    add(3n, 'http://x:1'),
    { kind: 'update', member: 3n, peerUrls: ['http://x:1', 'http://y:2'] },
    { kind: 'promote', member: 3n },
    { kind: 'remove', member: 3n },
  ])('are logged as they are: $kind', (change) => {
    const logged = { request: 2n ** 63n + 5n, change };
    const bytes = encodeConfChange(encodeMemberChange(logged));
    expect(decodeMemberChange(decodeConfChange(bytes))).toEqual(logged);
  });

  test('of a later version stop the member', () => {
    const change = encodeMemberChange({ request: 1n, change: { kind: 'remove', member: 1n } });
    const context = utf8(fromUtf8(change.context).replace('"version":1', '"version":2'));
    expect(() => decodeMemberChange({ ...change, context })).toThrow('of version 2');
    const unknown = utf8(fromUtf8(change.context).replace('"remove"', '"demote"'));
    expect(() => decodeMemberChange({ ...change, context: unknown })).toThrow(
      'the log holds a change of membership unknown to this version: demote',
    );
  });
});

describe('the witnesses of a member that was added', () => {
  /** Voters that have announced themselves, and others up to `count`. */
  const clusterOf = (
    started: number,
    count = started,
  ): { membership: Membership; records: Records } => {
    const ids = Array.from({ length: count }, (_, i) => BigInt(i + 1));
    const founded = foundedBy(...ids);
    for (const id of ids.slice(0, started)) founded.membership.setAttributes(id, attributes);
    return founded;
  };
  const joiner = 99n;
  const idsOf = (membership: Membership): readonly bigint[] =>
    membership.get(joiner)?.witnesses?.ids ?? [];

  test('are the voters that had started, or all if none had', () => {
    const { membership, records } = clusterOf(2, 3);
    membership.apply(add(50n, 'http://l:1', true));
    membership.setAttributes(50n, attributes);
    membership.apply(add(joiner, 'http://j:1'));
    membership.setAttributes(3n, attributes);
    for (const each of [membership, load(records)]) {
      expect(idsOf(each)).toEqual([1n, 2n]);
      expect(each.stateHash).toBe(membership.stateHash);
    }
    const unknown = clusterOf(0, 2).membership;
    unknown.apply(add(joiner, 'http://j:1', true));
    expect(idsOf(unknown)).toEqual([1n, 2n]);
    expect(unknown.get(1n)?.witnesses).toBeUndefined();
  });

  test('do not depend on what founders are called by their own flags', () => {
    const memberships = ['', 'one'].map((name) => {
      const membership = load(new Records());
      membership.found([{ ...founder(1n), name }, founder(2n)]);
      membership.setProtocol(PEER_PROTOCOL);
      membership.setAttributes(2n, attributes);
      membership.apply(add(joiner, 'http://j:1'));
      return membership;
    });
    expect(memberships.map(idsOf)).toEqual([[2n], [2n]]);
    expect(new Set(memberships.map(({ stateHash }) => stateHash)).size).toBe(1);
  });

  test('are kept only once all members know of them', () => {
    const membership = load(new Records());
    membership.found([founder(1n)]);
    membership.setProtocol(5);
    membership.apply(add(joiner, 'http://j:1'));
    expect(membership.get(joiner)).not.toHaveProperty('witnesses');
    membership.apply(add(98n, 'http://k:1'));
    membership.setProtocol(6);
    membership.apply(add(97n, 'http://l:1'));
    expect(membership.witnessesOf(97n).ids).toContain(1n);
    expect(membership.witnessesOf(98n)).toEqual({ ids: [], spare: 0, removed: [] });
  });

  test('that are removed but missed are told of', () => {
    const { membership } = clusterOf(3);
    membership.apply(add(joiner, 'http://j:1'));
    for (const member of [1n, 2n]) membership.apply({ kind: 'remove', member });
    expect(membership.witnessesOf(joiner)).toEqual({ ids: [2n, 3n], spare: 0, removed: [2n] });
    expect(membership.witnessesOf(3n)).toEqual({ ids: [], spare: 0, removed: [] });
  });

  test('are needed where others cannot do without whom they show to be new', () => {
    const { membership } = clusterOf(1);
    membership.apply(add(2n, 'http://k:1'));
    membership.apply(add(joiner, 'http://j:1'));
    membership.setAttributes(2n, attributes);
    expect(membership.isNeeded(1n)).toBe(true);
    expect(membership.isNeeded(2n)).toBe(false);
    expect(membership.isNeeded(joiner)).toBe(false);
    membership.setAttributes(joiner, attributes);
    expect(membership.isNeeded(1n)).toBe(false);
    // Two of the three that are left have started.
    const more = clusterOf(3).membership;
    more.apply(add(joiner, 'http://j:1'));
    expect(more.isNeeded(1n)).toBe(false);
    more.apply({ kind: 'remove', member: 1n });
    expect(more.isNeeded(2n)).toBe(true);
  });

  test('are forgotten once it has announced itself', () => {
    const { membership } = clusterOf(3);
    membership.apply(add(joiner, 'http://j:1'));
    membership.setAttributes(joiner, attributes);
    expect(membership.get(joiner)).not.toHaveProperty('witnesses');
  });

  test.each([
    [1, [1], [[1], [1]]],
    [2, [1, 2], [[1, 2], [2], [2]]],
    [
      3,
      [1, 2],
      [
        [1, 2, 3],
        [2, 3],
        [2, 3],
      ],
    ],
    [
      4,
      [4, 1, 2],
      [
        [1, 2, 3, 4],
        [1, 2, 3],
        [2, 3],
        [2, 3],
      ],
    ],
  ])('of %i are not missed, as far as may be, when %j are removed', (count, removed, lists) => {
    const { membership, records } = clusterOf(count);
    membership.apply(add(joiner, 'http://j:1'));
    const found = [idsOf(membership)];
    for (const id of removed) {
      membership.apply({ kind: 'remove', member: BigInt(id) });
      found.push(idsOf(membership));
      expect(idsOf(load(records))).toEqual(idsOf(membership));
      expect(load(records).stateHash).toBe(membership.stateHash);
    }
    expect(found.map((ids) => ids.map(Number))).toEqual(lists);
  });

  test('have majorities that meet, however many have been removed between', () => {
    for (let count = 1; count <= 9; count++) {
      const { membership } = clusterOf(count);
      membership.apply(add(joiner, 'http://j:1'));
      const lists = [idsOf(membership)];
      for (let id = 1n; id <= BigInt(count); id++) {
        membership.apply({ kind: 'remove', member: id });
        lists.push(idsOf(membership));
      }
      for (const [at, wider] of lists.entries()) {
        for (const narrower of lists.slice(at)) {
          expect(narrower.every((id) => wider.includes(id))).toBe(true);
          const members = majorityOf(wider.length) + majorityOf(narrower.length);
          expect(members).toBeGreaterThan(wider.length);
        }
      }
    }
  });
});

test('the protocol that members agree on only grows, is hashed, and kept', () => {
  const records = new Records();
  const members = load(records);
  const before = members.stateHash;
  members.setProtocol(3);
  const three = members.stateHash;
  members.setProtocol(4);
  members.setProtocol(3);
  expect(members.protocol).toBe(4);
  expect(new Set([before, three, members.stateHash]).size).toBe(3);
  const again = load(records);
  expect([again.protocol, again.stateHash]).toEqual([4, members.stateHash]);
  expect(() => members.setProtocol(PEER_PROTOCOL + 1)).toThrow('have agreed on protocol');
});

describe('what etcd asks of the members before a change', () => {
  const started = (id: bigint): Member => ({ ...founder(id), name: `m${id}` });
  const learner = (id: bigint): Member => ({ ...started(id), isLearner: true });

  test('a voter is added where those that have started stay a quorum', () => {
    expect(mayAddVoter([started(1n)])).toBe(true);
    expect(mayAddVoter([founder(1n)])).toBe(false);
    expect(mayAddVoter([started(1n), founder(2n)])).toBe(false);
    expect(mayAddVoter([started(1n), started(2n)])).toBe(true);
    expect(mayAddVoter([started(1n), started(2n), founder(3n)])).toBe(false);
    expect(mayAddVoter([started(1n), started(2n), started(3n), founder(4n)])).toBe(true);
    expect(mayAddVoter([started(1n), learner(2n)])).toBe(true);
  });

  test('a voter is removed where those that have started stay a quorum', () => {
    expect(mayRemoveVoter([started(1n)], 1n)).toBe(false);
    expect(mayRemoveVoter([started(1n), started(2n)], 2n)).toBe(true);
    expect(mayRemoveVoter([started(1n), founder(2n)], 1n)).toBe(false);
    expect(mayRemoveVoter([started(1n), founder(2n)], 2n)).toBe(true);
    expect(mayRemoveVoter([started(1n), started(2n), founder(3n)], 1n)).toBe(false);
  });

  test('a learner is promoted where it and those that have started are a quorum', () => {
    expect(mayPromote([started(1n), learner(2n)])).toBe(true);
    expect(mayPromote([started(1n), founder(2n), founder(3n), learner(4n)])).toBe(false);
  });
});

test('peer URLs are scheme, host and port, and sorted', () => {
  expect(parsePeerUrls([' http://b:2 ', 'http://a:1'])).toEqual(['http://a:1', 'http://b:2']);
  expect(parsePeerUrls(['https://[::1]:2380'])).toEqual(['https://[::1]:2380']);
  const wrong = ['', 'a:1', 'http://a', 'http://a:1/', 'http://a:1?x', 'ftp://a:1', 'http://a:x'];
  for (const url of wrong) expect(parsePeerUrls([url])).toBeUndefined();
  expect(parsePeerUrls([])).toBeUndefined();
});

test('joined hashes add up lane by lane', () => {
  expect(joinedHash([0x00000001_ffffffffn, 0xffffffff_00000001n])).toBe(0n);
  expect(joinedHash([0x00000001_00000002n, 0x00000003_00000004n])).toBe(0x00000004_00000006n);
});
