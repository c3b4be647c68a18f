import { describe, expect, test } from 'vitest';
import { type Member, type MemberBackend, Membership } from '../../../src/cluster/membership.ts';
import type { StringRange } from '../../../src/storage/keyspace.ts';
import { joinedHash } from '../../../src/mvcc/state-digest.ts';

/** A state database of the members alone. */
class Records implements MemberBackend {
  readonly entries = new Map<string, Uint8Array>();

  put(key: string, value: Uint8Array): void {
    this.entries.set(key, value);
  }

  delete(key: string): void {
    this.entries.delete(key);
  }

  scan(
    { low = '', high = '' }: StringRange,
    _limit: number,
    onEntries: (entries: readonly (readonly [string, Uint8Array])[]) => void,
    done: (error: Error | undefined) => void,
  ): void {
    onEntries([...this.entries].filter(([key]) => key >= low && key < high));
    done(undefined);
  }
}

function load(records: Records): Membership {
  let loaded: Membership | undefined;
  Membership.load(records, (error, membership) => {
    if (error !== undefined) throw error;
    loaded = membership;
  });
  if (loaded === undefined) throw new Error('it does not load at once');
  return loaded;
}

const founder = (id: bigint): Member => ({
  id,
  name: '',
  peerUrls: [`http://127.0.0.1:${id}`],
  clientUrls: [],
  isLearner: false,
});
const attributes = { name: 'one', clientUrls: ['http://127.0.0.1:2379'] };

describe('the hash of the members', () => {
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

test('joined hashes add up lane by lane', () => {
  expect(joinedHash([0x00000001_ffffffffn, 0xffffffff_00000001n])).toBe(0n);
  expect(joinedHash([0x00000001_00000002n, 0x00000003_00000004n])).toBe(0x00000004_00000006n);
});
