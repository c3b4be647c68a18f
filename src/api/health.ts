/** grpc.health.v1: whether this server takes requests (etcd: api/v3rpc/health.go). */
import { StatusCode, StatusError } from '../base/errors.ts';
import { type HealthCheckRequest, type HealthCheckResponse, ServingStatus } from '../gen/health.ts';
import type { CallContext } from './handler.ts';

/** The one service name that is known: the empty one stands for the server as a whole. */
const wholeServer = '';

export class HealthService {
  #status: ServingStatus = ServingStatus.notServing;
  #stopped = false;
  /** What watches wait for, and how to tell them. */
  #change = announcement();

  /** From now on the server counts as serving. */
  serve(): void {
    this.#become(ServingStatus.serving);
  }

  /** From now on the server counts as not serving, and watches end. */
  stop(): void {
    this.#stopped = true;
    this.#become(ServingStatus.notServing);
  }

  check(request: HealthCheckRequest): Promise<HealthCheckResponse> {
    if (request.service !== wholeServer) {
      return Promise.reject(new StatusError(StatusCode.notFound, 'unknown service'));
    }
    return Promise.resolve({ status: this.#status });
  }

  async *watch(
    request: HealthCheckRequest,
    { signal }: CallContext,
  ): AsyncGenerator<HealthCheckResponse> {
    const known = request.service === wholeServer;
    let told: ServingStatus = known ? this.#status : ServingStatus.serviceUnknown;
    yield { status: told };
    const end = aborted(signal);
    while (!signal.aborted) {
      if (known && told !== this.#status) {
        told = this.#status;
        yield { status: told };
      } else if (this.#stopped) {
        return;
      } else {
        await Promise.race([this.#change.made, end]);
      }
    }
  }

  #become(status: ServingStatus): void {
    this.#status = status;
    const { make } = this.#change;
    this.#change = announcement();
    make();
  }
}

interface Announcement {
  readonly made: Promise<void>;
  readonly make: () => void;
}

function announcement(): Announcement {
  let make = (): void => {};
  const made = new Promise<void>((resolve) => {
    make = resolve;
  });
  return { made, make };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
