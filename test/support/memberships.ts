/** Lists of members by themselves, over a state database that holds nothing else. */
import { PEER_PROTOCOL } from '../../src/base/versions.ts';
import type { MemberChange } from '../../src/cluster/member-change.ts';
import { type Member, Membership } from '../../src/cluster/membership.ts';
import type { RecordBackend } from '../../src/mvcc/state-backend.ts';
import type { StringRange } from '../../src/storage/keyspace.ts';

/** A state database of the members alone. */
export class Records implements RecordBackend {
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

/** The members that the records name. */
export function load(records: Records): Membership {
  let loaded: Membership | undefined;
  Membership.load(records, (error, membership) => {
    if (error !== undefined) throw error;
    loaded = membership;
  });
  if (loaded === undefined) throw new Error('it does not load at once');
  return loaded;
}

export const founder = (id: bigint): Member => ({
  id,
  name: '',
  peerUrls: [`http://127.0.0.1:${id}`],
  clientUrls: [],
  isLearner: false,
});
export const attributes = { name: 'one', clientUrls: ['http://127.0.0.1:2379'] };

export const add = (
  member: bigint,
  url: string,
  isLearner = false,
  learnersMax = 1,
): MemberChange => ({
  kind: 'add',
  member,
  peerUrls: [url],
  isLearner,
  learnersMax,
});

/** Members that have agreed on the newest protocol. */
export function foundedBy(...ids: bigint[]): { membership: Membership; records: Records } {
  const records = new Records();
  const membership = load(records);
  membership.found(ids.map(founder));
  membership.setProtocol(PEER_PROTOCOL);
  return { membership, records };
}
