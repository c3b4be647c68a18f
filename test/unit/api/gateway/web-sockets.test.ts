import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { latin1 } from '../../../../src/base/bytes.ts';
import type { BidiHandler } from '../../../../src/api/handler.ts';
import { WatchResponse, type WatchRequest } from '../../../../src/gen/rpc.ts';
import type { ApiPort, ApiPortOptions } from '../../../support/api-port.ts';
import { cleanups, deferred, okPut, serve } from '../../../support/api-calls.ts';
import { base64 } from '../../../support/gateway-calls.ts';

type WatchHandler = BidiHandler<WatchRequest, WatchResponse>;

async function serveWatch(watch: WatchHandler, options: ApiPortOptions = {}): Promise<ApiPort> {
  const { port } = await serve({ put: okPut }, options, { watch });
  return port;
}

/** Answers every creation with its key, and ends with the requests. */
const echo: WatchHandler = async function* (requests) {
  for await (const { requestUnion } of requests) {
    if (requestUnion?.case !== 'createRequest') continue;
    yield WatchResponse.create({ cancelReason: latin1(requestUnion.value.key) });
  }
};

/** What a client hears, to be taken one by one; `close NNN` in the end. */
class Client {
  readonly socket: WebSocket;
  readonly #heard: string[] = [];
  #wake: () => void = () => undefined;

