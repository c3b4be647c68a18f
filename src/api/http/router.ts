/** Plain HTTP for people, probes and Prometheus. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from '../../base/logger.ts';
import type { HttpAnswer } from './answer.ts';
import type { HealthEndpoints } from './health.ts';

/** As GET /version tells them; undefined while they are not known. */
export interface Versions {
  readonly server: string;
  readonly cluster: string | undefined;
  readonly storage: string | undefined;
}

export interface HttpRouterOptions {
  readonly health: HealthEndpoints;
  readonly logger: Logger;
  versions(): Versions;
  /** The exposition of all metrics with its content type. */
  scrape(): Promise<{ readonly contentType: string; readonly text: string }>;
  /** Origins that browsers may call from; empty means all. */
  readonly corsOrigins: readonly string[];
  /** Host names that a request may carry; empty means all. */
  readonly hostWhitelist: readonly string[];
}

const notFound: HttpAnswer = {
  status: 404,
  headers: { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' },
  body: '404 page not found\n',
};

function hostName(host: string): string {
  return host.replace(/:\d*$/, '').replace(/^\[(.*)\]$/, '$1');
}

export class HttpRouter {
  readonly #options: HttpRouterOptions;

  constructor(options: HttpRouterOptions) {
    this.#options = options;
  }

  /** Answers any request; never throws. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    // A body has no meaning here, but must be read for the connection to go on.
    request.resume();
    this.#answer(request)
      .catch((error: unknown) => {
        this.#options.logger.error({ error, url: request.url }, 'HTTP request failed');
        return { ...notFound, status: 500, body: 'internal error\n' };
      })
      .then((answer) => send(request, response, answer, this.#corsHeaders(request)))
      .catch((error: unknown) => {
        this.#options.logger.debug({ error }, 'HTTP answer could not be sent');
      });
  }

  async #answer(request: IncomingMessage): Promise<HttpAnswer> {
    const { hostWhitelist, health } = this.#options;
    const host = hostName(request.headers.host ?? '');
    if (hostWhitelist.length > 0 && !hostWhitelist.includes(host)) {
      return { ...notFound, status: 421, body: `misdirected request: host ${host} not allowed\n` };
    }
    const method = request.method ?? '';
    if (method === 'OPTIONS') return { status: 200, headers: {}, body: '' };
    const url = request.url ?? '';
    const end = url.indexOf('?');
    const path = end < 0 ? url : url.slice(0, end);
    const query = new URLSearchParams(end < 0 ? '' : url.slice(end + 1));
    if (path === '/version') return this.#version(method);
    if (path === '/metrics') return await this.#scrape();
    return (await health.answer(method, path, query)) ?? notFound;
  }

  #version(method: string): HttpAnswer {
    if (method !== 'GET') {
      return {
        status: 405,
        headers: { allow: 'GET', 'content-type': 'text/plain; charset=utf-8' },
        body: 'Method Not Allowed\n',
      };
    }
    const { server, cluster, storage } = this.#options.versions();
    return {
      status: 200,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        etcdserver: server,
        etcdcluster: cluster ?? 'not_decided',
        storage: storage ?? 'unknown',
      }),
    };
  }

  async #scrape(): Promise<HttpAnswer> {
    const { contentType, text } = await this.#options.scrape();
    return { status: 200, headers: { 'content-type': contentType }, body: text };
  }

  #corsHeaders(request: IncomingMessage): Record<string, string> {
    const { corsOrigins } = this.#options;
    const origin = request.headers.origin ?? '';
    const allowed = corsOrigins.length === 0 ? '*' : corsOrigins.includes(origin) ? origin : '';
    if (allowed === '') return {};
    return {
      'access-control-allow-methods': 'POST, GET, OPTIONS, PUT, DELETE',
      'access-control-allow-origin': allowed,
      'access-control-allow-headers': 'accept, content-type, authorization',
    };
  }
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  answer: HttpAnswer,
  cors: Readonly<Record<string, string>>,
): void {
  if (response.destroyed) return;
  const body = Buffer.from(answer.body);
  response.writeHead(answer.status, { ...cors, ...answer.headers, 'content-length': body.length });
  response.end(request.method === 'HEAD' ? undefined : body);
}
