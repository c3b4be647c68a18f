// `npm start`: a cluster on this machine, from a fresh clone to a running leader.
//
// Installs and builds where needed, starts the members with their data in .cluster/, says when a
// leader is elected and how to use it, reports members that end, and stops all on Ctrl-C.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { clearInterval, setInterval } from 'node:timers';
import { parseArgs } from 'node:util';
import {
  LocalCluster,
  defaultPort,
  membersMax,
  portMax,
  portsTaken,
  root,
} from './local-cluster.mjs';

/** A cluster without a leader for longer than this is not just starting. */
const slowMs = 15_000;

const usage = `npm start -- [options]

Starts a cluster on this machine and keeps it running until Ctrl-C.

  --members <n>       how many members, 1 to ${membersMax} (default 3)
  --fresh             remove the data of earlier runs first
  --directory <path>  where data and logs are kept between runs (default .cluster)
  --port <n>          port of the first member's clients (default ${defaultPort}); peers use
                      the next one, and further members the same plus 20000, 30000, ...
  --help              print this`;

/** Words for the operator; anything else that is thrown is a defect and shows its stack. */
class Explained extends Error {}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        members: { type: 'string' },
        fresh: { type: 'boolean', default: false },
        directory: { type: 'string', default: '.cluster' },
        port: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
    return {
      ...values,
      directory: resolve(root, values.directory),
      members: numberBetween('--members', values.members, 1, membersMax),
      port: numberBetween('--port', values.port, 1, portMax),
    };
  } catch (error) {
    throw new Explained(`${error.message}\n\n${usage}`);
  }
}

function numberBetween(flag, text, least, most) {
  if (text === undefined) return undefined;
  const number = Number(text);
  if (Number.isInteger(number) && number >= least && number <= most) return number;
  throw new Error(`${flag} takes a number from ${least} to ${most}, not '${text}'`);
}

function runOrExplain(command, args, purpose) {
  console.log(`${purpose} (${command} ${args.join(' ')}) ...`);
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (error !== undefined) throw new Explained(`Cannot run ${command}: ${error.message}`);
  if (status !== 0) {
    throw new Explained(
      `${purpose} failed: ${command} ended with code ${status}. See above for why.`,
    );
  }
}

/** Time of the latest change of a file under `path`. */
function newestMs(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(0, ...readdirSync(path).map((name) => newestMs(join(path, name))));
}

/** What the lock file names; where a registry lacks some of it, what package.json allows. */
function install() {
  const options = ['--prefer-offline', '--no-audit', '--no-fund'];
  try {
    runOrExplain('npm', ['ci', ...options], 'Installing packages');
  } catch (error) {
    if (!(error instanceof Explained)) throw error;
    console.log(`${error.message}\n`);
    const relaxed = ['install', '--no-save', '--no-package-lock', ...options];
    runOrExplain('npm', relaxed, 'Installing packages without the lock file');
  }
}

/** Installs and builds what a fresh or changed clone needs; a published package needs neither. */
function prepare() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 15)) {
    throw new Explained(`Quorate needs Node.js 20.15 or newer; this is ${process.version}.`);
  }
  if (!existsSync(join(root, 'node_modules', '.package-lock.json'))) install();
  if (!existsSync(join(root, 'src'))) return;
  const stamp = join(root, 'dist', '.built-by-start');
  const marks = [stamp, join(root, 'dist', 'src.tsbuildinfo')].map(newestMs);
  const built = existsSync(join(root, 'dist', 'daemon', 'main.js')) ? Math.max(...marks) : 0;
  const sources = [
    'src',
    'proto',
    'scripts/generate.mjs',
    'package-lock.json',
    'tsconfig.base.json',
  ];
  if (sources.every((source) => newestMs(join(root, source)) <= built)) return;
  runOrExplain('npm', ['run', '--silent', 'gen'], 'Generating code from proto/');
  // Only the program, not its tests: a cluster is wanted, not a verdict.
  runOrExplain('npx', ['--no-install', 'tsc', '-b', 'src'], 'Building');
  writeFileSync(stamp, '');
}

const freshHint = 'or begin anew without its data: npm start -- --fresh';

/** Members and port of the cluster whose data is in `directory`; undefined if there is none. */
function recordedCluster(directory) {
  const stat = statSync(directory, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  if (!stat.isDirectory()) throw new Explained(`${directory} is in the way: no directory.`);
  const record = join(directory, 'cluster.json');
  if (!existsSync(record)) {
    if (readdirSync(directory).length === 0) return undefined;
    throw new Explained(
      `${directory} holds data, but ${record}, which says of how many members, is missing.\n` +
        `Put it back, ${freshHint}`,
    );
  }
  try {
    const { members, port } = JSON.parse(readFileSync(record, 'utf8'));
    numberBetween('members', members, 1, membersMax);
    numberBetween('port', port, 1, portMax);
    if (members !== undefined && port !== undefined) return { members, port };
  } catch {
    // Explained below: whatever is wrong with the file, the remedy is the same.
  }
  throw new Explained(
    `${record} is damaged: it should read like {"members":3,"port":${defaultPort}}.\n` +
      `Mend it, ${freshHint}`,
  );
}

/** What to start: what is recorded, or what is asked for where nothing is; touches nothing. */
function planCluster(options) {
  const recorded = options.fresh ? undefined : recordedCluster(options.directory);
  for (const what of ['members', 'port']) {
    const [asked, kept] = [options[what], recorded?.[what]];
    if (asked === undefined || kept === undefined || asked === kept) continue;
    throw new Explained(
      `The cluster in ${options.directory} was made with --${what} ${kept}, not ${asked}.\n` +
        `Leave the option out to start it as it is, ${freshHint} --${what} ${asked}`,
    );
  }
  return {
    members: recorded?.members ?? options.members ?? 3,
    port: recorded?.port ?? options.port ?? defaultPort,
  };
}

function keepRecord(directory, plan) {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileSync(join(directory, 'cluster.json'), `${JSON.stringify(plan)}\n`);
  } catch (error) {
    throw new Explained(`Cannot keep data in ${directory}: ${error.message}`);
  }
}

