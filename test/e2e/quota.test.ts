/** A quota that is used up, and what an operator's day looks like then: nothing is done by hand. */
import { afterEach, expect, test } from 'vitest';
import { prefixEnd } from '../../src/client/range-end.ts';
import { AlarmType, Client } from '../../src/client/index.ts';
import { StatusCode } from '../../src/base/errors.ts';
import { utf8 } from '../../src/base/bytes.ts';
import { runCommand } from '../support/command.ts';
import type { ClusterProcess } from '../support/cluster-process.ts';
import { hasEtcdctl } from '../support/etcd.ts';
import { kvctlPath, startQuorate } from '../support/quorate.ts';
import { metric } from '../support/writers.ts';

const quotaBytes = Number(process.env['QUORATE_QUOTA_BYTES'] ?? 4 * 1024 * 1024);
const valueBytes = 64 * 1024;

let cluster: ClusterProcess | undefined;
let client: Client | undefined;

afterEach(async () => {
  await client?.close();
  await cluster?.stop();
  client = undefined;
  cluster = undefined;
});

/** The exit code and what was said. */
async function kvctl(endpoint: string, ...args: string[]): Promise<string> {
  const all = [kvctlPath, '--endpoints', endpoint, ...args];
  const { stdout, stderr, code } = await runCommand(process.execPath, all);
  return `${code} ${stdout.toString()}${stderr}`;
}

async function etcdctl(endpoint: string, ...args: string[]): Promise<string> {
  const environment = { ETCDCTL_API: '3', ETCDCTL_ENDPOINTS: endpoint };
  const { stdout, stderr, code } = await runCommand('etcdctl', args, { environment });
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

/** A state that is full; it is freed step by step, each at another member. */
interface Full {
  readonly addresses: readonly string[];
  readonly on: Client;
  /** Keys that were written before the state was full. */
  readonly written: number;
}

async function freeWithClient({ addresses, on, written }: Full): Promise<void> {
  const [address = ''] = addresses;
  const { alarms } = await on.alarms();
  expect(alarms.map(({ alarm }) => alarm)).toContain(AlarmType.nospace);
  expect(await health(address)).toBe('503 {"health":"false","reason":"ALARM NOSPACE"}');
  const { errors, dbSize, dbSizeQuota } = await on.status(address);
  expect(errors).toContain(`memberID:${alarms[0]?.memberId} alarm:NOSPACE `);
  expect(dbSizeQuota).toBe(quotaBytes);
  expect(dbSize).toBeGreaterThan(quotaBytes - 2 * valueBytes);
  expect(dbSize).toBeLessThan(quotaBytes + 2 * valueBytes);
  await expect(on.grant(60)).rejects.toMatchObject({ code: StatusCode.resourceExhausted });
  // What etcd looks at first where there is room is looked at first here in any case.
  await expect(on.put('', Buffer.alloc(valueBytes))).rejects.toMatchObject({
    code: StatusCode.invalidArgument,
    message: 'etcdserver: key is not provided',
  });

  // Reads and deletes are served; space is free when history is compacted.
  expect((await on.get('fill/0'))?.value.length).toBe(valueBytes);
  const { header, deleted } = await on.delete({ key: 'fill/', rangeEnd: prefixEnd('fill/') });
  expect(deleted).toBe(written);
  await expect(on.put('early', utf8('x'))).rejects.toMatchObject({
    code: StatusCode.resourceExhausted,
  });
  await on.compact(header?.revision ?? 0);
  await expect.poll(async () => (await on.alarms()).alarms, { timeout: 5_000 }).toEqual([]);
  await on.put('late', utf8('x'));
  for (const each of addresses) {
    await expect.poll(() => health(each)).toBe('200 {"health":"true","reason":""}');
  }
}

async function freeWith(run: typeof kvctl, { addresses, on, written }: Full): Promise<void> {
  const [first = '', second = '', third = ''] = addresses;
  expect(await run(third, 'put', 'early', 'x')).toMatch(
    /^1 .*Error: etcdserver: mvcc: database space exceeded\n$/s,
  );
  expect(await run(first, 'alarm', 'list')).toMatch(/^0 (memberID:\d+ alarm:NOSPACE \n)+$/);
  expect(await run(second, 'get', 'fill/1', '--keys-only')).toMatch(/^0 fill\/1\n/);
  expect(await run(second, 'del', 'fill/', '--prefix')).toBe(`0 ${written}\n`);
  const revision = (await on.range({ key: 'fill/' })).header?.revision ?? 0;
  expect(await run(third, 'compaction', `${revision}`)).toBe(`0 compacted revision ${revision}\n`);
  await expect.poll(() => run(first, 'alarm', 'list'), { timeout: 10_000 }).toBe('0 ');
  expect(await run(second, 'put', 'late', 'x')).toBe('0 OK\n');
}

test('a full cluster serves deletes and compactions, and then writes, by itself', async () => {
  cluster = await startQuorate({
    members: 3,
    flags: [`--quota-backend-bytes=${quotaBytes}`],
  });
  const { addresses } = cluster;
  client = new Client({ endpoints: addresses });
  const limit = Math.floor(quotaBytes / valueBytes);

  const ways = [freeWithClient, (full: Full) => freeWith(kvctl, full)];
  if (hasEtcdctl) ways.push((full) => freeWith(etcdctl, full));
  for (const free of ways) {
    const written = await fill(client);
    expect(written).toBeGreaterThan(limit / 2);
    expect(written).toBeLessThanOrEqual(limit);
    await free({ addresses, on: client, written });
  }

  for (const member of cluster.members) {
    expect(await metric(member, 'etcd_server_quota_backend_bytes')).toBe(quotaBytes);
    expect(await metric(member, 'etcd_mvcc_db_total_size_in_bytes')).toBeLessThan(valueBytes);
  }
  expect(await kvctl(addresses[0] ?? '', 'defrag', '--cluster')).toMatch(
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
    /^128 .* tells who leads.*\nError: no leader endpoint given at \[http:/,
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
