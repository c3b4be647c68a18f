import { get as httpGet, type IncomingMessage, request as httpRequest } from 'node:http';
import { connect as connectSocket, type Socket } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { StatusError } from '../../../src/base/errors.ts';
import { KV } from '../../../src/gen/services.ts';
import { PutRequest, PutResponse } from '../../../src/gen/rpc.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { ApiPort, type ApiPortOptions } from '../../support/api-port.ts';
import { GrpcClient } from '../../support/grpc.ts';

const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function serve(options: ApiPortOptions = {}): Promise<ApiPort> {
  const port = new ApiPort(options);
  port.adapter.add(KV, { put: () => Promise.resolve(PutResponse.create()) });
  await port.listen();
  cleanups.push(() => port.stop());
  return port;
}

async function get(
  port: ApiPort,
  path: string,
  init?: RequestInit,
): Promise<{ status: number; body: string; headers: Headers }> {
  const response = await fetch(port.url + path, init);
  return { status: response.status, body: await response.text(), headers: response.headers };
}

function open(port: ApiPort): Socket {
  const socket = connectSocket(port.port, '127.0.0.1');
  socket.on('error', () => undefined);
  cleanups.push(() => {
    socket.destroy();
  });
  return socket;
}

/** Everything that comes until the server closes. */
function untilClosed(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
  });
}

/** Shows that gRPC and HTTP are served as if nothing had happened. */
async function expectServing(port: ApiPort): Promise<void> {
  const client = new GrpcClient(port.address);
  try {
    await client.unary(KV.methods.put, PutRequest.create());
  } finally {
    client.close();
  }
  // On a connection of its own: one that is used again may be closed at that moment.
  const { statusCode } = await new Promise<IncomingMessage>((resolve, reject) => {
    httpGet(`${port.url}/health`, { agent: false }, resolve).on('error', reject);
  });
  expect(statusCode).toBe(200);
}

describe('health', () => {
  test('of a healthy member', async () => {
    const port = await serve();
    expect(await get(port, '/health')).toMatchObject({
      status: 200,
      body: '{"health":"true","reason":""}',
    });
    expect(await port.metric('etcd_server_health_success')).toBe(1);
    expect(await port.metric('etcd_server_health_failures')).toBe(0);
  });

  test.each<[string, ApiPortOptions['health'], string, string]>([
    ['an alarm', { alarms: () => ['NOSPACE'] }, '', 'ALARM NOSPACE'],
    ['corruption', { alarms: () => ['CORRUPT'] }, '?exclude=NOSPACE', 'ALARM CORRUPT'],
    [
      'a repair',
      { repairing: () => true, hasLeader: () => false },
      '?serializable=true',
      'REPAIRING: this member gets back from the others what it lost',
    ],
    ['no leader', { hasLeader: () => false }, '?serializable=false', 'RAFT NO LEADER'],
    [
      'a failing read',
      { read: () => Promise.reject(new StatusError(14, 'etcdserver: request timed out')) },
      '',
      'RANGE ERROR:etcdserver: request timed out',
    ],
    [
      'a read without end',
      { read: () => new Promise(() => undefined), requestTimeoutMs: 10 },
      '?serializable=true',
      'RANGE ERROR:context deadline exceeded',
    ],
  ])('with %s', async (_name, health, query, reason) => {
    const port = await serve({ health: health ?? {} });
    expect(await get(port, `/health${query}`)).toMatchObject({
      status: 503,
      body: `{"health":"false","reason":"${reason}"}\n`,
    });
    expect(await port.metric('etcd_server_health_failures')).toBe(1);
  });

  test('leaves out what is excluded, and the leader for serializable', async () => {
    const port = await serve({ health: { alarms: () => ['NOSPACE'], hasLeader: () => false } });
    const path = '/health?exclude=CORRUPT&exclude=NOSPACE&serializable=true';
    expect((await get(port, path)).status).toBe(200);
  });

  test('reads as it was asked to', async () => {
    const reads: boolean[] = [];
    const read = (serializable: boolean): Promise<void> => {
      reads.push(serializable);
      return Promise.resolve();
    };
    const port = await serve({ health: { read } });
    await get(port, '/health');
    await get(port, '/health?serializable=true');
    expect(reads).toEqual([false, true]);
  });

  test.each(['/health', '/livez', '/readyz', '/version'])('%s takes only GET', async (path) => {
    const port = await serve();
    const answer = await get(port, path, { method: 'POST', body: 'x' });
    expect(answer.status).toBe(405);
    expect(answer.headers.get('allow')).toBe('GET');
  });
});

