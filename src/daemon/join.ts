/**
 * Who a member is that was added to a cluster: it asks the others, as only they know its id and
 * that of the cluster (etcd: GetClusterFromRemotePeers, ValidateClusterAndAssignIDs).
 */
import type { Clock } from '../base/clock.ts';
import { EtcdError } from '../base/errors.ts';
import { idToString } from '../cluster/identity.ts';
import type { Member } from '../cluster/membership.ts';
import type { Config } from '../config/schema.ts';
import { checkBootstrap } from '../config/validate.ts';
import { MemberListResponse } from '../gen/rpc.ts';
import type { Identity } from './founders.ts';

/** One that has just been added may be known to some members only. */
const tryForMs = 5_000;
const retryMs = 200;

export type JoinFlags = Pick<
  Config,
  'name' | 'initialCluster' | 'initialAdvertisePeerUrls' | 'maxLearners'
>;

export interface Joined extends Identity {
  readonly members: readonly Member[];
}

/** What a member tells of its cluster; undefined if it has no state yet. */
export function describeCluster(
  identity: Identity,
  appliedIndex: number,
  members: readonly Member[],
): Uint8Array | undefined {
  const isPart = members.some(({ id }) => id === identity.memberId);
  if (appliedIndex === 0 || !isPart) return undefined;
  const { clusterId, memberId } = identity;
  return MemberListResponse.encode({
    header: { clusterId, memberId, revision: 0, raftTerm: 0 },
    members: members.map((member) => ({
      ...member,
      peerUrls: [...member.peerUrls],
      clientUrls: [...member.clientUrls],
    })),
  });
}

/**
 * Finds this member among those of the cluster.
 *
 * @param ask for what {@link describeCluster} makes, by peer URL
 * @throws Error in etcd's words
 */
export async function joinOf(
  flags: JoinFlags,
  ask: (url: string) => Promise<Uint8Array>,
  clock: Clock,
): Promise<Joined> {
  const problem = checkBootstrap(flags);
  if (problem !== undefined) throw new Error(problem);
  const others = flags.initialCluster.filter(({ name }) => name !== flags.name);
  const urls = others.flatMap(({ peerUrls }) => peerUrls);
  const endMs = clock.monotonicMs() + tryForMs;
  for (;;) {
    let failure = new Error(
      'cannot fetch cluster info from peer urls: ' +
        'could not retrieve cluster information from the given URLs',
    );
    for (const url of urls) {
      const answer = await ask(url).catch((error: unknown) => {
        failure.message += `; ${url}: ${(error as Error).message}`;
        return undefined;
      });
      if (answer === undefined) continue;
      const joined = joinedFrom(flags, answer);
      if (!(joined instanceof Error)) return joined;
      failure = joined;
    }
    if (clock.monotonicMs() >= endMs) throw failure;
    await new Promise<void>((resolve) => {
      clock.after(retryMs, resolve);
    });
  }
}

function joinedFrom(flags: JoinFlags, answer: Uint8Array): Joined | Error {
  const { header, members } = MemberListResponse.decode(answer);
  const clusterId = header?.clusterId ?? 0n;
  const listed = members.map(({ id, peerUrls }) => `${idToString(id)}=${peerUrls.join(',')}`);
  const wrong = (how: string): Error =>
    new Error(
      `error validating peerURLs {ClusterID:${idToString(clusterId)} ` +
        `Members:[${listed.join(' ')}]}: ${how}`,
    );
  if (members.length !== flags.initialCluster.length) return wrong('member count is unequal');
  let memberId: bigint | undefined;
  for (const { id, peerUrls } of members) {
    const known = flags.initialCluster.find((each) => areEqual(each.peerUrls, peerUrls));
    if (known === undefined) {
      const what = `${idToString(id)}, [${peerUrls.join(' ')}]`;
      return wrong(`PeerURLs: no match found for existing member (${what})`);
    }
    if (known.name === flags.name) memberId = id;
  }
  if (memberId === undefined) return wrong(`none of them is ${flags.name}`);
  const learners = members.filter(({ isLearner }) => isLearner).length;
  if (learners > flags.maxLearners) return new EtcdError('tooManyLearners');
  return { memberId, clusterId, members };
}

function areEqual(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((url) => b.includes(url));
}
