import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { memberIdOf } from '../../src/cluster/identity.ts';
import { encodeHello } from '../../src/transport/frames.ts';
import { callerOf, PeerNetwork } from './peer-network.ts';

/** A peer port that keeps what it is sent. */
class Port {
  readonly sockets: Socket[] = [];
  readonly server: Server;
  received = '';
  ended = 0;

  constructor() {
    this.server = createServer((socket) => {
      this.sockets.push(socket);
      socket.on('data', (bytes) => (this.received += bytes.toString('latin1')));
      socket.on('error', () => {});
      socket.on('close', () => this.ended++);
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    const address = this.server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return `http://127.0.0.1:${address.port}`;
  }
}

let ports: Port[];
let network: PeerNetwork;
let urls: readonly string[];
const callers: Socket[] = [];

beforeEach(async () => {
  ports = [new Port(), new Port(), new Port()];
  network = new PeerNetwork();
  urls = await network.open(await Promise.all(ports.map((port) => port.listen())));
});

afterEach(async () => {
  for (const socket of callers.splice(0)) socket.destroy();
  await network.close();
  for (const { sockets, server } of ports) {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});

const idOf = (member: number): bigint => memberIdOf([urls[member - 1] ?? ''], 'etcd-cluster');

function hello(from: bigint): Uint8Array {
  return encodeHello({
    version: 1,
    oldestVersion: 1,
    cluster: 1n,
    from,
    to: 2n,
    incarnation: 3n,
    session: 4,
    channel: 'append',
    transfer: 0,
    peerUrls: [],
  });
}

interface Call {
  readonly socket: Socket;
  readonly port: Port;
  received: string;
  closed: boolean;
}

/** A member dials another, says hello and is connected. */
async function dial(from: number, to: number): Promise<Call> {
  const socket = connect(Number(new URL(urls[to - 1] ?? '').port), '127.0.0.1');
  callers.push(socket);
  const port = ports[to - 1]!;
  const call: Call = { socket, port, received: '', closed: false };
  socket.on('data', (bytes) => (call.received += bytes.toString('latin1')));
  socket.on('error', () => {});
  socket.on('close', () => (call.closed = true));
  const before = network.connections;
  socket.write('the preface of HTTP/2, ');
  socket.write(hello(idOf(from)));
  await vi.waitFor(() => expect(network.connections).toBe(before + 1));
  await vi.waitFor(() => expect(port.received).toContain('the preface of HTTP/2, '));
  port.received = '';
  return call;
}

test('who calls is read from the hello, wherever it begins', () => {
  const bytes = Buffer.concat([Buffer.from('anything before'), hello(0xfedcba9876543210n)]);
  expect(callerOf(bytes)).toBe(0xfedcba9876543210n);
  for (let length = 0; length < 15 + 5 + 12 + 8; length++) {
    expect(callerOf(bytes.subarray(0, length))).toBeUndefined();
  }
});

describe('a connection from m1 to m2', () => {
  test('carries bytes both ways', async () => {
    const call = await dial(1, 2);
    call.socket.write('there');
    call.port.sockets[0]!.write('back');
    await vi.waitFor(() => expect(call.port.received).toBe('there'));
    await vi.waitFor(() => expect(call.received).toBe('back'));
  });

  test('is held in one direction only, and gives up all of it in order when mended', async () => {
    const call = await dial(1, 2);
    network.link('m1', 'm2').cut();
    call.socket.write('one ');
    call.socket.write('two');
    call.port.sockets[0]!.write('back');
    await vi.waitFor(() => expect(call.received).toBe('back'));
    expect(call.port.received).toBe('');
    network.link('m1', 'm2').mend();
    await vi.waitFor(() => expect(call.port.received).toBe('one two'));
  });

  test('is not held by cuts between others', async () => {
    const call = await dial(1, 2);
    for (const link of network.between([['m1', 'm2'], ['m3']])) link.cut();
    call.socket.write('there');
    await vi.waitFor(() => expect(call.port.received).toBe('there'));
  });

  test('tells of its end only where it is not cut', async () => {
    const call = await dial(1, 2);
    network.link('m1', 'm2').cut();
    call.socket.destroy();
    await vi.waitFor(() => expect(network.connections).toBe(0));
    const other = await dial(3, 2);
    other.socket.destroy();
    await vi.waitFor(() => expect(call.port.ended).toBe(1));
    network.link('m1', 'm2').mend();
    await vi.waitFor(() => expect(call.port.ended).toBe(2));
  });

  test('is as slow as its link, and keeps the order', async () => {
    const call = await dial(1, 2);
    let delayMs = 200;
    network.link('m1', 'm2').slow(() => delayMs);
    const startedMs = performance.now();
    call.socket.write('slow ');
    await vi.waitFor(() => expect(call.socket.writableLength).toBe(0));
    await new Promise((resolve) => setImmediate(resolve));
    delayMs = 0;
    call.socket.write('fast');
    await vi.waitFor(() => expect(call.port.received).toBe('slow fast'));
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(190);
  });

  test('holds a mebibyte and no more', async () => {
    const call = await dial(1, 2);
    network.link('m1', 'm2').cut();
    const bytes = Buffer.alloc(32 * 1024 * 1024, 'x');
    let written = false;
    call.socket.write(bytes, () => (written = true));
    // What was sent after it, on a connection of its own, has come: this one waits.
    const other = await dial(3, 2);
    other.socket.write('other');
    await vi.waitFor(() => expect(call.port.received).toContain('other'));
    expect(written).toBe(false);
    network.link('m1', 'm2').mend();
    await vi.waitFor(() => expect(written).toBe(true), 10_000);
    await vi.waitFor(() => expect(call.port.received.length).toBe(bytes.length + 5), 10_000);
  });

  test('breaks at both ends, whoever dialled', async () => {
    const call = await dial(1, 2);
    const other = await dial(3, 2);
    network.reset('m2', 'm1');
    await vi.waitFor(() => expect(call.closed).toBe(true));
    await vi.waitFor(() => expect(call.port.ended).toBe(1));
    expect(other.closed).toBe(false);
  });

  test('ends when the other end does', async () => {
    const call = await dial(1, 2);
    call.port.sockets[0]!.end('last words');
    await vi.waitFor(() => expect(call.closed).toBe(true));
    expect(call.received).toBe('last words');
  });
});

test('groups are cut from each other in both directions, and who is in none from all', () => {
  const cut = network.between([['m1', 'm2']]).map(({ from, to }) => `${from}>${to}`);
  expect(cut.sort()).toEqual(['m1>m3', 'm2>m3', 'm3>m1', 'm3>m2']);
});

test('a stranger is sent away', async () => {
  const socket = connect(Number(new URL(urls[0] ?? '').port), '127.0.0.1');
  callers.push(socket);
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(hello(1n));
  await closed;
});
