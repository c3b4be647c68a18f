/** Members come and go while clients write: real processes. */
import { rm, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Cluster, Maintenance } from '../../src/gen/services.ts';
import type { Member } from '../../src/gen/rpc.ts';
import type { ClusterProcess, MemberProcess } from '../support/cluster-process.ts';
import { CallError, GrpcClient } from '../support/grpc.ts';
import { startQuorate } from '../support/quorate.ts';
import { missingWrites, startWriters } from '../support/writers.ts';

const timeoutMs = 180_000;
const cluster = Cluster.methods;
/** A member counts as connected after 5 s: until then changes are refused. */
const unhealthy = 'etcdserver: unhealthy cluster';

/** Asks until the members are connected for long enough. */
async function whenHealthy<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  for (let tries = 0; ; tries++) {
    try {
      return await ask();
    } catch (error) {
      const isPassing = error instanceof CallError && error.details === unhealthy;
      if (!isPassing || tries > 40) throw error;
      await delay(500);
    }
  }
}

/** Adds a member and starts it on an empty disk. */
async function grow(whole: ClusterProcess, client: GrpcClient): Promise<MemberProcess> {
  const joiner = await whole.joiner();
  const request = { peerUrls: [joiner.peerUrl], isLearner: false };
  const { member, members } = await whenHealthy(() => client.unary(cluster.memberAdd, request));
  const listed = members.map(
    ({ id, name, peerUrls }) => `${id === member?.id ? joiner.name : name}=${peerUrls.join(',')}`,
  );
  const started = joiner.member(listed.join(','));
  await started.start();
  await started.ready();
  return started;
}

async function leaderOf(client: GrpcClient): Promise<bigint> {
  const { leader } = await client.unary(Maintenance.methods.status, {});
  return leader;
}

async function membersOf(client: GrpcClient): Promise<readonly Member[]> {
  const { members } = await client.unary(cluster.memberList, { linearizable: true });
  return members;
}

async function ended(member: MemberProcess): Promise<void> {
  for (let i = 0; i < 100 && member.process !== undefined; i++) await delay(100);
  expect(member.process).toBeUndefined();
}

test(
  '1 to 3 to 5 to 3 members under load, and nothing is lost',
  { timeout: timeoutMs },
  async () => {
    const whole = await startQuorate({ mayEnd: true });
    const first = whole.members[0] as MemberProcess;
    const client = new GrpcClient(first.address);
    try {
      const writers = startWriters([first], 8);
      const all = [first];
      for (let i = 0; i < 4; i++) all.push(await grow(whole, client));
      expect(await membersOf(client)).toHaveLength(5);
      for (let i = 0; i < 2; i++) {
        const members = await membersOf(client);
        const leader = await leaderOf(client);
        // The one that leads, if it is not the one that is written to.
        const gone =
          members.find(({ id, name }) => id === leader && name !== first.name) ??
          members.find(({ name }) => name !== first.name);
        const process = all.find(({ name }) => name === gone?.name) as MemberProcess;
        await whenHealthy(() => client.unary(cluster.memberRemove, { id: gone?.id ?? 0n }));
        await ended(process);
        expect(process.endings).toEqual([{ code: 0, signal: null }]);
        expect(await readFile(process.logPath, 'utf8')).toContain(
          'the member has been permanently removed from the cluster',
        );
        all.splice(all.indexOf(process), 1);
        // With its old data it is told so again.
        await process.start();
        await ended(process);
        expect(process.endings).toHaveLength(2);
        expect(process.endings[1]).toEqual({ code: 0, signal: null });
      }
      await delay(500);
      await writers.stop();
      expect(await membersOf(client)).toHaveLength(3);
      expect(writers.acknowledged.length).toBeGreaterThan(100);
      expect(writers.unknown.length).toBeLessThan(writers.acknowledged.length / 10);
      for (const { address } of all) {
        expect(await missingWrites(address, writers.acknowledged)).toEqual([]);
      }
    } finally {
      client.close();
      await whole.stop();
    }
  },
);

test('a member whose disk was lost is replaced', { timeout: timeoutMs }, async () => {
  const whole = await startQuorate({ members: 3, mayEnd: true });
  const [first, , lost] = whole.members as [MemberProcess, MemberProcess, MemberProcess];
  const client = new GrpcClient(first.address);
  try {
    const writers = startWriters([first], 4);
    // What is under way when a leader is killed is waited for until its time is up.
    await expect.poll(() => writers.acknowledged.length, { timeout: 10_000 }).toBeGreaterThan(10);
    await lost.kill();
    await rm(lost.dataDir, { recursive: true });
    await lost.start();
    await ended(lost);
    expect(await readFile(lost.logPath, 'utf8')).toContain('has already been bootstrapped');
    const id = (await membersOf(client)).find(({ name }) => name === lost.name)?.id ?? 0n;
    await client.unary(cluster.memberRemove, { id });
    const replacement = await grow(whole, client);
    await delay(300);
    await writers.stop();
    const members = await membersOf(client);
    expect(members.map(({ name }) => name).sort()).toEqual(['m1', 'm2', 'm4']);
    expect(members.map((member) => member.id)).not.toContain(id);
    expect(writers.acknowledged.length).toBeGreaterThan(10);
    expect(await missingWrites(replacement.address, writers.acknowledged)).toEqual([]);
  } finally {
    client.close();
    await whole.stop();
  }
});
