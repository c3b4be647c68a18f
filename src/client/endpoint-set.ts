/** Which endpoint a call goes to. */
import { StatusCode } from '../base/errors.ts';
import type { CallScope } from './call-scope.ts';
import { Endpoint } from './endpoint.ts';
import { ClientError } from './errors.ts';
import type { Settings } from './options.ts';

/** How long one endpoint may take to connect before the next one is tried beside it, in ms. */
const staggerMs = 250;

export interface Pick {
  readonly endpoint: Endpoint;
  /** False: no endpoint could be connected in time, and this one's failure says why. */
  readonly connected: boolean;
}

/**
 * The endpoints of a client. One is in use until it fails, so that a client has one connection
 * and the order in which the endpoints are given is the order of preference.
 */
export class EndpointSet {
  readonly #endpoints: readonly Endpoint[];
  readonly #dialTimeoutMs: number;
  #current = 0;

  /** @throws RangeError for an endpoint that is not understood */
  constructor(names: readonly string[], settings: Settings) {
    this.#endpoints = names.map((name) => new Endpoint(name, settings));
    this.#dialTimeoutMs = settings.dialTimeoutMs;
  }

  get size(): number {
    return this.#endpoints.length;
  }

  /**
   * A connected endpoint.
   *
   * @throws ClientError UNAVAILABLE if there is none within the dial timeout, or the reason for
   * which `scope` ended
   */
  async pick(scope: CallScope): Promise<Pick> {
    scope.check();
    const current = this.#at(this.#current);
    if (current.isReady) return { endpoint: current, connected: true };
    return this.#search(scope);
  }

  /** Lets the next call begin with the endpoint after this one. */
  leave(endpoint: Endpoint): void {
    if (this.#at(this.#current) === endpoint) this.#current = (this.#current + 1) % this.size;
  }

  close(): void {
    for (const endpoint of this.#endpoints) endpoint.close();
  }

  #at(index: number): Endpoint {
    return this.#endpoints[index % this.size] as Endpoint;
  }

  /** Connects to one after the other, each beside those before it; the first one connected wins. */
  #search(scope: CallScope): Promise<Pick> {
    const order = this.#endpoints.map((_, i) => this.#at(this.#current + i));
    return new Promise<Pick>((resolve, reject) => {
      let started = 0;
      let stagger: NodeJS.Timeout | undefined;
      let settled = false;
      const settle = (how: () => void): void => {
        settled = true;
        clearTimeout(stagger);
        clearTimeout(timer);
        for (const stop of stops) stop();
        scope.signal.removeEventListener('abort', abort);
        how();
      };
      const abort = (): void => settle(() => reject(scope.signal.reason as Error));
      const giveUp = (): void => settle(() => this.#giveUp(order, resolve, reject));
      const timer = setTimeout(giveUp, this.#dialTimeoutMs);
      const check = (): void => {
        if (settled) return;
        const ready = order.slice(0, started).find((endpoint) => endpoint.isReady);
        if (ready !== undefined) settle(() => resolve(this.#use(ready)));
        else if (order[started - 1]?.isFailing === true) startNext();
        // A connection that was lost at once is idle again.
        else for (const endpoint of order.slice(0, started)) endpoint.connect();
      };
      const startNext = (): void => {
        clearTimeout(stagger);
        if (started === order.length) return;
        order[started++]?.connect();
        stagger = setTimeout(startNext, staggerMs);
        check();
      };
      const stops = order.map((endpoint) => endpoint.onChange(check));
      scope.signal.addEventListener('abort', abort);
      startNext();
    });
  }

  #use(endpoint: Endpoint): Pick {
    this.#current = this.#endpoints.indexOf(endpoint);
    return { endpoint, connected: true };
  }

  /** A call on an endpoint that cannot be connected fails at once, and its text says why. */
  #giveUp(
    order: readonly Endpoint[],
    resolve: (pick: Pick) => void,
    reject: (error: Error) => void,
  ): void {
    const failing = order.find((endpoint) => endpoint.isFailing);
    if (failing !== undefined) {
      resolve({ endpoint: failing, connected: false });
      return;
    }
    const names = order.map(({ name }) => name).join(', ');
    const text = `no endpoint connected within ${this.#dialTimeoutMs} ms: ${names}`;
    reject(new ClientError(StatusCode.unavailable, text));
  }
}
