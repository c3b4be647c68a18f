/**
 * What pages in browsers may do. etcd only tells the browser who may read its answers; a page can
 * make a browser write all the same, so here requests of pages that may not call are not served.
 */
import type { IncomingMessage } from 'node:http';
import { StatusCode } from '../../base/errors.ts';
import type { StatusObject } from '../../grpc/call.ts';

/** Of requests that pages of other sites make (Fetch Metadata). */
const foreignSites: readonly string[] = ['cross-site', 'same-site'];

export class BrowserPolicy {
  readonly #origins: readonly string[];

  /** @param origins that may call, as browsers name them; empty means all */
  constructor(origins: readonly string[]) {
    this.#origins = origins;
  }

  /** Headers of the answer by which a browser knows whether the page may read it. */
  headers({ headers }: IncomingMessage): Record<string, string> {
    const { origin = '' } = headers;
    const allowed = this.#origins.length === 0 ? '*' : this.#mayCall(origin) ? origin : '';
    if (allowed === '') return {};
    return {
      'access-control-allow-methods': 'POST, GET, OPTIONS, PUT, DELETE',
      'access-control-allow-origin': allowed,
      'access-control-allow-headers': 'accept, content-type, authorization',
    };
  }

  /**
   * Why a request that may change something is refused: its page may not call, or its browser did
   * not ask before whether it may, as it does for every content type but those of forms.
   */
  refusal({ headers }: IncomingMessage): StatusObject | undefined {
    const { origin, host = '' } = headers;
    const isForeign =
      origin === undefined
        ? foreignSites.includes(String(headers['sec-fetch-site']))
        : origin.replace(/^https?:\/\//, '') !== host;
    if (!isForeign) return undefined;
    if (!this.#mayCall(origin ?? '')) {
      return {
        code: StatusCode.permissionDenied,
        details: `etcdserver: origin ${JSON.stringify(origin ?? '')} is not allowed by --cors`,
      };
    }
    if (isJson(headers['content-type'])) return undefined;
    const details = 'etcdserver: pages of other sites must send content-type application/json';
    return { code: StatusCode.permissionDenied, details };
  }

  #mayCall(origin: string): boolean {
    if (this.#origins.length === 0) return true;
    return this.#origins.includes(origin) || this.#origins.includes(withPort(origin));
  }
}

/** Browsers leave the usual port out, the flag demands one. */
function withPort(origin: string): string {
  if (/:\d+$/.test(origin)) return origin;
  return origin.startsWith('https:') ? `${origin}:443` : `${origin}:80`;
}

function isJson(contentType = ''): boolean {
  return /^application\/json\s*(;|$)/i.test(contentType);
}
