/** The gRPC transport against strangers, impostors and peers that do not read. */
import { Client, Server, ServerCredentials, credentials } from '@grpc/grpc-js';
import net from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import {
  decodeFrame,
  encodeHello,
  encodeWelcome,
  type Frame,
  type Hello,
  protocolVersion,
} from '../../../src/transport/frames.ts';
import { GrpcTransport } from '../../../src/transport/grpc-transport.ts';
import { GrpcNetwork } from './grpc-network.ts';
import { nobody } from '../../support/introductions.ts';
import { RecordingLogger, append, heartbeat, realClock, until } from './members.ts';
import type { TestMember } from './members.ts';

const path = '/quorate.peer.Peer/Connect';
const identity = (bytes: Buffer): Buffer => bytes;

let network: GrpcNetwork;
let one: TestMember;
let two: TestMember;

function overGrpc(member: TestMember): GrpcTransport {
  if (member.transport instanceof GrpcTransport) return member.transport;
  throw new Error('not a member over gRPC');
}

function port(member: TestMember): number {
  const [url] = overGrpc(member).boundUrls;
  return Number(new URL(url ?? '').port);
}

/** Starts a third member, which knows where it is itself, and the first one. */
function startThird(): Promise<TestMember> {
  return network.start(3n, {
    beforeStart: async (transport) => {
      transport.setPeers([
        { id: 3n, peerUrls: transport.boundUrls },
        { id: 1n, peerUrls: [network.line(3n, 1n).url] },
      ]);
    },
  });
}

/** Told from all other messages by its number: what was sent before may still be arriving. */
let talks = 1_000_000;

async function bothTalk(): Promise<void> {
  const number = ++talks;
  one.send(heartbeat(1n, 2n, number), append(1n, 2n, number));
  await until(() => {
    const news = two.received.filter((message) => 'commit' in message && message.commit === number);
    return news.length === 2;
  }, 'the members still talk');
}

beforeEach(async () => {
  network = await GrpcNetwork.open({
    queueBytes: 4 * 1024 * 1024,
    batchBytes: 256 * 1024,
    handshakeMs: 300,
    pendingHandshakes: 8,
  });
  one = await network.start(1n);
  two = await network.start(2n);
  await until(() => one.transport.connected(2n) && two.transport.connected(1n), 'connected');
});

afterEach(() => network.close());

const hello: Omit<Hello, 'kind'> = {
  version: 1,
  oldestVersion: 1,
  cluster: 42n,
  from: 3n,
  to: 1n,
  incarnation: 5n,
  session: 1,
  channel: 'control',
  transfer: 0,
  peerUrls: [],
};

/** Opens a stream by hand, sends `bytes` and returns the first answer that is wanted. */
async function answerTo(
  bytes: Uint8Array | undefined,
  wanted: (frame: Frame) => boolean = () => true,
): Promise<Frame | string> {
  const client = new Client(`127.0.0.1:${port(one)}`, credentials.createInsecure());
  try {
    return await new Promise((resolve) => {
      const call = client.makeBidiStreamRequest<Buffer, Buffer>(path, identity, identity);
      call.on('data', (bytes: Buffer) => {
        const frame = decodeFrame(bytes, 1n, 3n);
        if (frame.kind !== 'ping' && wanted(frame)) resolve(frame);
      });
      call.on('error', (error) => resolve(error.message));
      call.on('end', () => resolve('ended'));
      if (bytes !== undefined) call.write(Buffer.from(bytes));
    });
  } finally {
    client.close();
  }
}

