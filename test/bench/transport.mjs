// How many messages a second two members exchange over gRPC on loopback, both ends in this process:
//   npm run build && node test/bench/transport.mjs
//
// One member sends appends of one 300-byte entry, the other acknowledges each; `window` of them
// are under way at a time.
import { performance } from 'node:perf_hooks';
import { silentLogger } from '../../dist/base/logger.js';
import { SeededRandom } from '../../dist/base/random.js';
import { systemClock } from '../../dist/daemon/system-clock.js';
import { GrpcTransport } from '../../dist/transport/grpc-transport.js';

const entryBytes = 300;
const windows = [1, 10, 100, 1_000];
const secondsEach = 2;

async function member(self) {
  const transport = new GrpcTransport({
    self,
    cluster: 1n,
    clock: systemClock,
    random: new SeededRandom(Number(self)),
    logger: silentLogger,
    listenUrls: ['http://127.0.0.1:0'],
  });
  await new Promise((resolve, reject) => {
    transport.listen((error) => (error === undefined ? resolve() : reject(error)));
  });
  return transport;
}

function handlers(receive) {
  return {
    receive,
    unreachable() {
      throw new Error('a message was dropped');
    },
    snapshotStatus() {},
    openSnapshot() {},
    receiveSnapshot() {},
  };
}

const sender = await member(1n);
const receiver = await member(2n);
sender.setPeers([{ id: 2n, peerUrls: receiver.boundUrls }]);
receiver.setPeers([{ id: 1n, peerUrls: sender.boundUrls }]);

const data = new Uint8Array(entryBytes);
let index = 0;
let answered = 0;
let batches = 0;
let running = false;

/**
 * Written out field by field, as the Raft core does: spreading objects would cost more than
 * sending.
 */
function appendOf(number) {
  return {
    type: 'append',
    from: 1n,
    to: 2n,
    term: 3,
    index: number - 1,
    logTerm: 3,
    commit: number - 1,
    entries: [{ index: number, term: 3, kind: 0, data }],
  };
}

function answerTo(message) {
  return {
    type: 'appendResponse',
    from: 2n,
    to: 1n,
    term: 3,
    index: message.index,
    reject: false,
    rejectHint: 0,
    logTerm: 0,
  };
}

function send(count) {
  const messages = [];
  for (let i = 0; i < count; i++) messages.push(appendOf(++index));
  sender.send(messages);
}

receiver.start(
  handlers((messages) => {
    receiver.send(messages.map(answerTo));
  }),
);
sender.start(
  handlers((messages) => {
    answered += messages.length;
    batches++;
    if (running) send(messages.length);
  }),
);
while (!sender.connected(2n) || !receiver.connected(1n)) {
  await new Promise((resolve) => setTimeout(resolve, 5));
}

console.log('window  round trips/s  messages/batch  CPU µs/message (both ends)');
for (const window of windows) {
  answered = batches = 0;
  running = true;
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  send(window);
  await new Promise((resolve) => setTimeout(resolve, secondsEach * 1_000));
  running = false;
  const seconds = (performance.now() - startedMs) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  const columns = [
    String(window).padStart(6),
    String(Math.round(answered / seconds)).padStart(13),
    (answered / batches).toFixed(1).padStart(14),
    ((user + system) / answered).toFixed(2).padStart(14),
  ];
  console.log(columns.join('  '));
  await new Promise((resolve) => setTimeout(resolve, 200));
}
await Promise.all([sender, receiver].map((each) => new Promise((done) => each.stop(done))));
