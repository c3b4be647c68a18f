/** grpc.health.v1: whether this server takes requests (etcd: api/v3rpc/health.go). */
import { StatusCode, StatusError } from '../base/errors.ts';
import { type HealthCheckRequest, type HealthCheckResponse, ServingStatus } from '../gen/health.ts';
import type { CallContext } from './handler.ts';

/** The one service name that is known: the empty one stands for the server as a whole. */
const wholeServer = '';

export class HealthService {
  readonly #stopped: Promise<void>;
  #stop: () => void = () => {};
  #serving = true;

  constructor() {
    this.#stopped = new Promise((resolve) => {
      this.#stop = resolve;
    });
  }

  /** From now on the server counts as not serving, and watches end. */
  stop(): void {
    this.#serving = false;
    this.#stop();
  }

  check(request: HealthCheckRequest): Promise<HealthCheckResponse> {
    if (request.service !== wholeServer) {
      return Promise.reject(new StatusError(StatusCode.notFound, 'unknown service'));
    }
    return Promise.resolve({ status: this.#status() });
  }

  async *watch(
    request: HealthCheckRequest,
    context: CallContext,
  ): AsyncGenerator<HealthCheckResponse> {
    const known = request.service === wholeServer;
    yield { status: known ? this.#status() : ServingStatus.serviceUnknown };
    await Promise.race([this.#stopped, aborted(context.signal)]);
    if (known && !context.signal.aborted) yield { status: this.#status() };
  }

  #status(): ServingStatus {
    return this.#serving ? ServingStatus.serving : ServingStatus.notServing;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
