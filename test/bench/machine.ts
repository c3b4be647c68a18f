/** What the benchmark runs on: figures mean little without it. */
import { readFileSync, statfsSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { etcdVersion } from '../support/etcd.ts';
import { h2loadVersion } from './h2load.ts';
import type { Machine } from './measurements.ts';

/** By their magic numbers, statfs(2). */
const fileSystems: Readonly<Record<number, string>> = {
  0xef53: 'ext4',
  0x9123683e: 'btrfs',
  0x58465342: 'xfs',
  0x2fc12fc1: 'zfs',
  0x794c7630: 'overlayfs',
  0x01021994: 'tmpfs',
};

/** @param directory an existing one on the file system of the members' data */
export function thisMachine(directory: string): Machine {
  const { type } = statfsSync(directory);
  return {
    cpu: cpuName(),
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    loadAverage: loadavg()[0] ?? NaN,
    kernel: release(),
    fileSystem: fileSystems[type] ?? `file system 0x${type.toString(16)}`,
    node: process.version,
    etcd: etcdVersion,
    h2load: h2loadVersion(),
  };
}

function cpuName(): string {
  const named = /^model name\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1];
  return named ?? cpus()[0]?.model ?? 'unknown';
}