describe('a stream is refused, and the reason said and logged,', () => {
  test.each<[string, Partial<Hello>, string]>([
    ['of another cluster', { cluster: 7n }, 'cluster ids differ: 7 there, 2a here'],
    ['for another member', { to: 8n }, 'this is member 1, not 8'],
    ['of no member', { from: 11n }, 'b is not a member of the cluster'],
    [
      'of a version too new',
      { version: 9, oldestVersion: 8 },
      `protocol versions differ: 8 to 9 there, 1 to ${protocolVersion} here`,
    ],
    [
      'of a version too old',
      { version: 0, oldestVersion: 0 },
      `protocol versions differ: 0 to 0 there, 1 to ${protocolVersion} here`,
    ],
  ])('%s', async (_what, change, text) => {
    const answer = await answerTo(encodeHello({ ...hello, ...change }));
    expect(answer).toMatchObject({ kind: 'refused', text });
    expect(one.logger.has('warn', text)).toBe(true);
    await bothTalk();
  });

  test('of a member that is not known yet, which says where it is found', async () => {
    const stranger = { ...hello, version: protocolVersion, from: 77n };
    expect(await answerTo(encodeHello(stranger))).toMatchObject({
      kind: 'refused',
      text: '4d is not a member of the cluster',
    });
    for (const peerUrls of [['http://127.0.0.1'], ['http://127.0.0.1:1', 'no address']]) {
      const answer = await answerTo(encodeHello({ ...stranger, peerUrls }));
      expect(answer).toMatchObject({ kind: 'refused' });
    }
    const found = { ...stranger, peerUrls: ['http://127.0.0.1:1'] };
    expect(await answerTo(encodeHello({ ...found, session: 2 }))).toMatchObject({
      kind: 'welcome',
    });
    // No more of them than a cluster would have.
    for (let i = 1n; i < 16n; i++) {
      const answer = await answerTo(encodeHello({ ...found, from: 77n + i }));
      expect(answer).toMatchObject({ kind: 'welcome' });
    }
    expect(await answerTo(encodeHello({ ...found, from: 99n }))).toMatchObject({
      kind: 'refused',
    });
    await bothTalk();
  });

  test('of such a member, which was told where it is before it started', async () => {
    network.setPeers(one, [2n]);
    const three = await startThird();
    await until(() => one.transport.connected(3n) && three.transport.connected(1n), 'met');
    const say = async (numbers: readonly number[]): Promise<void> => {
      for (const number of numbers) one.send(heartbeat(1n, 3n, number));
      await until(() => three.received.length === numbers.length, 'heard');
      expect(three.received.splice(0)).toMatchObject(numbers.map((commit) => ({ commit })));
    };
    await say([1, 2, 3, 4, 5]);
    // Known from now on, it is spoken to on other streams, and heard from the first word on.
    network.setPeers(one, [2n, 3n]);
    await until(() => !three.transport.connected(1n), 'parted');
    await until(() => one.transport.connected(3n) && three.transport.connected(1n), 'met again');
    await say([6]);
  });

  test('no more of one that has moved while this member was away', async () => {
    one.transport.setPeers([
      { id: 2n, peerUrls: [network.line(1n, 2n).url] },
      { id: 3n, peerUrls: ['http://127.0.0.1:1'] },
    ]);
    const three = await startThird();
    await until(() => one.transport.connected(3n) && three.transport.connected(1n), 'found');
  });

  test('of a version older than the members have agreed on', async () => {
    one.agreed = protocolVersion;
    const old = { version: protocolVersion - 1, oldestVersion: 1 };
    const answer = await answerTo(encodeHello({ ...hello, ...old }));
    const text =
      `protocol versions differ: 1 to ${protocolVersion - 1} there, ` +
      `${protocolVersion} to ${protocolVersion} here`;
    expect(answer).toMatchObject({ kind: 'refused', text });
    expect(one.transport.protocolOf(3n)).not.toBe(protocolVersion - 1);
    one.agreed = 0;
    expect(await answerTo(encodeHello({ ...hello, ...old, session: 7 }))).toMatchObject({
      kind: 'welcome',
    });
    expect(one.transport.protocolOf(3n)).toBe(protocolVersion - 1);
    await bothTalk();
  });

  test('for a snapshot that was not offered', async () => {
    const answer = await answerTo(encodeHello({ ...hello, channel: 'snapshot', transfer: 1 }));
    expect(answer).toMatchObject({ kind: 'refused', text: 'that snapshot is not offered' });
  });

  test('that a later dial has overtaken', async () => {
    expect(await answerTo(encodeHello({ ...hello, session: 5 }))).toMatchObject({
      kind: 'welcome',
      version: 1,
    });
    expect(await answerTo(encodeHello({ ...hello, session: 4 }))).toMatchObject({
      kind: 'refused',
      text: 'a newer stream exists',
    });
    expect(await answerTo(encodeHello({ ...hello, session: 1, incarnation: 6n }))).toMatchObject({
      kind: 'welcome',
    });
  });

  test('that begins with garbage', async () => {
    expect(await answerTo(Uint8Array.of(1, 2, 3))).toMatchObject({ kind: 'refused' });
    expect(await answerTo(new Uint8Array(0))).toMatchObject({ kind: 'refused' });
    await bothTalk();
  });
});

test('a stream without a hello is closed', async () => {
  const answer = await answerTo(undefined);
  expect(answer).toBe('ended');
  await bothTalk();
});

test('a frame above what a peer may send to the serving end is refused', async () => {
  expect(await answerTo(new Uint8Array(1024 * 1024))).toContain('RESOURCE_EXHAUSTED');
  await bothTalk();
});

test('garbage on the port disturbs nobody', async () => {
  const inputs = ['GET / HTTP/1.1\r\n\r\n', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '\0'.repeat(5_000)];
  for (const input of inputs) {
    await new Promise<void>((resolve) => {
      const socket = net.connect(port(one), '127.0.0.1', () => {
        socket.end(input);
        setTimeout(() => socket.destroy(), 50);
      });
      socket.on('error', () => {});
      socket.on('close', () => resolve());
    });
  }
  await bothTalk();
});

