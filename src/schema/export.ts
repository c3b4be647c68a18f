/**
 * A member's state as etcd's database: every bucket that etcd has, filled from one consistent view.
 */
import { decodeAlarm } from '../alarm/alarm-store.ts';
import { compareBytes, emptyBytes, fromLatin1, utf8 } from '../base/bytes.ts';
import { CLUSTER_VERSION, STORAGE_VERSION } from '../base/versions.ts';
import { decodeDowngrade, downgradeKey } from '../cluster/downgrade.ts';
import { idToString } from '../cluster/identity.ts';
import { decodeMember, decodeRemovedMember, type Member } from '../cluster/membership.ts';
import { Lease } from '../gen/lease.ts';
import { AlarmMember } from '../gen/rpc.ts';
import { decodeLease } from '../lease/lease.ts';
import { isTombstone, keyValueOf } from '../mvcc/record.ts';
import { mainOf, subOf } from '../mvcc/revision.ts';
import { decodeStoreMeta, storeMetaKey } from '../mvcc/store-meta.ts';
import type { ConfState } from '../raft/index.ts';
import type { BackendEntry, BackendView } from '../storage/backend-view.ts';
import { prefixRange, stateKeys } from '../storage/keyspace.ts';
import {
  buckets,
  clusterKeys,
  encodeLeaseId,
  encodeRevision,
  encodeUint64,
  metaKeys,
} from './buckets.ts';

/** Whom the pairs are given to, bucket by bucket; keys ascend within each. */
export interface BucketWriter {
  beginBucket(name: Uint8Array): void;
  put(key: Uint8Array, value: Uint8Array): void;
  endBucket(): void;
}

type Pair = readonly [key: Uint8Array, value: Uint8Array];

/** Pairs of a bucket in key order, a batch at a time. */
type Pairs = AsyncIterable<readonly Pair[]> | readonly (readonly Pair[])[];

/** Entries of the view in one batch; the engine ends a batch earlier if values are large. */
const entriesPerBatch = 500;

/** What each bucket is filled with. */
const contents: Readonly<
  Record<keyof typeof buckets, (view: BackendView) => Pairs | Promise<Pairs>>
> = {
  alarm: alarmPairs,
  auth: (view) => pairsBelow(view, stateKeys.auth),
  authRoles: (view) => pairsBelow(view, stateKeys.authRole),
  authUsers: (view) => pairsBelow(view, stateKeys.authUser),
  cluster: (view) => [clusterPairs(view)],
  key: keyPairs,
  lease: leasePairs,
  members: memberPairs,
  removedMembers: removedMemberPairs,
  meta: (view) => [metaPairs(view)],
};

/**
 * Gives all pairs to `writer`, and pauses after each batch, so that others get their turn and
 * whoever reads the pages can have them.
 * @throws CorruptionError if a record fails its checksum, or the error of the engine
 */
export async function* exportState(
  view: BackendView,
  writer: BucketWriter,
): AsyncGenerator<void, void, undefined> {
  for (const name of Object.keys(buckets) as (keyof typeof buckets)[]) {
    writer.beginBucket(utf8(buckets[name]));
    for await (const batch of await contents[name](view)) {
      for (const [key, value] of batch) writer.put(key, value);
      yield;
    }
    writer.endBucket();
  }
}

/** Records that are kept as etcd has them, by what follows the prefix. */
async function* pairsBelow(
  view: BackendView,
  prefix: string,
): AsyncGenerator<readonly Pair[], void, undefined> {
  for await (const entries of entriesOf(view, prefix)) {
    yield entries.map(([key, record]) => [fromLatin1(key.slice(prefix.length)), record] as const);
  }
}

async function* alarmPairs(view: BackendView): AsyncGenerator<readonly Pair[], void, undefined> {
  const keys: Uint8Array[] = [];
  for await (const entries of entriesOf(view, stateKeys.alarm)) {
    for (const [, record] of entries) {
      const { memberId, kind } = decodeAlarm(record);
      keys.push(AlarmMember.encode({ memberId, alarm: kind }));
    }
  }
  // Their numbers are packed there, so their order is another one.
  yield keys.sort(compareBytes).map((key) => [key, emptyBytes] as const);
}

async function* keyPairs(view: BackendView): AsyncGenerator<readonly Pair[], void, undefined> {
  for await (const entries of entriesOf(view, stateKeys.revision)) {
    yield entries.map(([key, record]) => {
      const [main, sub] = [mainOf(key), subOf(key)];
      const revision = encodeRevision({ main, sub, tombstone: isTombstone(record) });
      return [revision, keyValueOf(record, sub)] as const;
    });
  }
}

