/** Clients that misbehave and break off, by chance from a seed: what they do, and how they go. */
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type Random, SeededRandom } from '../../src/base/random.ts';
import { Flag, frame, FrameType } from './http2-bytes.ts';
import { requestNames, unrulyHttp1 } from './unruly-http1.ts';
import { misdeedNames, pick, unrulyHttp2 } from './unruly-http2.ts';

/** A client that waits for something waits no longer. */
const longestMs = 250;

const ends = ['reset', 'close', 'halfClose', 'linger'] as const;

/** All that one client will do, drawn before it begins. */
interface Plan {
  readonly name: string;
  readonly port: number;
  readonly bytes: Buffer;
  /** Pieces that are sent one by one, and how long each time before the next. */
  readonly pieces: number;
  readonly pauseMs: number;
  readonly reads: boolean;
  readonly acknowledges: boolean;
  readonly end: (typeof ends)[number];
  readonly endAfterMs: number;
}

function plan(random: Random, ports: readonly number[]): Plan {
  const isHttp1 = random.below(3) === 0;
  const name = pick(random, isHttp1 ? requestNames : misdeedNames);
  const whole = isHttp1 ? unrulyHttp1(random, name) : unrulyHttp2(random, name);
  const isCut = random.below(2) === 0;
  return {
    name: `${isHttp1 ? 'HTTP/1' : 'HTTP/2'} ${name}`,
    port: pick(random, ports),
    bytes: isCut ? whole.subarray(0, random.below(whole.length + 1)) : whole,
    pieces: pick(random, [1, 1, 1, 2, 3, 10]),
    pauseMs: pick(random, [0, 0, 1, 5, 20]),
    reads: random.below(3) > 0,
    acknowledges: random.below(4) > 0,
    end: pick(random, ends),
    endAfterMs: pick(random, [0, 0, 1, 2, 5, 10, 30, 100]),
  };
}

/** Acknowledges the server's settings, as it must before it is heard. */
function acknowledge(socket: Socket): void {
  let received = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 9) {
      const end = 9 + received.readUIntBE(0, 3);
      if (received.length < end) return;
      const isSettings = received[3] === FrameType.settings && received[4] === 0;
      if (isSettings && socket.writable)
        socket.write(frame(FrameType.settings, Flag.acknowledgement, 0));
      received = received.subarray(end);
    }
  });
}

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
}

async function run(client: Plan): Promise<void> {
  const socket = connect({ port: client.port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => undefined);
  if (client.reads) {
    if (client.acknowledges) acknowledge(socket);
    socket.resume();
  } else {
    // What it has not read when it closes makes the kernel send a reset.
    socket.pause();
  }
  const { bytes, pieces } = client;
  for (let i = 0; i < pieces && !socket.destroyed; i++) {
    const from = Math.floor((i * bytes.length) / pieces);
    socket.write(bytes.subarray(from, Math.floor(((i + 1) * bytes.length) / pieces)));
    if (client.pauseMs > 0) await delay(client.pauseMs);
  }
  if (client.endAfterMs > 0) await delay(client.endAfterMs);
  else await new Promise(setImmediate);
  if (client.end === 'reset') socket.resetAndDestroy();
  else if (client.end === 'halfClose') socket.end();
  if (client.end === 'linger' || client.end === 'halfClose') {
    const stop = new AbortController();
    await Promise.race([
      closed(socket),
      delay(longestMs, undefined, { signal: stop.signal }).catch(() => undefined),
    ]);
    stop.abort();
  }
  socket.destroy();
  await closed(socket);
}

export interface UnrulyOptions {
  readonly seed: number;
  /** Of the members, on loopback. */
  readonly ports: readonly number[];
  readonly connections: number;
  /** Connections at a time. */
  readonly concurrency: number;
}

/** Resolves to how many connections there were of each kind. */
export async function unrulyClients(options: UnrulyOptions): Promise<Map<string, number>> {
  const random = new SeededRandom(options.seed);
  const counts = new Map<string, number>();
  let left = options.connections;
  const one = async (): Promise<void> => {
    while (left-- > 0) {
      const client = plan(random, options.ports);
      counts.set(client.name, (counts.get(client.name) ?? 0) + 1);
      await run(client);
    }
  };
  await Promise.all(Array.from({ length: options.concurrency }, one));
  return counts;
}
