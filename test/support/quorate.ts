/** Our server as its users start it: the built program behind bin/quorate.js. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  type ClusterOptions,
  type ClusterProcess,
  type Program,
  startCluster,
} from './cluster-process.ts';

const root = join(import.meta.dirname, '..', '..');
const launcher = join(root, 'bin', 'quorate.js');
/** The launcher of our command line. */
export const kvctlPath: string = join(root, 'bin', 'kvctl.js');

export const quorate: Program = {
  name: 'quorate',
  command: process.execPath,
  arguments: [launcher],
};

/** Whether `npm run build` has been run. */
export const isBuilt: boolean =
  existsSync(launcher) && existsSync(join(root, 'dist', 'daemon', 'start.js'));

/** Starts a cluster of our servers on loopback, one member unless asked for more. */
export function startQuorate(options: ClusterOptions = {}): Promise<ClusterProcess> {
  if (!isBuilt) throw new Error('bin/quorate.js needs a build: npm run build');
  return startCluster(quorate, options);
}