describe('probes', () => {
  test('of a healthy member', async () => {
    const port = await serve();
    expect(await get(port, '/livez')).toMatchObject({ status: 200, body: 'ok\n' });
    expect((await get(port, '/readyz?verbose')).body).toBe(
      '[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n' +
        '[+]non_learner ok\nok\n',
    );
    expect((await get(port, '/readyz/non_learner')).body).toBe('ok\n');
    expect((await get(port, '/livez/non_learner')).status).toBe(404);
    expect((await get(port, '/readyz/non_learner/x')).status).toBe(404);
  });

  test('of a member that is repaired: it lives, and is not ready', async () => {
    const port = await serve({ health: { repairing: () => true } });
    expect((await get(port, '/livez')).status).toBe(200);
    expect(await get(port, '/readyz')).toMatchObject({
      status: 503,
      body:
        '[+]data_corruption ok\n[+]serializable_read ok\n[-]linearizable_read failed: ' +
        'this member gets back from the others what it lost\n[+]non_learner ok\n\n',
    });
  });

  test('of a learner without leader', async () => {
    const read = (serializable: boolean): Promise<void> =>
      serializable ? Promise.resolve() : Promise.reject(new Error('etcdserver: no leader'));
    const port = await serve({ health: { isLearner: () => true, read } });
    expect((await get(port, '/livez')).status).toBe(200);
    const answer = await get(port, '/readyz?exclude=data_corruption');
    expect(answer).toMatchObject({
      status: 503,
      body:
        '[+]serializable_read ok\n[-]linearizable_read failed: etcdserver: no leader\n' +
        '[-]non_learner failed: not supported for learner\n\n',
    });
    const series = 'etcd_server_healthcheck{type="readyz",name="linearizable_read"}';
    expect(await port.metric(series)).toBe(0);
  });
});

describe('other paths', () => {
  test('versions', async () => {
    const port = await serve();
    expect(await get(port, '/version')).toMatchObject({
      status: 200,
      body: '{"etcdserver":"3.6.14","etcdcluster":"3.6.0","storage":"3.6.0"}',
    });
    const early = await serve({
      http: { versions: () => ({ server: '3.6.14', cluster: undefined, storage: undefined }) },
    });
    expect((await get(early, '/version')).body).toBe(
      '{"etcdserver":"3.6.14","etcdcluster":"not_decided","storage":"unknown"}',
    );
  });

  test('metrics', async () => {
    const answer = await get(await serve(), '/metrics');
    expect(answer.headers.get('content-type')).toContain('text/plain');
    expect(answer.body).toContain('# TYPE grpc_server_started_total counter');
  });

  test.each(['/', '/nope', '/healthz', '//health', '/metrics/x'])(
    '%s is not found',
    async (path) => {
      expect((await get(await serve(), path)).status).toBe(404);
    },
  );

  test('a fault while answering is logged and not told', async () => {
    const port = await serve({ http: { scrape: () => Promise.reject(new Error('secret')) } });
    expect(await get(port, '/metrics')).toMatchObject({ status: 500, body: 'internal error\n' });
    expect(port.logger.lines.some((line) => line.message === 'HTTP request failed')).toBe(true);
  });

  test('hosts that are not listed are refused', async () => {
    const port = await serve({ http: { hostWhitelist: ['kv.example.com'] } });
    expect((await get(port, '/health')).status).toBe(421);
    const status = await new Promise((resolve) => {
      const headers = { host: 'kv.example.com:2379' };
      httpRequest(`${port.url}/health`, { headers }, (response) => {
        response.resume();
        resolve(response.statusCode);
      }).end();
    });
    expect(status).toBe(200);
  });

  test('browsers may call from listed origins', async () => {
    const port = await serve({ http: { corsOrigins: ['http://a.example'] } });
    const allowed = await get(port, '/health', { headers: { origin: 'http://a.example' } });
    expect(allowed.headers.get('access-control-allow-origin')).toBe('http://a.example');
    const other = await get(port, '/health', { headers: { origin: 'http://b.example' } });
    expect(other.headers.get('access-control-allow-origin')).toBeNull();
  });
});

