/** Our server and etcd's, for tests that both pass. */
import { etcdMissing, etcdVersion, startEtcd } from './etcd.ts';
import { startQuorate } from './quorate.ts';

export const quorateServer = { name: 'Quorate', start: startQuorate, isThere: true };

/** Its name says why its tests are skipped, if they are. */
export const etcdServer = {
  name: `etcd${etcdMissing}`,
  start: startEtcd,
  isThere: etcdVersion !== undefined,
};

export const servers = [quorateServer, etcdServer];
