// `npm run test:nemesis`: real members under faults, histories checked.
//
//     npm run test:nemesis -- --runs 12 --seconds 20 --seed 1 --scenario kill-leader --members 3
//
// Installs and builds what is missing, as `npm test` does. --keep names the directory in which
// history and logs of a failed run are kept; otherwise the system's temporary one.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const options = ['runs', 'seconds', 'seed', 'scenario', 'members', 'keep'];

function run(command, args, environment = {}) {
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...environment },
  });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

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
if (!existsSync(join(root, 'node_modules', '.package-lock.json'))) {
  run('npm', ['ci', '--prefer-offline', '--no-audit', '--no-fund']);
}
run('npm', ['run', '--silent', 'build']);
const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
run(
  process.execPath,
  [vitest, 'run', '--config', join(root, 'test', 'nemesis', 'vitest.config.ts')],
  environment,
);