describe('listening', () => {
  test('on a Unix socket', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'quorate-'));
    cleanups.push(() => rmSync(directory, { recursive: true }));
    const port = await serve();
    const path = join(directory, 's');
    expect(await port.clientPort.listen(`unix://${path}`)).toBe(path);
    const client = new GrpcClient(`unix:${path}`);
    await client.unary(KV.methods.put, PutRequest.create());
    client.close();
  });

  test('on a taken port fails with a reason', async () => {
    const port = await serve();
    await expect(port.clientPort.listen(port.url)).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  test('for one protocol refuses the other', async () => {
    const port = await serve();
    const grpcOnly = await port.clientPort.listen('http://127.0.0.1:0', 'grpc');
    const httpOnly = await port.clientPort.listen('http://127.0.0.1:0', 'http');
    if (typeof grpcOnly === 'string' || typeof httpOnly === 'string') throw new Error('no port');
    expect((await fetch(`http://127.0.0.1:${grpcOnly.port}/health`)).status).toBe(404);
    expect((await fetch(`http://127.0.0.1:${httpOnly.port}/health`)).status).toBe(200);
    const client = new GrpcClient(`127.0.0.1:${httpOnly.port}`);
    await expect(
      client.unary(KV.methods.put, PutRequest.create(), { timeoutMs: 500 }),
    ).rejects.toThrow();
    client.close();
  });
});

