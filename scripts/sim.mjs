// `npm run sim`: builds the simulator and runs it. `npm run sim -- --help` lists its options.
import { join } from 'node:path';
import { buildSimulator, commit, root, run } from './prepare.mjs';

buildSimulator();
process.exitCode = run(
  process.execPath,
  [join(root, 'build', 'test', 'sim', 'main.js'), ...process.argv.slice(2)],
  { QUORATE_COMMIT: commit() },
);
