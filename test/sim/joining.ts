/** How a member that was added finds out who it is, by the daemon's code over simulated lines. */
import { describeCluster, type Joined, joinOf } from '../../src/daemon/join.ts';
import type { Cluster } from './cluster.ts';
import type { SimMember } from './member.ts';
import { nameAt } from './network.ts';
import type { Process } from './process.ts';

/** A start that came to nothing because the cluster could not be asked, or told of others. */
export class JoinFailure extends Error {
  override readonly name = 'JoinFailure';
}

type Joiner = Pick<SimMember, 'id' | 'name' | 'position'>;

/**
 * Asks the others, by flags that list the members as the operator knows them now.
 * @throws JoinFailure
 */
export async function join(cluster: Cluster, self: Joiner, process: Process): Promise<Joined> {
  const listed = [...(cluster.ledger?.latest.members.values() ?? [])];
  const initialCluster = listed.map(({ peerUrls }) => {
    return { name: nameAt(peerUrls[0] ?? '') ?? '', peerUrls };
  });
  const own = initialCluster.find(({ name }) => name === self.name);
  const flags = {
    name: self.name,
    initialCluster,
    initialAdvertisePeerUrls: own?.peerUrls ?? [],
    maxLearners: cluster.plan.membership?.settings.learnersMax ?? 1,
  };
  try {
    const joined = await joinOf(
      flags,
      (url) => askForCluster(cluster, self, process, url),
      process,
    );
    if (joined.memberId !== self.id) {
      cluster.broken('join', `${self.name} takes itself for ${joined.memberId.toString(16)}`);
    }
    return joined;
  } catch (thrown) {
    throw new JoinFailure(String(thrown));
  }
}

/** Asks one member who belongs to the cluster, over a line that may be cut. */
function askForCluster(
  { scheduler, network, chance, members, id: clusterId }: Cluster,
  self: Joiner,
  process: Process,
  url: string,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    scheduler.after(chance.between(0.2, 5), self.position + 1, () => {
      const member = members.find(({ name }) => name === nameAt(url));
      const identity = { memberId: member?.id ?? 0n, clusterId };
      const { memberId } = identity;
      const cut = network.isCut(self.id, memberId) || network.isCut(memberId, self.id);
      const running = cut || member?.process?.paused === true ? undefined : member?.running;
      const { membership, server } = running ?? {};
      const answer =
        membership && server && describeCluster(identity, server.appliedIndex, membership.list());
      process.deliver(() => {
        if (answer === undefined) reject(new Error('no answer'));
        else resolve(answer);
      });
    });
  });
}