describe('hostile connections', () => {
  const quick = { firstBytesTimeoutMs: 60, httpRequestTimeoutMs: 60 };

  test('that say nothing are closed', async () => {
    const port = await serve({ port: quick });
    expect(await untilClosed(open(port))).toBe('');
  });

  test('that stop within the preface are closed', async () => {
    const port = await serve({ port: quick });
    const socket = open(port);
    socket.write('PRI * HTTP/2.0\r\n');
    expect(await untilClosed(socket)).toBe('');
  });

  test('may bring the preface byte by byte', async () => {
    const port = await serve();
    const socket = open(port);
    socket.setNoDelay(true);
    for (const byte of 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n') {
      socket.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    // The server's own SETTINGS are the answer.
    const first = await new Promise<Buffer>((resolve) => socket.once('data', resolve));
    expect(first[3]).toBe(4);
  });

  test('may bring an HTTP/1 request byte by byte', async () => {
    const port = await serve();
    const socket = open(port);
    socket.setNoDelay(true);
    for (const byte of 'GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n') {
      socket.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await untilClosed(socket)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });

  test('that trickle headers for ever are closed', async () => {
    const port = await serve({ port: quick });
    const socket = open(port);
    socket.write('GET /health HTTP/1.1\r\n');
    const trickle = setInterval(() => socket.write('x: y\r\n'), 10);
    const answer = await untilClosed(socket);
    clearInterval(trickle);
    expect(answer).toBe('');
  });

  test('that keep an idle connection are closed', async () => {
    const port = await serve({ port: quick });
    const socket = open(port);
    socket.write('GET /health HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(await untilClosed(socket)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });

  test('that send requests ahead are answered one by one, in order', async () => {
    let running = 0;
    let most = 0;
    const port = await serve({
      http: {
        scrape: async () => {
          most = Math.max(most, ++running);
          await new Promise((resolve) => setImmediate(resolve));
          running--;
          return { contentType: 'text/plain', text: 'm' };
        },
      },
    });
    const socket = open(port);
    const paths = Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? '/metrics' : '/nope'));
    const head = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n`;
    socket.write(paths.map((path) => `${head(path)}\r\n`).join(''));
    socket.write(`${head('/version')}Connection: close\r\n\r\n`);
    const answers = await untilClosed(socket);
    const statuses = [...answers.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
    expect(statuses).toEqual([...paths.map((path) => (path === '/nope' ? '404' : '200')), '200']);
    expect(most).toBe(1);
  });

  test('that send far too many requests ahead are closed', async () => {
    let scrapes = 0;
    const port = await serve({
      http: {
        scrape: () => {
          scrapes++;
          return Promise.resolve({ contentType: 'text/plain', text: 'm' });
        },
      },
    });
    const socket = open(port);
    socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(1000));
    await untilClosed(socket);
    expect(scrapes).toBeLessThan(100);
    await expectServing(port);
  });

  test('may half-close after their request', async () => {
    const port = await serve();
    const socket = open(port);
    socket.end('GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    expect(await untilClosed(socket)).toContain('{"health":"true","reason":""}');
  });

  test.each<[string, string, RegExp]>([
    ['nonsense', 'hello\r\n\r\n', /^HTTP\/1\.1 400 /],
    ['another preface', 'PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n', /^HTTP\/1\.1 40\d /],
    ['endless headers', `GET / HTTP/1.1\r\nx: ${'y'.repeat(20_000)}`, /^HTTP\/1\.1 431 /],
    ['a tunnel', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n', /^HTTP\/1\.1 405 /],
    [
      'an upgrade',
      'GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
      /^HTTP\/1\.1 400 /,
    ],
    [
      'two lengths',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
      /^HTTP\/1\.1 400 /,
    ],
  ])('that send %s are refused', async (_name, text, answer) => {
    const port = await serve();
    const socket = open(port);
    socket.write(text);
    expect(await untilClosed(socket)).toMatch(answer);
    await expectServing(port);
  });

  test.each([
    ['a frame that is too long', [0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]],
    ['data without a stream', [0, 0, 1, 0, 0, 0, 0, 0, 1, 0]],
    ['headers on stream 0', [0, 0, 1, 1, 4, 0, 0, 0, 0, 0x82]],
    ['headers that cannot be decompressed', [0, 0, 2, 1, 5, 0, 0, 0, 1, 0xff, 0xff]],
    ['settings of a wrong length', [0, 0, 1, 4, 0, 0, 0, 0, 0, 0]],
    ['a window that overflows', [0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]],
    ['a continuation of nothing', [0, 0, 1, 9, 4, 0, 0, 0, 1, 0x82]],
  ])('that speak HTTP/2 with %s are told off and closed', async (_name, frame) => {
    const port = await serve({ grpc: { idleProbeMs: 40, probeTimeoutMs: 40 } });
    const socket = open(port);
    const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    socket.write(Buffer.concat([preface, settings, Buffer.from(frame)]));
    const answer = Buffer.from(await untilClosed(socket), 'latin1');
    expect(frameTypes(answer)).toContain(7);
    await expectServing(port);
  });

  test('of random bytes in either protocol disturb nobody', async () => {
    const port = await serve({ port: quick });
    const random = new SeededRandom(7);
    const bytes = (length: number): Buffer =>
      Buffer.from(Array.from({ length }, () => random.below(256)));
    const heads = [
      '',
      'GET /',
      'GET /health HTTP/1.1\r\n',
      'POST /health HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0',
    ];
    const closed = Array.from({ length: 120 }, async (_, i) => {
      const socket = open(port);
      socket.write(Buffer.concat([Buffer.from(heads[i % heads.length] ?? '', 'latin1')]));
      socket.write(bytes(1 + random.below(300)));
      if (i % 2 === 0) socket.end();
      else setTimeout(() => socket.destroy(), 30 + random.below(50));
      await untilClosed(socket);
    });
    await Promise.all([...closed, expectServing(port)]);
    await expectServing(port);
    expect(port.logger.lines.filter((line) => line.level === 'error')).toEqual([]);
  });
});

/** Types of the frames in `bytes`: 7 is GOAWAY. */
function frameTypes(bytes: Buffer): number[] {
  const types: number[] = [];
  for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
    types.push(bytes.readUInt8(at + 3));
  }
  return types;
}
