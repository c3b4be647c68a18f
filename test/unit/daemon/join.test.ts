/** Who a member is that was added: what the others say, and what it makes of it. */
import { describe, expect, test } from 'vitest';
import { utf8 } from '../../../src/base/bytes.ts';
import type { Member } from '../../../src/cluster/membership.ts';
import { describeCluster, joinOf, type JoinFlags } from '../../../src/daemon/join.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const member = (id: bigint, url: string, name = `m${id}`, isLearner = false): Member => ({
  id,
  name,
  peerUrls: [url],
  clientUrls: [],
  isLearner,
});
const a = member(1n, 'http://a:1');
const b = member(2n, 'http://b:1', '');
const identity = { memberId: 1n, clusterId: 0xc1n };
const flags: JoinFlags = {
  name: 'b',
  initialAdvertisePeerUrls: ['http://b:1'],
  initialCluster: [
    { name: 'a', peerUrls: ['http://a:1'] },
    { name: 'b', peerUrls: ['http://b:1'] },
  ],
  maxLearners: 1,
};

/** What comes of joining, with the clock. */
async function joined(
  answerOf: (url: string) => Uint8Array | undefined,
  given: JoinFlags = flags,
): Promise<{ memberId?: bigint; clusterId?: bigint; error?: string }> {
  const clock = new VirtualClock();
  const ask = (url: string): Promise<Uint8Array> => {
    const answer = answerOf(url);
    return answer === undefined ? Promise.reject(new Error('refused')) : Promise.resolve(answer);
  };
  let outcome: { memberId?: bigint; clusterId?: bigint; error?: string } | undefined;
  joinOf(given, ask, clock).then(
    ({ memberId, clusterId }) => (outcome = { memberId, clusterId }),
    (error: unknown) => (outcome = { error: (error as Error).message }),
  );
  for (let i = 0; i < 1000 && outcome === undefined; i++) {
    clock.advance(10);
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  }
  return outcome ?? {};
}

const told = (...members: Member[]): Uint8Array | undefined =>
  describeCluster(identity, 5, members);

describe('a member that was added', () => {
  test('learns its id and that of the cluster', async () => {
    expect(await joined(() => told(a, b))).toEqual({ memberId: 2n, clusterId: 0xc1n });
  });

  test('asks others than itself, until one knows it', async () => {
    const urls: string[] = [];
    const outcome = await joined((url) => {
      urls.push(url);
      return urls.length < 3 ? told(a) : told(a, b);
    });
    expect(outcome.memberId).toBe(2n);
    expect(urls).toEqual(['http://a:1', 'http://a:1', 'http://a:1']);
  });

  test('is refused where nobody answers, or another cluster does', async () => {
    expect((await joined(() => undefined)).error).toBe(
      'cannot fetch cluster info from peer urls: could not retrieve cluster information from ' +
        'the given URLs; http://a:1: refused',
    );
    expect((await joined(() => told(a))).error).toBe(
      'error validating peerURLs {ClusterID:c1 Members:[1=http://a:1]}: member count is unequal',
    );
    expect((await joined(() => told(a, member(3n, 'http://c:1')))).error).toContain(
      'PeerURLs: no match found for existing member (3, [http://c:1])',
    );
    const learners = [member(1n, 'http://a:1', 'a', true), member(2n, 'http://b:1', '', true)];
    expect((await joined(() => told(...learners))).error).toBe(
      'etcdserver: too many learner members in cluster',
    );
    const wrong = { ...flags, initialAdvertisePeerUrls: ['http://x:1'] };
    expect((await joined(() => told(a, b), wrong)).error).toContain('--initial-cluster');
    expect((await joined(() => utf8('\x12'))).error).toBeDefined();
  });
});

test('a member without a state, or that is none, tells nothing', () => {
  expect(describeCluster(identity, 0, [a, b])).toBeUndefined();
  expect(describeCluster(identity, 5, [b])).toBeUndefined();
});
