/** A quota that is used up, and what an operator's day looks like then: nothing is done by hand. */
import { afterEach, expect, test } from 'vitest';
import { prefixEnd } from '../../src/client/range-end.ts';
import { Client } from '../../src/client/index.ts';
import { StatusCode } from '../../src/base/errors.ts';
import { utf8 } from '../../src/base/bytes.ts';
import { runCommand } from '../support/command.ts';
import type { ClusterProcess } from '../support/cluster-process.ts';
import { kvctlPath, startQuorate } from '../support/quorate.ts';
import { metric } from '../support/writers.ts';

const quotaBytes = 4 * 1024 * 1024;
const valueBytes = 64 * 1024;

let cluster: ClusterProcess | undefined;
let client: Client | undefined;

afterEach(async () => {
  await client?.close();
  await cluster?.stop();
  client = undefined;
  cluster = undefined;
});

async function kvctl(endpoint: string, ...args: string[]): Promise<string> {
  const { stdout, stderr, code } = await runCommand(
    process.execPath,
    [kvctlPath, '--endpoints', endpoint, ...args],
    {},
  );
  return `${code} ${stdout.toString()}${stderr}`;
}

async function health(endpoint: string): Promise<string> {
  const response = await fetch(`http://${endpoint}/health`);
  return `${response.status} ${(await response.text()).trim()}`;
}

/** Writes until a write is refused; returns how many were not. */
async function fill(on: Client): Promise<number> {
  for (let i = 0; ; i++) {
    try {
      await on.put(`fill/${i}`, Buffer.alloc(valueBytes, i));
    } catch (error) {
      expect(error).toMatchObject({
        code: StatusCode.resourceExhausted,
        message: 'etcdserver: mvcc: database space exceeded',
      });
      return i;
    }
  }
}

test('a full cluster serves deletes and compactions, and then writes, by itself', async () => {
  cluster = await startQuorate({
    members: 3,
    flags: [`--quota-backend-bytes=${quotaBytes}`],
  });
  const { addresses } = cluster;
  const [address = ''] = addresses;
  client = new Client({ endpoints: addresses });
  const limit = Math.floor(quotaBytes / valueBytes);

  for (let round = 0; round < 2; round++) {
    const written = await fill(client);
    expect(written).toBeGreaterThan(limit / 2);
    expect(written).toBeLessThanOrEqual(limit);

    const { alarms } = await client.alarms();
    expect(alarms).toHaveLength(1);
    expect(await health(address)).toBe('503 {"health":"false","reason":"ALARM NOSPACE"}');
    const { errors, dbSize, dbSizeQuota } = await client.status(address);
    expect(errors).toEqual([`memberID:${alarms[0]?.memberId} alarm:NOSPACE `]);
    expect(dbSizeQuota).toBe(quotaBytes);
    expect(dbSize).toBeGreaterThan(quotaBytes - 2 * valueBytes);
    expect(await kvctl(address, 'alarm', 'list')).toBe(`0 ${errors[0]}\n`);
    await expect(client.grant(60)).rejects.toMatchObject({ code: StatusCode.resourceExhausted });

    // Reads and deletes are served; space is free when history is compacted.
    expect((await client.get('fill/0'))?.value.length).toBe(valueBytes);
    const { header, deleted } = await client.delete({ key: 'fill/', rangeEnd: prefixEnd('fill/') });
    expect(deleted).toBe(written);
    await expect(client.put('early', utf8('x'))).rejects.toMatchObject({
      code: StatusCode.resourceExhausted,
    });
    await client.compact(header?.revision ?? 0);
    await expect.poll(async () => (await client?.alarms())?.alarms, { timeout: 5_000 }).toEqual([]);
    await client.put('late', utf8('x'));
    await expect.poll(() => health(address)).toBe('200 {"health":"true","reason":""}');
  }

  for (const member of cluster.members) {
    expect(await metric(member, 'etcd_server_quota_backend_bytes')).toBe(quotaBytes);
    expect(await metric(member, 'etcd_mvcc_db_total_size_in_bytes')).toBeLessThan(valueBytes);
  }
  expect(await kvctl(address, 'defrag', '--cluster')).toMatch(
    /^0 (Finished defragmenting etcd member\[http:\/\/[\d.:]+\]\. took [\d.]+m?s\n){3}$/,
  );
});

test('leadership and a downgrade job are moved about with kvctl', async () => {
  cluster = await startQuorate({ members: 3 });
  const { addresses } = cluster;
  client = new Client({ endpoints: addresses });
  const all = addresses.join(',');
  const { members } = await client.memberList();
  const leader = (await client.status(addresses[0] ?? '')).leader;
  const target = members.find(({ id }) => id !== leader)?.id ?? 0n;
  const [from, to] = [leader.toString(16), target.toString(16)];
  expect(await kvctl(all, 'move-leader', to)).toBe(
    `0 Leadership transferred from ${from} to ${to}\n`,
  );
  const oldLeader = members.find(({ id }) => id === leader)?.clientUrls[0] ?? '';
  expect(await kvctl(oldLeader, 'move-leader', from)).toMatch(
    /^128 Error: no leader endpoint given at \[http:/,
  );
  expect(await kvctl(all, 'move-leader', '404')).toBe(
    '1 Error: etcdserver: bad leader transferee\n',
  );

  expect(await kvctl(all, 'downgrade', 'validate', '3.5')).toBe(
    '0 Downgrade validate success, cluster version 3.6\n',
  );
  expect(await kvctl(all, 'downgrade', 'enable', '3.5.1')).toBe(
    '0 Downgrade enable success, cluster version 3.6\n',
  );
  for (const address of addresses) {
    await expect
      .poll(async () => (await client?.status(address))?.downgradeInfo)
      .toEqual({ enabled: true, targetVersion: '3.5.0' });
  }
  expect(await kvctl(all, 'downgrade', 'enable', '3.5')).toBe(
    '1 Error: etcdserver: cluster has a downgrade job in progress\n',
  );
  expect(await kvctl(all, 'downgrade', 'cancel')).toBe(
    '0 Downgrade cancel success, cluster version 3.6\n',
  );
  expect(await kvctl(all, 'downgrade', 'cancel')).toBe(
    '0 Downgrade cancel success, cluster version 3.6\n',
  );
  expect(await kvctl(all, 'downgrade', 'enable', '3.4')).toBe(
    '1 Error: etcdserver: invalid downgrade target version\n',
  );
  expect(await kvctl(all, 'downgrade', 'enable')).toBe('128 Error: TARGET_VERSION not provided\n');
});
