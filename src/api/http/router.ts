/** Plain HTTP for people, probes and Prometheus. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { quote } from '../../base/go-values.ts';
import type { Logger } from '../../base/logger.ts';
import { isGatewayPath, type Gateway } from '../gateway/gateway.ts';
import type { AnswerTime, HttpAnswer } from './answer.ts';
import { BrowserPolicy } from './browser-policy.ts';
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
  /** Serves /v3/*; without it there is no such path. */
  readonly gateway?: Gateway | undefined;
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

/** The words of etcd: operators look for them. */
function hostRefusal(host: string): HttpAnswer {
  const body = `
etcd received your request, but the Host header was unrecognized.

To fix this, choose one of the following options:
- Enable TLS, then any HTTPS request will be allowed.
- Add the hostname you want to use to the whitelist in settings.
  - e.g. etcd --host-whitelist ${quote(host)}

This requirement has been added to help prevent "DNS Rebinding" attacks (CVE-2018-5702).

`;
  return { ...notFound, status: 421, body };
}

function hostName(host: string): string {
  return host.replace(/:\d*$/, '').replace(/^\[(.*)\]$/, '$1');
}

/** What else there is to know of a request. */
export interface RequestPlace {
  readonly time: AnswerTime;
  /** Whether it came where only health and metrics are served. */
  readonly isMetricsOnly: boolean;
}

export class HttpRouter {
  readonly #options: HttpRouterOptions;
  readonly #browsers: BrowserPolicy;

  constructor(options: HttpRouterOptions) {
    this.#options = options;
    this.#browsers = new BrowserPolicy(options.corsOrigins);
  }

  /** Answers any request; never throws. */
  handle(request: IncomingMessage, response: ServerResponse, place: RequestPlace): void {
    const url = request.url ?? '';
    const end = url.indexOf('?');
    const path = end < 0 ? url : url.slice(0, end);
    const gateway = place.isMetricsOnly ? undefined : this.#options.gateway;
    const refusal = this.#hostRefusal(request);
    const cors = refusal === undefined ? this.#browsers.headers(request) : {};
    const isForGateway = gateway !== undefined && isGatewayPath(path);
    if (refusal === undefined && isForGateway && request.method !== 'OPTIONS') {
      for (const [name, value] of Object.entries(cors)) response.setHeader(name, value);
      const foreign = this.#browsers.refusal(request);
      if (foreign === undefined) gateway.handle(path, request, response, place.time);
      else gateway.refuse(request, response, foreign);
      return;
    }
    // A body has no meaning here, but must be read for the connection to go on.
    request.resume();
    const query = new URLSearchParams(end < 0 ? '' : url.slice(end + 1));
    (refusal === undefined
      ? this.#answer(request.method ?? '', path, query)
      : Promise.resolve(refusal)
    )
      .catch((error: unknown) => {
        this.#options.logger.error({ error, url }, 'HTTP request failed');
        return { ...notFound, status: 500, body: 'internal error\n' };
      })
      .then((answer) => send(request, response, answer, cors))
      .catch((error: unknown) => {
        this.#options.logger.debug({ error }, 'HTTP answer could not be sent');
      });
  }

  /** What a request to go on as a WebSocket is for; undefined if there is nothing behind it. */
  webSocketOf({ url = '', headers }: IncomingMessage): { takesMany: boolean } | undefined {
    const { gateway } = this.#options;
    const [path = ''] = url.split('?', 1);
    const isWanted = headers.upgrade?.toLowerCase() === 'websocket' && isGatewayPath(path);
    if (gateway === undefined || !isWanted) return undefined;
    return { takesMany: gateway.takesMany(path) };
  }

  /** Why a request is refused for the name under which it came, if it is. */
  #hostRefusal({ headers }: IncomingMessage): HttpAnswer | undefined {
    const { hostWhitelist } = this.#options;
    const host = hostName(headers.host ?? '');
    if (hostWhitelist.length === 0 || hostWhitelist.includes(host)) return undefined;
    this.#options.logger.warn({ host }, 'rejecting HTTP request to prevent DNS rebinding attacks');
    return hostRefusal(host);
  }

  async #answer(method: string, path: string, query: URLSearchParams): Promise<HttpAnswer> {
    if (method === 'OPTIONS') return { status: 200, headers: {}, body: '' };
    if (path === '/version') return this.#version(method);
    if (path === '/metrics') return await this.#scrape();
    return (await this.#options.health.answer(method, path, query)) ?? notFound;
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
