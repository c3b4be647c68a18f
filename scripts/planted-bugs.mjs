// `npm run sim:bugs`: plants known mistakes, which the simulator must find. `-- --help` says more.
import { join } from 'node:path';
import { buildSimulator, commit, root, run } from './prepare.mjs';

buildSimulator();
process.exitCode = run(
  process.execPath,
  [join(root, 'build', 'test', 'sim', 'bugs', 'main.js'), ...process.argv.slice(2)],
  { QUORATE_COMMIT: commit() },
);
