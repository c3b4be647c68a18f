// `npm run test:nemesis`: real members under faults, histories checked.
//
//     npm run test:nemesis -- --runs 12 --seconds 20 --seed 1 --scenario kill-leader --members 3
//
// Installs and builds what is missing, as `npm test` does. --keep names the directory in which
// history and logs of a failed run are kept; otherwise the system's temporary one.
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { prepare, root, vitest } from './prepare.mjs';

const options = ['runs', 'seconds', 'seed', 'scenario', 'members', 'keep'];

function environmentOf(args) {
  const { values } = parseArgs({
    args,
    options: Object.fromEntries(options.map((name) => [name, { type: 'string' }])),
  });
  if (values.keep !== undefined) values.keep = resolve(values.keep);
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [`QUORATE_NEMESIS_${name.toUpperCase()}`, value]),
  );
}

let environment;
try {
  environment = environmentOf(process.argv.slice(2));
} catch (error) {
  console.error(`${error.message}\noptions: ${options.map((name) => `--${name}`).join(' ')}`);
  process.exit(2);
}
prepare();
process.exitCode = vitest(
  ['--config', join(root, 'test', 'nemesis', 'vitest.config.ts')],
  environment,
);