function banner(cluster, directory, leader) {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const endpoints = cluster.members.map((member) => member.endpoint).join(',');
  const count = cluster.members.length;
  const lines = cluster.members.map((member) => {
    const state = member.running ? (member === leader ? 'leader' : '') : 'not running';
    return `  ${member.name}  http://${member.endpoint}  ${state}`.trimEnd();
  });
  return `
Quorate ${version}: ${count === 1 ? 'one member is' : `${count} members are`} up on this machine.

${lines.join('\n')}

Try it from another terminal, in this directory:

  node bin/kvctl.js --endpoints=${endpoints} put greeting hello
  node bin/kvctl.js --endpoints=${endpoints} get greeting
  node bin/kvctl.js --endpoints=${endpoints} endpoint status -w table

or with etcd's own client:

  ETCDCTL_API=3 etcdctl --endpoints=${endpoints} put greeting hello
  ETCDCTL_API=3 etcdctl --endpoints=${endpoints} get greeting

Data and logs are kept in ${directory};
\`npm start -- --fresh\` begins anew. Ctrl-C stops all members.
`;
}

/** What the end of a member means, and what can be done about it. */
function tellEnd(cluster, member, how) {
  const left = cluster.members.filter((other) => other.running).length;
  const count = cluster.members.length;
  const quorum = Math.floor(count / 2) + 1;
  console.error(`\n${member.name} has ended: ${how}.`);
  const reason = how.startsWith('signal') ? undefined : member.lastError();
  if (reason !== undefined) console.error(`  Its last words: ${reason}`);
  console.error(`  Its log: ${member.logPath}`);
  if (left > 0) {
    const effect = left >= quorum ? 'the cluster goes on' : 'too few for reads and writes';
    console.error(`  ${left} of ${count} members left: ${effect}.`);
    console.error(`  To start it again:\n    ${member.commandLine()}`);
  }
}

function explainPorts(taken) {
  const lines = taken.map(({ port, use, reason }) => `  ${port} (${use}): ${reason}`);
  return (
    `These ports of 127.0.0.1 are needed and cannot be used:\n${lines.join('\n')}\n` +
    'Is a cluster already running here? See who holds a port with: ' +
    `ss -ltnp 'sport = :${taken[0].port}'`
  );
}

async function main() {
  const options = readOptions();
  if (options.help) {
    console.log(usage);
    return 0;
  }
  prepare();
  const plan = planCluster(options);
  // Before anything is removed: the ports tell whether a cluster still uses the data.
  const taken = await portsTaken(plan);
  if (taken.length > 0) throw new Explained(explainPorts(taken));
  if (options.fresh) rmSync(options.directory, { recursive: true, force: true });
  keepRecord(options.directory, plan);
  return await new Promise((finish, fail) => {
    runCluster(options.directory, plan, finish).catch(fail);
  });
}

/** Runs until all members have ended; `finish` gets the exit code. */
async function runCluster(directory, plan, finish) {
  let stopping = false;
  const cluster = new LocalCluster(directory, plan, (member, how) => {
    if (stopping) return;
    tellEnd(cluster, member, how);
    if (cluster.members.every((other) => !other.running)) {
      stopping = true;
      console.error('\nNo member is left.');
      finish(1);
    }
  });
  const stop = (signal) => {
    if (stopping) {
      cluster.kill();
      return;
    }
    stopping = true;
    console.log(`\n${signal}: stopping ...`);
    cluster.stop().then((clean) => {
      console.log(clean ? `Stopped. The data is kept in ${directory}.` : 'Stopped by force.');
      finish(clean ? 0 : 1);
    });
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => stop(signal));
  // npm passes a signal to its shell, which ends without passing it on: the parent's end is the
  // signal.
  const parent = process.ppid;
  const orphaned = setInterval(() => {
    if (process.env.npm_lifecycle_event === undefined || process.ppid === parent) return;
    clearInterval(orphaned);
    stop('The shell has ended');
  }, 250);
  console.log(`Starting ${plan.members === 1 ? 'one member' : `${plan.members} members`} ...`);
  cluster.start();
  await watchLeader(cluster, directory, () => stopping);
}

/** Says who leads, at first with the banner, then whenever it changes. */
async function watchLeader(cluster, directory, stopping) {
  const startedMs = Date.now();
  let told;
  let lost = false;
  let slow = false;
  while (!stopping()) {
    const { leader, complete } = await cluster.leader();
    if (stopping()) return;
    if (leader === undefined) {
      if (told !== undefined && !lost) console.log('The members have no leader at the moment.');
      lost = true;
    } else if (told !== undefined) {
      if (told !== leader) console.log(`${leader.name} is now the leader.`);
      else if (lost) console.log(`${leader.name} leads again.`);
    } else if (complete || slow) console.log(banner(cluster, directory, leader));
    if (leader !== undefined && (complete || slow || told !== undefined)) {
      told = leader;
      lost = false;
    }
    if (told === undefined && !slow && Date.now() - startedMs > slowMs) {
      slow = true;
      if (leader === undefined) {
        console.log(`Still no leader. The logs in ${directory} tell what the members wait for.`);
      }
    }
    await new Promise((next) => setTimeout(next, told === undefined ? 200 : 1_000));
  }
}

main().then(
  (code) => process.exit(code),
  (error) => {
    console.error(error instanceof Explained ? `\n${error.message}` : error);
    process.exit(1);
  },
);
