/** What operators and clients see of a member while the others are to repair it. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { StatusCode } from '../../src/base/errors.ts';
import { HealthCheckRequest, ServingStatus } from '../../src/gen/health.ts';
import { PutRequest, RangeRequest, WatchCreateRequest } from '../../src/gen/rpc.ts';
import { Health, KV, Watch } from '../../src/gen/services.ts';
import { utf8 } from '../../src/base/bytes.ts';
import type { MemberProcess } from '../support/cluster-process.ts';
import { GrpcClient } from '../support/grpc.ts';
import { metricIn, metricsOf } from '../support/member-metrics.ts';
import { startQuorate } from '../support/quorate.ts';

const repairMs = 20_000;

async function get(member: MemberProcess, path: string): Promise<string> {
  const response = await fetch(member.clientUrl + path);
  return `${response.status} ${(await response.text()).trim()}`;
}

test('a member that is repaired says so, and serves once it is', async () => {
  const cluster = await startQuorate({ members: 3 });
  const [victim, ...others] = cluster.members as [MemberProcess, MemberProcess, MemberProcess];
  const clients: GrpcClient[] = [];
  const clientOf = (member: MemberProcess): GrpcClient => {
    const client = new GrpcClient(member.address);
    clients.push(client);
    return client;
  };
  try {
    const put = PutRequest.create({ key: utf8('k'), value: utf8('v') });
    await clientOf(victim).unary(KV.methods.put, put);
    for (const member of cluster.members) await member.stop();
    writeFileSync(join(victim.dataDir, 'log', 'CURRENT'), 'garbage');
    await victim.start();
    await vi.waitUntil(() => get(victim, '/livez').catch(() => undefined), repairMs);

    const why = 'this member gets back from the others what it lost';
    expect(await get(victim, '/livez')).toBe('200 ok');
    const ill = `503 {"health":"false","reason":"REPAIRING: ${why}"}`;
    expect(await get(victim, '/health')).toBe(ill);
    expect(await get(victim, '/health?serializable=true')).toBe(ill);
    expect(await get(victim, '/readyz')).toContain(`[-]linearizable_read failed: ${why}`);
    const metrics = await metricsOf(victim);
    expect(metricIn(metrics, 'quorate_server_repairing')).toBe('1');

    const client = clientOf(victim);
    const refusal = { code: StatusCode.unavailable, details: 'etcdserver: no leader' };
    const range = RangeRequest.create({ key: utf8('k'), serializable: true });
    await expect(client.unary(KV.methods.range, range)).rejects.toMatchObject(refusal);
    await expect(client.unary(KV.methods.put, put)).rejects.toMatchObject(refusal);
    const create = WatchCreateRequest.create({ key: utf8('k') });
    const watch = client.bidirectional(Watch.methods.watch);
    watch.send({ requestUnion: { case: 'createRequest', value: create } });
    await expect(watch.next()).rejects.toMatchObject(refusal);
    const whole = HealthCheckRequest.create();
    expect(await client.unary(Health.methods.check, whole)).toEqual({
      status: ServingStatus.notServing,
    });
    const health = client.serverStream(Health.methods.watch, whole);
    expect(await health.next()).toEqual({ status: ServingStatus.notServing });

    for (const member of others) await member.start();
    expect(await health.next(repairMs)).toEqual({ status: ServingStatus.serving });
    const { kvs } = await client.unary(KV.methods.range, range);
    expect(kvs.map(({ value }) => Buffer.from(value).toString())).toEqual(['v']);
    expect(await get(victim, '/health')).toBe('200 {"health":"true","reason":""}');
    const repairing = async (): Promise<boolean> =>
      metricIn(await metricsOf(victim), 'quorate_server_repairing') === '0';
    await vi.waitUntil(repairing, repairMs);
  } finally {
    for (const client of clients) client.close();
    await cluster.stop();
  }
}, 90_000);

test('a member that waits for its repair stops when it is told to', async () => {
  const cluster = await startQuorate({ members: 3, mayEnd: true });
  try {
    const [victim] = cluster.members as [MemberProcess];
    for (const member of cluster.members) await member.stop();
    writeFileSync(join(victim.dataDir, 'log', 'CURRENT'), 'garbage');
    await victim.start();
    await vi.waitUntil(() => get(victim, '/livez').catch(() => undefined), repairMs);
    const { process } = victim;
    if (process === undefined) throw new Error('it is down');
    const exit = once(process, 'exit');
    process.kill('SIGTERM');
    expect(await exit).toEqual([0, null]);
  } finally {
    await cluster.stop();
  }
}, 60_000);
