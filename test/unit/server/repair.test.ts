/** Members of whole clusters whose disks lost something: virtual time, disks in memory. */
import { describe, expect, test } from 'vitest';
import { fromLatin1, utf8 } from '../../../src/base/bytes.ts';
import { PutRequest } from '../../../src/gen/rpc.ts';
import { stateHashOf } from '../../../src/server/state.ts';
import { logKeys, stateKeys } from '../../../src/storage/keyspace.ts';
import type { MemoryDirectory } from '../../../src/storage/memory-directory.ts';
import { VirtualCluster, type VirtualMember } from '../../support/virtual-cluster.ts';

type Damage = (directory: MemoryDirectory) => void;

async function put(cluster: VirtualCluster, first: number, count: number): Promise<void> {
  for (let i = first; i < first + count; i++) {
    await cluster.until(() => cluster.leader !== undefined);
    const value = PutRequest.create({ key: utf8(`k${i % 40}`), value: utf8(`v${i}`) });
    let revision = 0;
    void cluster.leader?.running?.server.request({ case: 'put', value }).then((outcome) => {
      revision = outcome.response?.header?.revision ?? 0;
    });
    await cluster.until(() => revision > 0);
    expect(revision).toBe(i + 2);
  }
}

function hashOf(member: VirtualMember): string | undefined {
  const { running } = member;
  if (running === undefined || running.repairing) return undefined;
  return `${running.store.revision} ${stateHashOf(running)}`;
}

function damagedNames({ directory }: VirtualMember): string[] {
  return directory.names.filter((name) => name.startsWith('damaged-'));
}

/** All members have the same state, of this revision, and vote. */
function agree(cluster: VirtualCluster, revision: number): boolean {
  const [first, ...others] = cluster.members.map(hashOf);
  return first?.startsWith(`${revision} `) === true && others.every((each) => each === first);
}

function stateName(directory: MemoryDirectory): string {
  const names = directory.names.filter((name) => name.startsWith('state-'));
  expect(names).toHaveLength(1);
  return names[0] ?? '';
}

/** Changes the stored value of every key with this prefix, or removes it. */
function rot(name: (directory: MemoryDirectory) => string, prefix: string, remove = false): Damage {
  return (directory) => {
    const disk = directory.disk(name(directory));
    const keys = [...disk.tree.keys()].filter((key) => key.startsWith(prefix));
    expect(keys.length).toBeGreaterThan(0);
    for (const key of keys) {
      disk.rot(fromLatin1(key), (value) => {
        if (remove) return undefined;
        value[value.length >> 1] = (value[value.length >> 1] ?? 0) ^ 1;
        return value;
      });
    }
  };
}

const log = (): string => 'log';

/** What the disk of `stale` had a while ago, in place of what `directory` has now. */
function replace(directory: MemoryDirectory, name: string, pairs: ReadonlyMap<string, Uint8Array>) {
  directory.removeDisk(name);
  const operations = [...pairs].map(([key, value]) => {
    return { type: 'put' as const, key: fromLatin1(key), value };
  });
  directory.disk(name).add(operations, true);
}

function pairsOf(directory: MemoryDirectory, name: string): ReadonlyMap<string, Uint8Array> {
  return new Map([...directory.disk(name).tree.entries()].map(([key, value]) => [key, value]));
}

const damages: readonly (readonly [string, Damage])[] = [
  ['an entry of the log', rot(log, logKeys.entries)],
  ['entries gone from the log', rot(log, logKeys.entries, true)],
  ['its hard state', rot(log, logKeys.hardState)],
  ['its tail', rot(log, logKeys.tail)],
  ['the whole log', (directory) => directory.removeDisk('log')],
  ['revisions of the state', rot(stateName, stateKeys.revision)],
  ['a member in the state', rot(stateName, stateKeys.member)],
  ['the flush record', rot(stateName, stateKeys.flush)],
  ['the mark of the log in the state', rot(stateName, stateKeys.logMark)],
  ['the whole state', (directory) => directory.removeDisk(stateName(directory))],
  [
    'log and state',
    (directory) => {
      directory.removeDisk(stateName(directory));
      directory.removeDisk('log');
    },
  ],
];

