/** A client port on loopback with handlers of the test's choice. */
import { Gateway } from '../../src/api/gateway/gateway.ts';
import { GrpcAdapter } from '../../src/api/grpc/adapter.ts';
import type { GrpcAdapterOptions } from '../../src/api/grpc/adapter-options.ts';
import { ClientPort, type ClientPortOptions } from '../../src/api/http/client-port.ts';
import { HealthEndpoints, type ServerHealth } from '../../src/api/http/health.ts';
import { HttpRouter, type HttpRouterOptions } from '../../src/api/http/router.ts';
import type { LogFields, Logger } from '../../src/base/logger.ts';
import { systemClock } from '../../src/daemon/system-clock.ts';
import { PrometheusMetrics } from '../../src/telemetry/metrics.ts';

/** Remembers what was logged. */
export class RecordingLogger implements Logger {
  readonly lines: { level: string; message: string; fields: LogFields }[] = [];

  debug(fields: LogFields, message: string): void {
    this.lines.push({ level: 'debug', message, fields });
  }

  info(fields: LogFields, message: string): void {
    this.lines.push({ level: 'info', message, fields });
  }

  warn(fields: LogFields, message: string): void {
    this.lines.push({ level: 'warn', message, fields });
  }

  error(fields: LogFields, message: string): void {
    this.lines.push({ level: 'error', message, fields });
  }

  child(): Logger {
    return this;
  }
}

export const healthyServer: ServerHealth = {
  alarms: () => [],
  hasLeader: () => true,
  isLearner: () => false,
  repairing: () => false,
  read: () => Promise.resolve(),
  requestTimeoutMs: 1000,
};

export interface ApiPortOptions {
  readonly grpc?: Partial<GrpcAdapterOptions>;
  readonly health?: Partial<ServerHealth>;
  readonly http?: Partial<HttpRouterOptions>;
  readonly port?: Partial<ClientPortOptions>;
}

export class ApiPort {
  readonly logger = new RecordingLogger();
  readonly metrics = new PrometheusMetrics();
  readonly adapter: GrpcAdapter;
  readonly gateway: Gateway;
  readonly clientPort: ClientPort;
  port = 0;

  constructor(options: ApiPortOptions = {}) {
    const { logger, metrics } = this;
    this.adapter = new GrpcAdapter({
      logger,
      metrics,
      maxRequestBytes: 1024 * 1024,
      maxConcurrentStreams: 4_294_967_295,
      keepaliveMinTimeMs: 5_000,
      keepaliveIntervalMs: 0,
      keepaliveTimeoutMs: 0,
      clock: systemClock,
      ...options.grpc,
    });
    this.gateway = new Gateway(this.adapter, systemClock);
    const router = new HttpRouter({
      gateway: this.gateway,
      health: new HealthEndpoints(
        { ...healthyServer, ...options.health },
        systemClock,
        logger,
        metrics,
      ),
      logger,
      versions: () => ({ server: '3.6.14', cluster: '3.6.0', storage: '3.6.0' }),
      scrape: () => metrics.scrape(),
      corsOrigins: [],
      hostWhitelist: [],
      ...options.http,
    });
    this.clientPort = new ClientPort({
      router,
      clock: systemClock,
      logger,
      maxMessageBytes: this.adapter.maxMessageBytes,
      openMemory: (close) => this.adapter.openMemory(close),
      acceptGrpc: (socket, received) => this.adapter.accept(socket, received),
      ...options.port,
    });
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get url(): string {
    return `http://${this.address}`;
  }

  async listen(): Promise<this> {
    const address = await this.clientPort.listen('http://127.0.0.1:0');
    if (typeof address === 'string') throw new Error('expected a TCP address');
    this.port = address.port;
    return this;
  }

  async stop(graceMs = 0): Promise<void> {
    this.clientPort.close();
    await Promise.all([this.adapter.stop(graceMs), this.gateway.stop(graceMs)]);
    await this.clientPort.destroy();
  }

  /** The value of one series, as Prometheus would read it. */
  async metric(series: string): Promise<number | undefined> {
    const { text } = await this.metrics.scrape();
    const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  }
}
