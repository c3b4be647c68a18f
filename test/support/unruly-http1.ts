/** Requests over HTTP/1.1 that break the rules, or good ones that are broken off. */
import type { Random } from '../../src/base/random.ts';
import { pick, randomBytes, unrulyKeys } from './unruly-http2.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

function chunked(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`;
}

function request(line: string, headers: readonly string[], body = ''): string {
  return `${[`${line} HTTP/1.1`, 'Host: 127.0.0.1', ...headers].join('\r\n')}\r\n\r\n${body}`;
}

function post(random: Random, path: string, value: unknown): string {
  const body = JSON.stringify(value);
  if (random.below(3) > 0) return request(`POST ${path}`, [`Content-Length: ${body.length}`], body);
  const end = pick(random, ['0\r\n\r\n', '', 'zz\r\n', '0\r\nTrailer: a\r\n\r\n']);
  return request(`POST ${path}`, ['Transfer-Encoding: chunked'], chunked(body) + end);
}

const everything = { key: base64('\0'), range_end: base64('\0') };

/** One request; each has a name for what it asks. */
const requests: Readonly<Record<string, (random: Random) => string>> = {
  plain: (random) =>
    request(
      pick(random, [
        'GET /health',
        'GET /metrics',
        'GET /version',
        'GET /readyz?verbose',
        'HEAD /health',
        'OPTIONS /v3/kv/put',
        'GET /v3/kv/put',
        'DELETE /nothing',
      ]),
      [],
    ),
  put: (random) =>
    post(random, '/v3/kv/put', {
      key: base64(`unruly/${random.below(unrulyKeys)}`),
      value: 'a'.repeat(4 * random.below(500)),
    }),
  range: (random) => post(random, '/v3/kv/range', everything),
  watch: (random) => {
    const create = JSON.stringify({ create_request: { ...everything, start_revision: '1' } });
    const more = pick(random, ['', create, '{"cancel_request":{"watch_id":"0"}}', '{"', '}']);
    const body = chunked(create) + (more === '' ? '' : chunked(more));
    return request('POST /v3/watch', ['Transfer-Encoding: chunked'], body);
  },
  snapshot: (random) => post(random, '/v3/maintenance/snapshot', {}),
  keepAlive: (random) => post(random, '/v3/lease/keepalive', { ID: '1' }),
  connect: () => request('CONNECT a:1', []),
  upgrade: (random) =>
    request('GET /health', [
      `Upgrade: ${pick(random, ['h2c', 'websocket'])}`,
      'Connection: Upgrade, HTTP2-Settings',
      'HTTP2-Settings: AAMAAABkAAQAAP__',
    ]),
  expectation: (random) =>
    request('POST /v3/kv/put', [
      `Expect: ${pick(random, ['100-continue', 'else'])}`,
      `Content-Length: ${random.below(9)}`,
    ]),
  wrongLength: (random) =>
    request('POST /v3/kv/put', [`Content-Length: ${random.below(500)}`], '{"key":"YQ=="}'),
  wrongTimeout: (random) =>
    request(
      'POST /v3/kv/range',
      [`Grpc-Timeout: ${pick(random, ['1n', '1m', 'x'])}`, 'Content-Length: 2'],
      '{}',
    ),
  twoLengths: () => request('POST /v3/kv/put', ['Content-Length: 2', 'Content-Length: 3'], '{}'),
  hugeHeader: (random) => request('GET /health', [`X: ${'a'.repeat(random.below(40_000))}`]),
  manyHeaders: (random) => request('GET /health', Array(random.below(300)).fill('X: a')),
  oldVersion: () => 'GET /health HTTP/1.0\r\n\r\n',
  strangeVersion: () => 'GET /health HTTP/3.7\r\n\r\n',
  noise: (random) => randomBytes(random, random.below(300)).toString('latin1'),
};

export const requestNames: readonly string[] = Object.keys(requests);

/** What one connection sends, mostly of one kind, pipelined or not. */
export function unrulyHttp1(random: Random, name: string): Buffer {
  const count = pick(random, [1, 1, 2, 5, 40]);
  const parts = Array.from({ length: count }, () => {
    const other = random.below(4) === 0 ? pick(random, requestNames) : name;
    return requests[other]?.(random) ?? '';
  });
  return Buffer.from(parts.join(''), 'latin1');
}