async function started(options: ConstructorParameters<typeof VirtualCluster>[0]) {
  const cluster = new VirtualCluster(options);
  await put(cluster, 0, 120);
  await cluster.until(() => agree(cluster, 121));
  // Until the last flush.
  await cluster.pass(500);
  return cluster;
}

describe('a damaged member is repaired from the others', () => {
  const roles = ['follower', 'leader'] as const;
  const logs = [
    ['with the whole log', {}],
    ['after compactions', { snapshotCount: 25, catchUpEntries: 5 }],
  ] as const;

  for (const [index, [name, damage]] of damages.entries()) {
    test.each(logs.flatMap((kind) => roles.map((role) => [...kind, role] as const)))(
      `${name}, %s, $2`,
      async (_kind, options, role) => {
        const cluster = await started({ seed: 100 + index, ...options });
        const victim = cluster.members.find(
          (each) => (each === cluster.leader) === (role === 'leader'),
        ) as VirtualMember;
        victim.crash();
        damage(victim.directory);
        const left = victim.directory.names.includes('log');
        victim.start();
        await cluster.until(() => victim.running !== undefined);
        expect(victim.running?.repairing).toBe(true);
        expect(victim.directory.names.includes('damaged-log-1')).toBe(left);
        await put(cluster, 120, 10);
        await cluster.until(() => agree(cluster, 131));
        expect(victim.running?.repairing).toBe(false);
        await cluster.until(() => damagedNames(victim).length === 0);
        // It goes on from there: after a crash, and as one on whose vote the others depend.
        await cluster.pass(500);
        victim.crash();
        victim.start();
        const other = cluster.members.find((each) => each !== victim) as VirtualMember;
        other.crash();
        await put(cluster, 130, 5);
        other.start();
        await cluster.until(() => agree(cluster, 136));
      },
    );
  }

  test('a log that is older than it was is noticed, though whole', async () => {
    const cluster = await started({ seed: 200 });
    const victim = cluster.members[0] as VirtualMember;
    const before = pairsOf(victim.directory, 'log');
    await put(cluster, 120, 1);
    await cluster.pass(500);
    victim.crash();
    replace(victim.directory, 'log', before);
    victim.start();
    await cluster.until(() => victim.running !== undefined);
    expect(victim.running?.repairing).toBe(true);
    await cluster.until(() => agree(cluster, 122));
  });

  test.each(['log', 'state-0-0'])('the %s of another member is noticed', async (name) => {
    const cluster = await started({ seed: 201 });
    const [victim, other] = cluster.members as [VirtualMember, VirtualMember];
    const foreign = pairsOf(other.directory, name);
    victim.crash();
    replace(victim.directory, name, foreign);
    victim.start();
    await cluster.until(() => victim.running !== undefined);
    expect(victim.running?.repairing).toBe(true);
    await cluster.until(() => agree(cluster, 121));
  });

  test('two of five', async () => {
    const cluster = await started({ seed: 202, members: 5 });
    const victims = cluster.members.filter((each) => each !== cluster.leader).slice(0, 2);
    for (const victim of victims) {
      victim.crash();
      rot(log, logKeys.entries)(victim.directory);
      victim.start();
    }
    await put(cluster, 120, 10);
    await cluster.until(() => agree(cluster, 131));
  });
});