test('a peer that sends garbage loses its stream and is dialled again', async () => {
  let streams = 0;
  const server = new Server();
  server.addService(
    {
      connect: {
        path,
        requestStream: true,
        responseStream: true,
        requestSerialize: identity,
        requestDeserialize: identity,
        responseSerialize: identity,
        responseDeserialize: identity,
      },
    },
    {
      connect: (call: { write(bytes: Uint8Array): void; on(e: string, f: () => void): void }) => {
        streams++;
        call.on('error', () => {});
        call.write(encodeWelcome(1, 5n));
        call.write(Buffer.from('04ffffffffffff', 'hex'));
      },
    },
  );
  const fake = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  network.line(1n, 3n).setTarget(fake);
  await until(() => streams >= 6, 'dialled again and again');
  expect(one.logger.has('warn', 'malformed frame')).toBe(true);
  expect(one.received).toEqual([]);
  await bothTalk();
  server.forceShutdown();
});

test('a peer that does not read costs a bounded amount of memory and then its stream', async () => {
  const transport = overGrpc(one);
  network.line(2n, 1n).setStalled(true);
  const data = new Uint8Array(100_000);
  let most = 0;
  await until(() => {
    for (let i = 0; i < 20; i++) one.send(append(1n, 2n, i, data));
    most = Math.max(most, transport.queuedBytes(2n));
    return one.unreachables.length > 0;
  }, 'the queue is full');
  expect(most).toBeGreaterThan(1024 * 1024);
  expect(most).toBeLessThanOrEqual(4 * 1024 * 1024);
  await until(() => !one.transport.connected(2n), 'the stream is given up');
  network.line(2n, 1n).setStalled(false);
  await until(() => one.transport.connected(2n) && two.transport.connected(1n), 'back');
  await bothTalk();
});

test('a member that listens but has not started lets the others wait, and then talks', async () => {
  let made: GrpcTransport | undefined;
  await network.start(3n, {
    beforeStart: async (transport) => {
      made = transport;
      await new Promise((resolve) => setTimeout(resolve, 200));
    },
  });
  await until(() => one.transport.connected(3n) && made?.connected(1n) === true, 'connected');
  expect(one.logger.has('warn', 'refused')).toBe(false);
});

test('a taken port and a wrong address are named', async () => {
  const listen = (url: string): Promise<string> => {
    const transport = new GrpcTransport({
      self: 9n,
      cluster: 1n,
      clock: realClock,
      random: new SeededRandom(1),
      logger: new RecordingLogger(),
      listenUrls: [url],
    });
    return new Promise((resolve) => {
      transport.listen((error) => {
        transport.stop(() => resolve(error?.message ?? 'listens'));
      });
    });
  };
  const taken = `http://127.0.0.1:${port(one)}`;
  expect(await listen(taken)).toBe(
    `cannot listen for peers on ${taken}: the address is already in use`,
  );
  expect(await listen('ftp://127.0.0.1:1')).toContain('not a peer URL: ftp://127.0.0.1:1');
  expect(await listen('https://127.0.0.1:0')).toContain('needs a certificate');
  expect(await listen('http://127.0.0.1:0')).toBe('listens');
});

/** The first frame that a peer of a protocol hears after its welcome, while `send` is repeated. */
async function heardBy(version: number, send: () => void): Promise<Frame | string> {
  const repeat = setInterval(send, 5);
  try {
    return await answerTo(encodeHello({ ...hello, version }), (frame) => frame.kind !== 'welcome');
  } finally {
    clearInterval(repeat);
  }
}

test.each([
  ['the protocol before introductions gets none', 1, 'batch'],
  ['the protocol of introductions gets them', 2, 'introduction'],
])('a peer of %s', async (_what, version, kind) => {
  const introduction = {
    life: 1n,
    takesPart: true,
    asks: true,
    noted: 0n,
    early: false,
    announced: false,
    witnesses: nobody,
  };
  const answer = await heardBy(version, () => {
    one.transport.introduce(3n, introduction);
    one.send(heartbeat(1n, 3n, 1));
  });
  expect(answer).toMatchObject({ kind });
});

test.each([
  ['is not sent what it would not understand', 5, ['heartbeat']],
  ['is sent what it understands', 6, ['committed', 'heartbeat']],
] as const)('a peer %s', async (_what, version, types) => {
  const way = { from: 1n, to: 3n, term: 1 };
  const answer = await heardBy(version, () => {
    one.send({ ...way, type: 'committed', index: 1, logTerm: 1 }, heartbeat(1n, 3n, 1));
  });
  expect(answer).toMatchObject({ kind: 'batch', messages: types.map((type) => ({ type })) });
});
