// Puts a second, through the leader and through a follower:
//   npm run build && node bench/puts.mjs
//   node bench/puts.mjs --server etcd      the same for the etcd in PATH, to compare
//   node bench/puts.mjs --members 1 --in-flight 1,10,100,1000 --seconds 5 --value-bytes 256
//
// Starts a cluster on loopback in a new directory, sends puts of distinct keys over plain HTTP/2
// and keeps a fixed number of them in flight. Fails unless every answer has grpc-status 0 and the
// store's revision has grown by exactly the number of puts. The generator shares the machine with
// the members: compare ratios, not absolutes.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buffer, utf8 } from '../dist/base/bytes.js';
import { PutRequest, RangeRequest, RangeResponse } from '../dist/gen/rpc.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const readyTimeoutMs = 30_000;
const warmUpSeconds = 2;
/** More would add connections and no load. */
const connectionsMax = 10;
const frameHeaderBytes = 5;

const { values: settings } = parseArgs({
  options: {
    server: { type: 'string', default: 'quorate' },
    members: { type: 'string', default: '3' },
    'in-flight': { type: 'string', default: '100' },
    seconds: { type: 'string', default: '10' },
    'value-bytes': { type: 'string', default: '256' },
  },
});
const memberCount = Number(settings.members);
const seconds = Number(settings.seconds);
const value = Buffer.alloc(Number(settings['value-bytes']), 'v');

async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function startMembers(directory) {
  const places = [];
  for (let i = 1; i <= memberCount; i++) {
    const [client, peer] = [await freePort(), await freePort()].map(
      (port) => `http://127.0.0.1:${port}`,
    );
    places.push({ name: `m${i}`, client, peer });
  }
  const cluster = places.map(({ name, peer }) => `${name}=${peer}`).join(',');
  const [command, ...first] =
    settings.server === 'etcd' ? ['etcd'] : [process.execPath, join(root, 'bin', 'quorate.js')];
  return places.map(({ name, client, peer }) => {
    const flags = [
      `--name=${name}`,
      `--data-dir=${join(directory, name)}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=${cluster}`,
    ];
    const child = spawn(command, [...first, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.pipe(createWriteStream(join(directory, `${name}.log`)));
    return { name, url: client, child };
  });
}

async function isLeader({ url }) {
  const text = await fetch(`${url}/metrics`).then((response) => response.text());
  return /^etcd_server_is_leader 1$/m.test(text);
}

async function ready(members) {
  const untilMs = performance.now() + readyTimeoutMs;
  for (const { name, url } of members) {
    for (;;) {
      const isHealthy = await fetch(`${url}/health`).then(
        (response) => response.ok,
        () => false,
      );
      if (isHealthy) break;
      if (performance.now() > untilMs) throw new Error(`${name} is not ready`);
      await delay(50);
    }
  }
}

function framed(message) {
  const frame = Buffer.alloc(frameHeaderBytes + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, frameHeaderBytes);
  return frame;
}

/** One unary call; resolves to its grpc-status and the answer's bytes. */
function call(session, path, body) {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    const chunks = [];
    let status;
    const note = (headers) => (status = headers['grpc-status'] ?? status);
    stream.on('response', note);
    stream.on('trailers', note);
    stream.on('data', (chunk) => chunks.push(chunk));
    stream.on('end', () => resolve({ status, body: Buffer.concat(chunks) }));
    stream.on('error', reject);
    stream.end(body);
  });
}

async function revision(session) {
  const request = RangeRequest.create({ key: utf8('~') });
  const answer = await call(
    session,
    '/etcdserverpb.KV/Range',
    framed(buffer(RangeRequest.encode(request))),
  );
  if (answer.status !== '0') throw new Error(`Range: grpc-status ${answer.status}`);
  return RangeResponse.decode(answer.body.subarray(frameHeaderBytes)).header.revision;
}

let keyNumber = 0;

/** Keeps `inFlight` puts under way for so many seconds. */
async function load(sessions, inFlight, durationSeconds) {
  const untilMs = performance.now() + durationSeconds * 1000;
  const latenciesMs = [];
  const statuses = new Map();
  const sender = async (session) => {
    while (performance.now() < untilMs) {
      const key = utf8(`key/${String(keyNumber++).padStart(10, '0')}`);
      const body = framed(buffer(PutRequest.encode(PutRequest.create({ key, value }))));
      const startedMs = performance.now();
      const { status } = await call(session, '/etcdserverpb.KV/Put', body);
      latenciesMs.push(performance.now() - startedMs);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  const startedMs = performance.now();
  await Promise.all(
    Array.from({ length: inFlight }, (_, i) => sender(sessions[i % sessions.length])),
  );
  return { latenciesMs, statuses, elapsedMs: performance.now() - startedMs };
}

async function measure({ url }, inFlight) {
  const sessions = Array.from({ length: Math.min(inFlight, connectionsMax) }, () =>
    http2.connect(url),
  );
  try {
    await load(sessions, inFlight, warmUpSeconds);
    const before = await revision(sessions[0]);
    const { latenciesMs, statuses, elapsedMs } = await load(sessions, inFlight, seconds);
    const grown = (await revision(sessions[0])) - before;
    const count = latenciesMs.length;
    if (statuses.get('0') !== count || grown !== count) {
      const seen = [...statuses].map(([status, times]) => `${status}: ${times}`).join(', ');
      throw new Error(`${count} puts, ${grown} revisions, grpc-status ${seen}`);
    }
    latenciesMs.sort((a, b) => a - b);
    const [p50, p99] = [0.5, 0.99].map((part) => latenciesMs[Math.floor(count * part)].toFixed(1));
    const rate = Math.round((count * 1000) / elapsedMs);
    return `${rate} puts/s, p50 ${p50} ms, p99 ${p99} ms; all ${count} with grpc-status 0`;
  } finally {
    for (const session of sessions) session.destroy();
  }
}

const directory = mkdtempSync(join(tmpdir(), 'quorate-bench-'));
const members = await startMembers(directory);
try {
  await ready(members);
  for (const inFlight of settings['in-flight'].split(',').map(Number)) {
    const leads = await Promise.all(members.map(isLeader));
    const through = [
      ['leader', members[leads.indexOf(true)]],
      ['follower', members[leads.indexOf(false)]],
    ];
    for (const [role, member] of through) {
      if (member === undefined) continue;
      const result = await measure(member, inFlight);
      console.log(
        `${settings.server}, ${memberCount} members, ${inFlight} in flight, ${role}: ${result}`,
      );
    }
  }
} finally {
  await Promise.all(
    members.map(({ child }) => {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      return ended;
    }),
  );
  rmSync(directory, { recursive: true, force: true });
}
