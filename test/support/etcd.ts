/** The original, if this machine has it. */
import { spawnSync } from 'node:child_process';
import {
  type ClusterOptions,
  type ClusterProcess,
  type Program,
  startCluster,
} from './cluster-process.ts';

/** `QUORATE_TEST_ETCD` names another etcd than the one in PATH. */
const command = process.env['QUORATE_TEST_ETCD'] ?? 'etcd';

function findVersion(): string | undefined {
  const { status, stdout } = spawnSync(command, ['--version'], { encoding: 'utf8' });
  return status === 0 ? /etcd Version: (\S+)/.exec(stdout)?.[1] : undefined;
}

/** The version of the etcd that tests compare with; undefined if there is none. */
export const etcdVersion: string | undefined = findVersion();

/** Whether `etcdctl` is there. */
export const hasEtcdctl: boolean = spawnSync('etcdctl', ['version']).status === 0;

/** Whether `etcdctl` is of the same minor version: an etcd starts only from what its own made. */
export const etcdctlFits: boolean = (() => {
  const { stdout } = spawnSync('etcdctl', ['version'], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], ETCDCTL_API: '3' },
  });
  const minorOf = (version = ''): string | undefined => /^\d+\.\d+/.exec(version)?.[0];
  const minor = minorOf(/etcdctl version: (\S+)/.exec(stdout)?.[1]);
  return minor !== undefined && minor === minorOf(etcdVersion);
})();

/** Put into the names of tests that need it, so that a skipped one says why. */
export const etcdMissing: string =
  etcdVersion === undefined ? ' (skipped: there is no etcd in PATH)' : '';

/** Runs real etcd; flags that make it quiet and quick to start are added. */
export function startEtcd(options: ClusterOptions = {}): Promise<ClusterProcess> {
  const program: Program = { name: 'etcd', command, arguments: [] };
  return startCluster(program, {
    ...options,
    environment: { ETCD_UNSUPPORTED_ARCH: process.arch, ...options.environment },
  });
}
