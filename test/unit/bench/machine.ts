/** What measurements of the tests were made on. */
import type { Machine } from '../../bench/measurements.ts';

export const machine: Machine = {
  cpu: 'A processor',
  cores: 2,
  memoryBytes: 8 * 1024 ** 3,
  loadAverage: 0.12,
  kernel: '6.1',
  fileSystem: 'ext4',
  node: 'v20.20.2',
  etcd: '3.4.23',
  h2load: 'nghttp2/1.52.0',
};
