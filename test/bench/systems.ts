/** What is measured: clusters of ours and of etcd, and a server that only answers. */
import { fork } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Maintenance } from '../../src/gen/services.ts';
import { type ClusterProcess, type Program, startCluster } from '../support/cluster-process.ts';
import { startEtcd } from '../support/etcd.ts';
import { Connection } from './connection.ts';

export const systemNames = ['ours', 'etcd', 'constant'] as const;
export type SystemName = (typeof systemNames)[number];

export interface System {
  /** `host:port` of the leader. */
  readonly leader: string;
  /** Of another member; undefined if there is none. */
  readonly follower: string | undefined;
  /** URLs of all members, as `etcdctl --endpoints` takes them. */
  readonly endpoints: string;
  readonly pids: readonly number[];
  /** In the same order. */
  readonly names: readonly string[];
  /** Whether it keeps what is put: revisions can be compared then. */
  readonly stores: boolean;
  /** Ends the members and removes their data. */
  stop(): Promise<void>;
}

export interface StartOptions {
  /** Of the repository. */
  readonly root: string;
  readonly members: number;
  /** Where data is kept; the same file system for all. */
  readonly directory: string;
  /** Where profiles of our members go; none without it. */
  readonly profiles?: string | undefined;
}

export function startSystem(name: SystemName, options: StartOptions): Promise<System> {
  if (name === 'constant') return startConstant(options.root);
  return startStore(name, options);
}

/** Those that have members. */
export type MemberSystem = Exclude<SystemName, 'constant'>;

export interface MembersOptions {
  /** Of the repository. */
  readonly root: string;
  readonly members: number;
  /** Where data goes, a directory for each member. */
  readonly directory: string;
  /** Of ours and etcd's alike. */
  readonly flags?: readonly string[];
  /** What Node is told to start a member of ours with. */
  readonly nodeArguments?: (member: string) => readonly string[];
}

export function startMembers(
  name: MemberSystem,
  { root, members, directory, flags = [], nodeArguments }: MembersOptions,
): Promise<ClusterProcess> {
  const cluster = { members, flags, dataDir: (member: string) => join(directory, member) };
  if (name === 'etcd') return startEtcd(cluster);
  return startCluster(quorate(root), {
    ...cluster,
    programOf: (member) => quorate(root, nodeArguments?.(member)),
  });
}

async function startStore(name: MemberSystem, options: StartOptions): Promise<System> {
  const { root, members } = options;
  const profiles = name === 'ours' ? options.profiles : undefined;
  mkdirSync(options.directory, { recursive: true });
  const directory = mkdtempSync(join(options.directory, `${name}-`));
  const removeData = (): void => rmSync(directory, { recursive: true, force: true });
  try {
    const cluster = await startMembers(name, {
      ...{ root, members, directory },
      ...(profiles !== undefined && profiled(profiles)),
    });
    const leader = await leaderOf(cluster.addresses);
    return {
      leader: addressAt(cluster, leader),
      follower: members > 1 ? addressAt(cluster, (leader + 1) % members) : undefined,
      endpoints: cluster.endpoints,
      pids: cluster.members.map(({ pid }) => pid ?? 0),
      names: cluster.members.map(({ name }, i) => (i === leader ? `${name}-leader` : name)),
      stores: true,
      stop: async () => {
        await cluster.stop();
        removeData();
        if (profiles !== undefined) renameSync(...leaderProfile(profiles, cluster, leader));
      },
    };
  } catch (error) {
    removeData();
    throw error;
  }
}

const profileName = (member: string): string => `${member}.cpuprofile`;

/** Name of the leader's profile, and one that says that it is the leader's. */
function leaderProfile(
  directory: string,
  { members }: ClusterProcess,
  leader: number,
): [string, string] {
  const name = members[leader]?.name ?? '';
  return [profilePath(directory, name), profilePath(directory, `${name}-leader`)];
}

/** Where the profile of a member is, once it has ended; by its name in {@link System}. */
export function profilePath(directory: string, member: string): string {
  return join(directory, profileName(member));
}

/** Members whose waiting is no work: a profile could not tell staying awake from it. */
const profiled = (directory: string): Pick<MembersOptions, 'flags' | 'nodeArguments'> => ({
  flags: ['--busy-poll=false'],
  nodeArguments: (member) => [
    '--cpu-prof',
    `--cpu-prof-dir=${directory}`,
    `--cpu-prof-name=${profileName(member)}`,
  ],
});

/** As users start it, unless Node is told something else. */
function quorate(root: string, nodeArguments: readonly string[] = []): Program {
  return {
    name: 'quorate',
    command: process.execPath,
    arguments: [...nodeArguments, join(root, 'bin', 'quorate.js')],
  };
}

const addressAt = (cluster: ClusterProcess, index: number): string =>
  cluster.addresses[index] ?? '';

/** Position of the leader among the members. */
export async function leaderOf(addresses: readonly string[]): Promise<number> {
  for (const [i, address] of addresses.entries()) {
    const connection = await Connection.open(address);
    try {
      const { header, leader } = await connection.unary(Maintenance.methods.status, {});
      if (header?.memberId === leader) return i;
    } finally {
      connection.close();
    }
  }
  throw new Error('no member says that it is the leader');
}

async function startConstant(root: string): Promise<System> {
  const child = fork(join(root, 'build', 'test', 'bench', 'constant-server.js'));
  const port = await new Promise<unknown>((resolve, reject) => {
    child.once('message', resolve);
    child.once('exit', () => reject(new Error('the constant server has ended')));
  });
  const leader = `127.0.0.1:${String(port)}`;
  return {
    leader,
    follower: undefined,
    endpoints: `http://${leader}`,
    pids: [child.pid ?? 0],
    names: ['constant'],
    stores: false,
    stop: async () => {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill();
      await ended;
    },
  };
}