/** Ids come in the order of their unsigned bytes here and there. */
async function* leasePairs(view: BackendView): AsyncGenerator<readonly Pair[], void, undefined> {
  for await (const entries of entriesOf(view, stateKeys.lease)) {
    yield entries.map(([, record]) => {
      const { id, ttlSeconds, remainingSeconds } = decodeLease(record);
      const lease = Lease.encode({ id, ttl: ttlSeconds, remainingTtl: remainingSeconds });
      return [encodeLeaseId(id), lease] as const;
    });
  }
}

async function* memberPairs(view: BackendView): AsyncGenerator<readonly Pair[], void, undefined> {
  const members: Member[] = [];
  for await (const entries of entriesOf(view, stateKeys.member)) {
    for (const [, record] of entries) members.push(decodeMember(record));
  }
  const byKey = members.map((member) => [idToString(member.id), member] as const);
  // Ids have no leading zeros there, so their order is another one.
  byKey.sort(([a], [b]) => (a < b ? -1 : 1));
  yield byKey.map(([key, member]) => [utf8(key), utf8(memberJson(member))]);
}

/** etcd writes the word `removed` for each. */
async function* removedMemberPairs(
  view: BackendView,
): AsyncGenerator<readonly Pair[], void, undefined> {
  const keys: string[] = [];
  for await (const entries of entriesOf(view, stateKeys.removedMember)) {
    for (const [, record] of entries) keys.push(idToString(decodeRemovedMember(record)));
  }
  yield keys.sort().map((key) => [utf8(key), utf8('removed')]);
}

/** Go's JSON of membership.Member; its id is a number of 64 bits. */
function memberJson({ id, name, peerUrls, clientUrls, isLearner }: Member): string {
  const rest = {
    peerURLs: peerUrls,
    ...(isLearner ? { isLearner } : {}),
    ...(name === '' ? {} : { name }),
    ...(clientUrls.length === 0 ? {} : { clientURLs: clientUrls }),
  };
  return `{"id":${id},${JSON.stringify(rest).slice(1)}`;
}

function clusterPairs(view: BackendView): readonly Pair[] {
  const stored = view.get(downgradeKey);
  const info = stored === undefined ? undefined : decodeDowngrade(stored);
  const downgrade = {
    'target-version': info?.targetVersion ?? '',
    enabled: info?.enabled ?? false,
  };
  return [
    [utf8(clusterKeys.version), utf8(CLUSTER_VERSION)],
    [utf8(clusterKeys.downgrade), utf8(JSON.stringify(downgrade))],
  ];
}

function metaPairs(view: BackendView): readonly Pair[] {
  const { index, term, confState } = view.metadata;
  const pairs: Pair[] = [[utf8(metaKeys.confState), utf8(confStateJson(confState))]];
  // etcd has no state without entries.
  if (index > 0) pairs.push([utf8(metaKeys.consistentIndex), encodeUint64(index)]);
  const stored = view.get(storeMetaKey);
  if (stored !== undefined) {
    const { compactedRevision, finishedCompaction } = decodeStoreMeta(stored);
    pairs.push(...compactionPair(metaKeys.finishedCompaction, finishedCompaction));
    pairs.push(...compactionPair(metaKeys.scheduledCompaction, compactedRevision));
  }
  pairs.push([utf8(metaKeys.storageVersion), utf8(STORAGE_VERSION)]);
  if (index > 0) pairs.push([utf8(metaKeys.term), encodeUint64(term)]);
  return pairs;
}

function compactionPair(name: string, revision: number): readonly Pair[] {
  if (revision < 0) return [];
  return [[utf8(name), encodeRevision({ main: revision, sub: 0, tombstone: false })]];
}

/** Go's JSON of raftpb.ConfState. */
function confStateJson(confState: ConfState): string {
  const lists = {
    voters: confState.voters,
    learners: confState.learners,
    voters_outgoing: confState.votersOutgoing,
    learners_next: confState.learnersNext,
  };
  const fields = Object.entries(lists)
    .filter(([, ids]) => ids.length > 0)
    .map(([name, ids]) => `"${name}":[${ids.join(',')}]`);
  return `{${[...fields, `"auto_leave":${confState.autoLeave}`].join(',')}}`;
}

async function* entriesOf(
  view: BackendView,
  prefix: string,
): AsyncGenerator<readonly BackendEntry[], void, undefined> {
  const range = prefixRange(prefix);
  for (let low = range.low; ;) {
    const from = { ...range, ...(low === undefined ? {} : { low }) };
    const entries = await new Promise<readonly BackendEntry[]>((resolve, reject) => {
      view.read(from, entriesPerBatch, (error, read) => {
        if (error === undefined) resolve(read);
        else reject(error);
      });
    });
    const last = entries.at(-1);
    if (last === undefined) return;
    yield entries;
    low = `${last[0]}\0`;
  }
}