describe('where nobody can give back what is lost', () => {
  test('members that all lost their logs elect nobody', async () => {
    const cluster = await started({ seed: 300 });
    for (const member of cluster.members) {
      member.crash();
      rot(log, logKeys.entries)(member.directory);
      member.start();
    }
    await cluster.pass(60_000);
    expect(cluster.members.map(({ running }) => running?.repairing)).toEqual([true, true, true]);
    expect(cluster.leader).toBeUndefined();
    // What was set aside is kept: it may be the last copy.
    for (const member of cluster.members) expect(damagedNames(member)).toEqual(['damaged-log-1']);
  });

  test('what is damaged again and again is kept, up to a limit', async () => {
    const cluster = await started({ seed: 306, refusals: true });
    const [victim] = cluster.members as [VirtualMember];
    for (const member of cluster.members) member.crash();
    const [first, kept] = [pairsOf(victim.directory, 'log'), 8];
    for (let time = 1; time <= kept; time++) {
      rot(log, logKeys.hardState)(victim.directory);
      const damaged = pairsOf(victim.directory, 'log');
      victim.start();
      await cluster.until(() => victim.running !== undefined);
      expect(damagedNames(victim)).toHaveLength(time);
      expect(pairsOf(victim.directory, `damaged-log-${time}`)).toEqual(damaged);
      victim.crash();
    }
    expect(pairsOf(victim.directory, 'damaged-log-1').size).toBe(first.size);
    rot(log, logKeys.hardState)(victim.directory);
    const names = [...victim.directory.names];
    victim.start();
    await cluster.until(() => victim.refusal !== undefined);
    expect(victim.refusal?.message).toMatch(/cannot be repaired once more: it keeps 8 databases/);
    expect(victim.directory.names).toEqual(names);
  });

  test('a majority that lost its logs waits, until the rest could decide without it', async () => {
    const cluster = await started({ seed: 301 });
    for (const member of cluster.members.slice(0, 2)) {
      member.crash();
      rot(log, logKeys.entries)(member.directory);
      member.start();
    }
    await cluster.pass(60_000);
    expect(cluster.leader).toBeUndefined();
  });

  test('the only member refuses', async () => {
    const cluster = await started({ seed: 302, members: 1, refusals: true });
    const [victim] = cluster.members as [VirtualMember];
    victim.crash();
    const names = [...victim.directory.names];
    rot(log, logKeys.entries)(victim.directory);
    victim.start();
    await cluster.until(() => victim.refusal !== undefined);
    expect(victim.refusal?.message).toMatch(/is damaged: .*fails the checksum.*there are none/);
    expect(victim.directory.names).toEqual(names);
  });

  test('one of two members refuses: the other could not be elected without it', async () => {
    const cluster = await started({ seed: 305, members: 2, refusals: true });
    const [victim] = cluster.members as [VirtualMember];
    victim.crash();
    const names = [...victim.directory.names];
    rot(log, logKeys.entries)(victim.directory);
    victim.start();
    await cluster.until(() => victim.refusal !== undefined);
    expect(victim.refusal?.message).toMatch(/is damaged: .*no majority without this one/);
    expect(victim.directory.names).toEqual(names);
  });

  test('a member that does not know in which terms it voted refuses', async () => {
    const cluster = await started({ seed: 303, refusals: true });
    const [victim] = cluster.members as [VirtualMember];
    victim.crash();
    rot(log, logKeys.entries)(victim.directory);
    victim.directory.termBound = undefined;
    victim.start();
    await cluster.until(() => victim.refusal !== undefined);
    expect(victim.refusal?.message).toMatch(/is damaged: .*in which terms this one has voted/);
    const id = victim.id.toString(16);
    expect(victim.refusal?.message).toContain(`\`etcdctl member remove ${id}\``);
  });
});

test('the bound on the term is restored where the log is whole', async () => {
  const cluster = await started({ seed: 304 });
  const [victim] = cluster.members as [VirtualMember];
  victim.crash();
  victim.directory.termBound = undefined;
  victim.start();
  await cluster.until(() => agree(cluster, 121));
  expect(victim.directory.termBound).toMatchObject({ memberId: victim.id });
});
