// `npm run sim:bugs`: plants known mistakes and lets the simulator find them. `-- --help` tells
// more.
import { join } from 'node:path';
import { buildSimulator, commit, root, run } from './prepare.mjs';

buildSimulator();
process.exitCode = run(
  process.execPath,
  [join(root, 'build', 'test', 'sim', 'bugs', 'main.js'), ...process.argv.slice(2)],
  { QUORATE_COMMIT: commit() },
);
