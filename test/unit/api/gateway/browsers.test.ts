/** What pages in browsers and names of hosts may do. */
import { request as httpRequest } from 'node:http';
import { describe, expect, test } from 'vitest';
import type { ApiPort, ApiPortOptions } from '../../../support/api-port.ts';
import { okPut, serve } from '../../../support/api-calls.ts';

interface Answer {
  readonly status: number | undefined;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

/** A request with any headers, those included that fetch sets itself. */
function send(
  port: Pick<ApiPort, 'url'>,
  headers: Record<string, string>,
  { method = 'POST', path = '/v3/kv/put' } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(port.url + path, { method, headers, agent: false });
    request.on('error', reject);
    request.on('response', (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (body += chunk));
      response.on('end', () => {
        resolve({ status: response.statusCode, headers: response.headers, body });
      });
    });
    request.end(method === 'POST' ? '{}' : undefined);
  });
}

async function gateway(http: ApiPortOptions['http'] = {}): Promise<ApiPort> {
  const { port } = await serve({ put: okPut }, { http });
  return port;
}

const json = { 'content-type': 'application/json' };
const allowed = 'http://good.example:8080';

describe('origins', () => {
  test('of all pages may call, if they ask before', async () => {
    const port = await gateway();
    const origin = 'http://any.example';
    const asked = await send(port, { origin }, { method: 'OPTIONS' });
    expect(asked.status).toBe(200);
    expect(asked.headers).toMatchObject({
      'access-control-allow-origin': '*',
      'access-control-allow-methods': 'POST, GET, OPTIONS, PUT, DELETE',
      'access-control-allow-headers': 'accept, content-type, authorization',
    });
    const answer = await send(port, { origin, ...json });
    expect(answer.status).toBe(200);
    expect(answer.headers['access-control-allow-origin']).toBe('*');
  });

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', ''])(
    'cannot be used by forms with content type %j',
    async (type) => {
      const port = await gateway();
      const headers = { ...(type === '' ? {} : { 'content-type': type }) };
      const foreign = { origin: 'http://any.example', ...headers };
      expect(await send(port, foreign)).toMatchObject({ status: 403 });
      expect(await send(port, { 'sec-fetch-site': 'cross-site', ...headers })).toMatchObject({
        status: 403,
      });
      // Programs that are no browsers send such types too.
      expect(await send(port, headers)).toMatchObject({ status: 200 });
    },
  );

  test('that are not listed do nothing', async () => {
    const port = await gateway({ corsOrigins: [allowed] });
    for (const origin of ['http://evil.example', 'null', 'http://good.example', `${allowed}0`]) {
      const answer = await send(port, { origin, ...json });
      expect(answer.status).toBe(403);
      expect(answer.headers['access-control-allow-origin']).toBeUndefined();
      expect(JSON.parse(answer.body)).toMatchObject({ code: 7 });
      const asked = await send(port, { origin }, { method: 'OPTIONS' });
      expect(asked.headers['access-control-allow-origin']).toBeUndefined();
    }
    const answer = await send(port, { origin: allowed, ...json });
    expect(answer.status).toBe(200);
    expect(answer.headers['access-control-allow-origin']).toBe(allowed);
  });

  test('on the usual port are listed with it', async () => {
    const port = await gateway({ corsOrigins: ['http://a.example:80', 'https://a.example:443'] });
    const statuses = ['http://a.example', 'https://a.example', 'https://a.example:80'].map(
      async (origin) => (await send(port, { origin, ...json })).status,
    );
    expect(await Promise.all(statuses)).toEqual([200, 200, 403]);
  });

  test('that are our own need not be listed', async () => {
    const port = await gateway({ corsOrigins: [allowed] });
    expect((await send(port, { origin: port.url })).status).toBe(200);
  });
});

describe('hosts', () => {
  const hostWhitelist = ['etcd.example', '::1'];

  test.each(['etcd.example', 'etcd.example:2379', '[::1]:2379'])('%s is allowed', async (host) => {
    const port = await gateway({ hostWhitelist });
    expect((await send(port, { host })).status).toBe(200);
  });

  test.each(['127.0.0.1', 'evil.example', 'etcd.example.evil.example'])(
    '%j is not',
    async (host) => {
      const port = await gateway({ hostWhitelist });
      for (const path of ['/v3/kv/put', '/version', '/v3/watch']) {
        const answer = await send(port, { host }, { path });
        expect(answer.status).toBe(421);
        expect(answer.body).toContain(`etcd --host-whitelist "${host}"`);
        expect(answer.headers['access-control-allow-origin']).toBeUndefined();
      }
    },
  );
});

describe('ports', () => {
  test('without the gateway have no such path', async () => {
    const port = await gateway({ gateway: undefined });
    expect(await send(port, json)).toMatchObject({ status: 404, body: '404 page not found\n' });
  });

  test('for metrics have no such path either', async () => {
    const port = await gateway();
    const address = await port.clientPort.listen('http://127.0.0.1:0', 'metrics');
    if (typeof address === 'string') throw new Error('expected a TCP address');
    const headers = { ...json };
    const metrics = { url: `http://127.0.0.1:${address.port}` };
    expect((await send(metrics, headers)).status).toBe(404);
    expect((await send(metrics, {}, { method: 'GET', path: '/health' })).status).toBe(200);
    expect((await send(port, headers)).status).toBe(200);
  });
});
