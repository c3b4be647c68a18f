/**
 * Downgrade of a cluster by one minor version (etcd: server/etcdserver/version). There is no older
 * release of this server that could take over, so a job that was begun stays until it is canceled:
 * members go on in the version they have, and say in their status where the cluster is to go.
 */
import type { Outcome } from '../apply/applier.ts';
import type { Command } from '../apply/request.ts';
import { EtcdError } from '../base/errors.ts';
import type { DowngradeInfo } from '../cluster/downgrade.ts';
import { DowngradeAction, type DowngradeRequest } from '../gen/rpc.ts';

export interface DowngradeBackend {
  /** What all members understand, as `3.6.0`. */
  readonly clusterVersion: string;
  readonly downgradeInfo: DowngradeInfo;
  request(command: Command): Promise<Outcome>;
  linearizableRead(): Promise<void>;
}

/**
 * Resolves to the cluster's version in short, `3.6`.
 * @throws EtcdError `downgradeVersionFormat`, `downgradeVersion`, `downgradeInProgress`,
 * `unknownMethod`, or why there was no agreement
 */
export async function downgrade(
  backend: DowngradeBackend,
  { action, version }: DowngradeRequest,
): Promise<string> {
  switch (action) {
    case DowngradeAction.validate:
      await validate(backend, version);
      break;
    case DowngradeAction.enable: {
      const ver = await validate(backend, version);
      await backend.request({ case: 'downgradeInfoSet', value: { enabled: true, ver } });
      break;
    }
    case DowngradeAction.cancel:
      await cancel(backend);
      break;
    default:
      throw new EtcdError('unknownMethod');
  }
  return minorOf(backend.clusterVersion).join('.');
}

/** The target as etcd records it: a patch release is that of its minor version. */
async function validate(backend: DowngradeBackend, version: string): Promise<string> {
  const target = parseVersion(version) ?? parseVersion(`${version}.0`);
  if (target === undefined) throw new EtcdError('downgradeVersionFormat');
  await backend.linearizableRead();
  const [major, minor] = minorOf(backend.clusterVersion);
  if (target[0] !== major || target[1] !== minor - 1) throw new EtcdError('downgradeVersion');
  if (backend.downgradeInfo.enabled) throw new EtcdError('downgradeInProgress');
  return `${target.join('.')}.0`;
}

/**
 * Without a job it is done at once: etcd keeps its `no inflight downgrade job` to itself. It does
 * the same when there was no agreement, and then the job goes on: that is told here.
 */
async function cancel(backend: DowngradeBackend): Promise<void> {
  await backend.linearizableRead();
  if (!backend.downgradeInfo.enabled) return;
  await backend.request({ case: 'downgradeInfoSet', value: { enabled: false, ver: '' } });
}

type Minor = readonly [major: number, minor: number];

function minorOf(version: string): Minor {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return [major, minor];
}

/** Three numbers, then perhaps a pre-release and metadata, as etcd's parser reads versions. */
function parseVersion(text: string): Minor | undefined {
  const pattern = /^(\d+)\.(\d+)\.\d+(?:-[0-9A-Za-z-.]+)?(?:\+[0-9A-Za-z-.]+)?$/;
  const [, major, minor] = pattern.exec(text) ?? [];
  return major === undefined || minor === undefined ? undefined : [Number(major), Number(minor)];
}