  constructor(port: ApiPort, path: string, headers: Record<string, string> = {}, token?: string) {
    const protocols = token === undefined ? [] : ['Bearer', token];
    this.socket = new WebSocket(`ws://${port.address}${path}`, protocols, { headers });
    this.socket.on('error', (error) => this.#hear(error.message));
    this.socket.on('message', (data: Buffer, isBinary) =>
      this.#hear(isBinary ? 'binary' : data.toString()),
    );
    this.socket.on('close', (code) => this.#hear(`close ${code}`));
    cleanups.push(() => this.socket.terminate());
  }

  async opened(): Promise<this> {
    await once(this.socket, 'open');
    return this;
  }

  async next(): Promise<string> {
    while (this.#heard.length === 0) await new Promise<void>((wake) => (this.#wake = wake));
    return this.#heard.shift() ?? '';
  }

  async nextJson(): Promise<unknown> {
    return JSON.parse(await this.next()) as unknown;
  }

  #hear(text: string): void {
    this.#heard.push(text);
    this.#wake();
  }
}

const create = (key: string): string => JSON.stringify({ create_request: { key: base64(key) } });
const created = (key: string): unknown => ({ result: { cancel_reason: key } });

describe('the gateway over WebSocket', () => {
  test('has a message for each request and each answer of a watch', async () => {
    const client = await new Client(await serveWatch(echo), '/v3/watch').opened();
    for (const key of ['a', 'b', 'c']) {
      client.socket.send(create(key));
      expect(await client.nextJson()).toEqual(created(key));
    }
    // Without waiting, and cut at other places than the messages end.
    for (let i = 0; i < 200; i++) client.socket.send(create(`k${i}`));
    for (let i = 0; i < 200; i++) expect(await client.nextJson()).toEqual(created(`k${i}`));
  });

  test('serves calls with one request too, and is closed after the answer', async () => {
    const client = await new Client(await serveWatch(echo), '/v3/kv/put').opened();
    client.socket.send(JSON.stringify({ key: base64('a'), value: base64('b') }));
    expect(await client.nextJson()).toEqual({});
    expect(await client.next()).toBe('close 1000');
  });

  test('tells what is wrong with a request, and is closed', async () => {
    const client = await new Client(await serveWatch(echo), '/v3/watch').opened();
    client.socket.send('{nonsense');
    expect(await client.nextJson()).toMatchObject({ error: { code: 3 } });
    expect(await client.next()).toBe('close 1000');
  });

  test('ends the call when the client goes', async () => {
    const { promise: aborted, resolve } = deferred();
    const { promise: started, resolve: start } = deferred();
    // eslint-disable-next-line require-yield -- a stream without a message
    const port = await serveWatch(async function* (_requests, { signal }) {
      start();
      await new Promise<void>((over) => signal.addEventListener('abort', () => over()));
      resolve();
    });
    const client = await new Client(port, '/v3/watch').opened();
    await started;
    client.socket.terminate();
    await aborted;
  });

  test('holds a handler back whose client does not read', async () => {
    let answered = 0;
    const reason = 'x'.repeat(100_000);
    const port = await serveWatch(async function* () {
      for (; answered < 1000; answered++) yield WatchResponse.create({ cancelReason: reason });
    });
    const client = await new Client(port, '/v3/watch').opened();
    client.socket.pause();
    let before;
    do {
      before = answered;
      await new Promise((resolve) => setTimeout(resolve, 300));
    } while (answered !== before);
    expect(answered).toBeLessThan(1000);
    client.socket.resume();
    for (let i = 0; i < 1000; i++) expect((await client.next()).length).toBeGreaterThan(100_000);
    expect(await client.next()).toBe('close 1000');
  });

  test('hands over an answer of many megabytes as one message', async () => {
    const reason = 'x'.repeat(8_000_000);
    const port = await serveWatch(async function* () {
      await Promise.resolve();
      yield WatchResponse.create({ cancelReason: reason });
    });
    const client = await new Client(port, '/v3/watch').opened();
    expect(await client.nextJson()).toEqual({ result: { cancel_reason: reason } });
    expect(await client.next()).toBe('close 1000');
  });

  test('takes any number of requests at once from a client of a slow handler', async () => {
    const { promise: goes, resolve: go } = deferred();
    let taken = 0;
    const port = await serveWatch(async function* (requests) {
      await goes;
      for await (const _ of requests) if (++taken === 3000) break;
      yield WatchResponse.create({ cancelReason: 'all' });
    });
    const warnings: string[] = [];
    const warn = ({ message }: Error): void => void warnings.push(message);
    process.on('warning', warn);
    const client = await new Client(port, '/v3/watch').opened();
    for (let i = 0; i < 3000; i++) client.socket.send(create('x'.repeat(200)));
    await new Promise((resolve) => setTimeout(resolve, 200));
    go();
    expect(await client.nextJson()).toEqual({ result: { cancel_reason: 'all' } });
    process.off('warning', warn);
    expect(warnings).toEqual([]);
  });

  test('hands a token over that came as a protocol', async () => {
    const port = await serveWatch(async function* (_requests, context) {
      await Promise.resolve();
      yield WatchResponse.create({ cancelReason: context.metadata('authorization') ?? 'none' });
    });
    const client = await new Client(port, '/v3/watch', {}, 'secret').opened();
    expect(client.socket.protocol).toBe('Bearer');
    expect(await client.nextJson()).toEqual({ result: { cancel_reason: 'Bearer secret' } });
  });

  test('refuses pages that --cors does not allow', async () => {
    const port = await serveWatch(echo, { http: { corsOrigins: ['http://good.example:80'] } });
    const bad = await new Client(port, '/v3/watch', { origin: 'http://bad.example' }).opened();
    expect(await bad.next()).toContain('is not allowed by --cors');
    expect(await bad.next()).toBe('close 1000');
    const good = await new Client(port, '/v3/watch', { origin: 'http://good.example' }).opened();
    good.socket.send(create('a'));
    expect(await good.nextJson()).toEqual(created('a'));
  });

  test('does not take messages that are too large', async () => {
    const client = await new Client(await serveWatch(echo), '/v3/watch').opened();
    client.socket.send('x'.repeat(4 * 1024 * 1024));
    expect(await client.next()).toBe('close 1009');
  });

  test('takes a message as large as a request may be', async () => {
    const port = await serveWatch(echo, { grpc: { maxRequestBytes: 8_000_000 } });
    const client = await new Client(port, '/v3/kv/put').opened();
    client.socket.send(JSON.stringify({ key: base64('a'), value: base64('b'.repeat(7_999_000)) }));
    expect(await client.nextJson()).toEqual({});
    expect(await client.next()).toBe('close 1000');
  });

  test('may not hold more than its share with a message that does not end', async () => {
    const requestLimits = { connectionBytes: 100_000, totalBytes: 1_000_000, stallMs: 1_000 };
    const port = await serveWatch(echo, { grpc: { requestLimits } });
    const client = await new Client(port, '/v3/watch').opened();
    // Messages that are complete do not add up, nor do pings.
    for (let i = 0; i < 30; i++) {
      client.socket.send(create('k'.repeat(5_000)));
      client.socket.ping('p'.repeat(125));
      expect(await client.nextJson()).toEqual(created('k'.repeat(5_000)));
    }
    for (let i = 0; i < 2_000; i++) client.socket.ping('p'.repeat(125));
    client.socket.send('{"create_request": {"key": "', { fin: false });
    for (let i = 0; i < 20; i++) client.socket.send('A'.repeat(10_000), { fin: false });
    expect(await client.next()).toBe('close 1006');
  });

  test('counts once among connections', async () => {
    const port = await serveWatch(echo, { port: { maxHttpConnections: 2 } });
    const clients = [
      await new Client(port, '/v3/watch').opened(),
      await new Client(port, '/v3/watch').opened(),
    ];
    for (const client of clients) {
      client.socket.send(create('a'));
      expect(await client.nextJson()).toEqual(created('a'));
    }
    expect(await new Client(port, '/v3/watch').next()).toBe('socket hang up');
  });

  test('is only for the paths of the gateway', async () => {
    const client = new Client(await serveWatch(echo), '/metrics');
    expect(await client.next()).toBe('Unexpected server response: 400');
  });

  test('ends with a word when the server stops', async () => {
    const port = await serveWatch(echo);
    const client = await new Client(port, '/v3/watch').opened();
    client.socket.send(create('a'));
    expect(await client.nextJson()).toEqual(created('a'));
    await port.stop(1000);
    expect(await client.next()).toContain('server stopped');
    expect(await client.next()).toMatch(/^close /);
  });
});
