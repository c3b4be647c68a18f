/** No client, however it behaves or breaks off, may end or wedge a member. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PutRequest, RangeRequest } from '../../src/gen/rpc.ts';
import { KV } from '../../src/gen/services.ts';
import type { ClusterProcess, MemberProcess } from '../support/cluster-process.ts';
import { GrpcClient } from '../support/grpc.ts';
import { startQuorate } from '../support/quorate.ts';
import { unrulyClients } from '../support/unruly-clients.ts';

/** For a run by hand: UNRULY_SEED repeats one, UNRULY_CONNECTIONS makes it longer. */
const seed = Number(process.env['UNRULY_SEED'] ?? Date.now() % 1_000_000);
const connections = Number(process.env['UNRULY_CONNECTIONS'] ?? 1500);
const isVerbose = process.env['UNRULY_VERBOSE'] !== undefined;
const concurrency = 60;
/** Time for members to notice that clients are gone, though the machine may be busy. */
const settleMs = 20_000;
/** Processes grow with use up to a point, some 300 MB; what clients leave would go beyond it. */
const growthBytes = 450 * 1024 * 1024;
const hasProc = process.platform === 'linux';

let cluster: ClusterProcess;

beforeAll(async () => {
  const flags = ['--grpc-keepalive-interval=2s', '--grpc-keepalive-timeout=1s'];
  cluster = await startQuorate({ members: 3, flags });
});
afterAll(() => cluster.stop());

/** Sockets that a process has open. */
async function sockets({ pid }: MemberProcess): Promise<number> {
  const directory = `/proc/${pid}/fd`;
  const links = await Promise.all(
    (await readdir(directory)).map((fd) => readlink(`${directory}/${fd}`).catch(() => '')),
  );
  return links.filter((link) => link.startsWith('socket:')).length;
}

async function residentBytes({ pid }: MemberProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return 1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
}

/** Lines of stack traces, and what is logged of faults of our own. */
async function faults({ logPath }: MemberProcess): Promise<string[]> {
  const lines = (await readFile(logPath, 'utf8')).split('\n');
  return lines.filter((line) => /^\s+at |"level":"(error|fatal)"|Warning:|\\n\s+at /.test(line));
}

async function writes(member: MemberProcess): Promise<void> {
  const client = new GrpcClient(member.address);
  try {
    const key = Buffer.from(`after/${member.name}`);
    await client.unary(KV.methods.put, PutRequest.create({ key, value: key }));
    const { kvs } = await client.unary(KV.methods.range, RangeRequest.create({ key }));
    expect(kvs.map(({ value }) => Buffer.from(value))).toEqual([key]);
  } finally {
    client.close();
  }
}

interface Footprint {
  readonly sockets: number;
  readonly residentBytes: number;
}

async function footprint(member: MemberProcess): Promise<Footprint> {
  return { sockets: await sockets(member), residentBytes: await residentBytes(member) };
}

const portOf = (url: string): number => Number(new URL(url).port);

describe('unruly clients', () => {
  test(
    `end and wedge no member (seed ${seed})`,
    { timeout: 10 * connections + 60_000 },
    async () => {
      const { members } = cluster;
      for (const member of members) await writes(member);
      const before = hasProc ? await Promise.all(members.map(footprint)) : [];
      const clientPorts = members.map(({ clientUrl }) => portOf(clientUrl));
      const peerPorts = members.map(({ peerUrl }) => portOf(peerUrl));
      // The peer ports first: they need the longest to notice that clients are gone.
      for (const ports of [peerPorts, [...peerPorts, ...clientPorts], clientPorts]) {
        const share = Math.ceil(connections / 3);
        const counts = await unrulyClients({ seed, ports, connections: share, concurrency });
        if (isVerbose) console.log(seed, counts);
      }
      for (const member of members) {
        expect(member.endings, member.name).toEqual([]);
        await member.ready();
        await writes(member);
        expect(await faults(member), member.name).toEqual([]);
      }
      for (const [i, earlier] of before.entries()) {
        const member = members[i] as MemberProcess;
        const until = Date.now() + settleMs;
        while ((await sockets(member)) > earlier.sockets && Date.now() < until) await delay(100);
        const now = await footprint(member);
        if (isVerbose) console.log(member.name, earlier, now);
        expect(now.sockets, member.name).toBeLessThanOrEqual(earlier.sockets);
        expect(now.residentBytes, member.name).toBeLessThan(earlier.residentBytes + growthBytes);
      }
    },
  );

  test(`do not hinder members that stop (seed ${seed})`, { timeout: 60_000 }, async () => {
    const { members } = cluster;
    const ports = members.flatMap(({ clientUrl, peerUrl }) => [portOf(clientUrl), portOf(peerUrl)]);
    const clients = unrulyClients({ seed, ports, connections: 600, concurrency });
    await delay(500);
    const exits = members.map(({ process: child }) => once(child as ChildProcess, 'exit'));
    await Promise.all(members.map((member) => member.stop()));
    for (const [i, exit] of exits.entries()) expect(await exit, `m${i + 1}`).toEqual([0, null]);
    await clients;
    for (const member of members) expect(await faults(member), member.name).toEqual([]);
  });
});
