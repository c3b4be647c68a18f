/**
 * Who a member is and with whom it founds its cluster: from its flags, or from its data directory.
 */
import { clusterIdOf, idToString, memberIdOf } from '../cluster/identity.ts';
import type { Member } from '../cluster/membership.ts';
import type { Config } from '../config/schema.ts';
import { checkBootstrap } from '../config/validate.ts';

export interface Identity {
  readonly memberId: bigint;
  readonly clusterId: bigint;
}

/** The flags that say with whom a cluster is founded. */
export type FoundingFlags = Pick<
  Config,
  'name' | 'initialCluster' | 'initialAdvertisePeerUrls' | 'clusterToken'
>;

export interface Founders extends Identity {
  readonly members: readonly Member[];
}

/** @throws Error in etcd's words if the flags contradict each other */
export function foundersOf(config: FoundingFlags): Founders {
  const problem = checkBootstrap(config);
  if (problem !== undefined) throw new Error(problem);
  const members = membersOf(config);
  const self = members.find(({ name }) => name === config.name);
  if (self === undefined) throw new Error(`${config.name} is not in --initial-cluster`);
  return { memberId: self.id, clusterId: clusterIdOf(members.map(({ id }) => id)), members };
}

/**
 * The founders of the cluster that a directory was made for, but that it does not know yet.
 * @throws Error if the flags describe another one
 */
export function foundersFor(identity: Identity, config: Config): Founders {
  const founders = foundersOf(config);
  const { memberId, clusterId } = founders;
  if (memberId === identity.memberId && clusterId === identity.clusterId) return founders;
  throw new Error(
    `the data directory ${config.dataDir} was made for member ${idToString(identity.memberId)} ` +
      `of cluster ${idToString(identity.clusterId)}, whose first start did not get far: start it ` +
      'with the same --initial-cluster flags, or remove the directory',
  );
}

function membersOf(config: Pick<Config, 'initialCluster' | 'clusterToken'>): readonly Member[] {
  return config.initialCluster.map(({ name, peerUrls }) => ({
    id: memberIdOf(peerUrls, config.clusterToken),
    name,
    peerUrls,
    clientUrls: [],
    isLearner: false,
  }));
}

/**
 * A member that has started before is who its directory says it is; like etcd, it does not need
 * the founding flags again. But flags that found a whole other cluster show that this is the wrong
 * directory.
 * @throws Error if they do
 */
export function checkIdentity(stored: Identity, config: Config): void {
  if (config.initialCluster.length < 2 || config.clusterState === 'existing') return;
  const members = membersOf(config);
  const clusterId = clusterIdOf(members.map(({ id }) => id));
  // A founder's flags may list the members as they are by now.
  const isFounder = members.some(({ id }) => id === stored.memberId);
  if (clusterId === stored.clusterId || isFounder) return;
  throw new Error(
    `the data directory ${config.dataDir} belongs to cluster ${idToString(stored.clusterId)}, ` +
      `but --initial-cluster and --initial-cluster-token describe cluster ${idToString(clusterId)}`,
  );
}
