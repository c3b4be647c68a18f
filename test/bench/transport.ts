/**
 * `npm run bench:transport`: how many messages a second two members exchange on loopback, both
 * ends in this process. One sends appends of an entry, the other acknowledges each.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { silentLogger } from '../../src/base/logger.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { systemClock } from '../../src/daemon/system-clock.ts';
import type { AppendMessage, AppendResponseMessage, Message } from '../../src/raft/index.ts';
import { GrpcTransport } from '../../src/transport/grpc-transport.ts';
import type { TransportHandlers } from '../../src/transport/transport.ts';
import { wordsOf } from './main.ts';
import { positiveSeconds } from './options.ts';

const usage = `Counts messages that two members exchange on loopback.

npm run bench:transport -- [options]
  --seconds N       how long with each number of messages under way (2)
`;

const entryBytes = 300;
/** So many messages are under way at a time. */
const windows = [1, 10, 100, 1_000];

/** What came of one window. */
export interface Exchange {
  readonly window: number;
  readonly roundTripsPerSecond: number;
  readonly messagesPerBatch: number;
  /** Of both ends. */
  readonly cpuMicrosPerRoundTrip: number;
}

/** @param args as on the command line; resolves to the exit code */
export async function benchTransport(args: readonly string[]): Promise<number> {
  let seconds: number;
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        seconds: { type: 'string', default: '2' },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) {
      console.log(usage);
      return 0;
    }
    seconds = positiveSeconds(values.seconds);
  } catch (error) {
    console.error(`${wordsOf(error)}\n\n${usage}`);
    return 2;
  }
  console.log('window  round trips/s  messages/batch  CPU µs/round trip');
  await exchange(seconds, (each) => {
    const columns = [
      String(each.window).padStart(6),
      each.roundTripsPerSecond.toFixed(0).padStart(13),
      each.messagesPerBatch.toFixed(1).padStart(14),
      each.cpuMicrosPerRoundTrip.toFixed(2).padStart(17),
    ];
    console.log(columns.join('  '));
  });
  return 0;
}

/**
 * @param seconds for each window
 * @param tell is told what came of each when it is over
 * @throws Error if a message was dropped
 */
export async function exchange(seconds: number, tell: (each: Exchange) => void): Promise<void> {
  const leader = await listening(1n);
  const follower = await listening(2n);
  leader.setPeers([{ id: 2n, peerUrls: follower.boundUrls }]);
  follower.setPeers([{ id: 1n, peerUrls: leader.boundUrls }]);
  let index = 0;
  let underWay = 0;
  let answered = 0;
  let batches = 0;
  let isRunning = false;
  let dropped = 0;
  const unreachable = (): void => {
    dropped++;
  };
  const send = (count: number): void => {
    underWay += count;
    leader.send(Array.from({ length: count }, () => appendOf(++index)));
  };
  follower.start(
    handlers(unreachable, (messages) => {
      follower.send(messages.filter((message) => message.type === 'append').map(answerTo));
    }),
  );
  leader.start(
    handlers(unreachable, (messages) => {
      underWay -= messages.length;
      answered += messages.length;
      batches++;
      if (isRunning) send(messages.length);
    }),
  );
  await until(() => leader.connected(2n) && follower.connected(1n));
  for (const window of windows) {
    answered = batches = 0;
    isRunning = true;
    const before = process.cpuUsage();
    const startMs = performance.now();
    send(window);
    await delay(seconds * 1_000);
    isRunning = false;
    const elapsedSeconds = (performance.now() - startMs) / 1_000;
    const { user, system } = process.cpuUsage(before);
    const counted = answered;
    tell({
      window,
      roundTripsPerSecond: counted / elapsedSeconds,
      messagesPerBatch: counted / batches,
      cpuMicrosPerRoundTrip: (user + system) / counted,
    });
    await until(() => underWay === 0 || dropped > 0);
    if (dropped > 0) throw new Error('a message was dropped');
  }
  for (const each of [leader, follower]) {
    await new Promise<void>((resolve) => each.stop(resolve));
  }
}

async function listening(self: bigint): Promise<GrpcTransport> {
  const transport = new GrpcTransport({
    self,
    cluster: 1n,
    clock: systemClock,
    random: new SeededRandom(Number(self)),
    logger: silentLogger,
    listenUrls: ['http://127.0.0.1:0'],
  });
  await new Promise<void>((resolve, reject) => {
    transport.listen((error) => (error === undefined ? resolve() : reject(error)));
  });
  return transport;
}

function handlers(
  unreachable: () => void,
  receive: (messages: readonly Message[]) => void,
): TransportHandlers {
  return {
    receive,
    unreachable,
    introduced: () => {},
    note: () => {},
    isRemoved: () => false,
    remembersRemoval: () => false,
    oldestProtocol: () => 0,
    removed: () => {},
    snapshotStatus: () => {},
    openSnapshot: () => undefined,
    receiveSnapshot: () => undefined,
  };
}

const data = new Uint8Array(entryBytes);

function appendOf(index: number): AppendMessage {
  return {
    type: 'append',
    from: 1n,
    to: 2n,
    term: 3,
    index: index - 1,
    logTerm: 3,
    commit: index - 1,
    entries: [{ index, term: 3, kind: 0, data }],
  };
}

function answerTo(message: AppendMessage): AppendResponseMessage {
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

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(5);
}
