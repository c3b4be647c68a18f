/** Programs in Python, if this machine has what they need. */
import { spawnSync } from 'node:child_process';

/** Debian's own first, for which Debian's packages are; `QUORATE_TEST_PYTHON` names another. */
const candidates = [process.env['QUORATE_TEST_PYTHON'], '/usr/bin/python3', 'python3'];

/** A Python that has the package etcd3; undefined if there is none. */
export const pythonWithEtcd3: string | undefined = candidates.find(
  (command) => command !== undefined && spawnSync(command, ['-c', 'import etcd3']).status === 0,
);

/** Put into the names of tests that need it, so that a skipped one says why. */
export const pythonMissing: string =
  pythonWithEtcd3 === undefined ? ' (skipped: there is no Python with the package etcd3)' : '';
