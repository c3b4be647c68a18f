/** Members on loopback, each line between two of them through a proxy. */
import { GrpcTransport } from '../../../src/transport/grpc-transport.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { RecordedMetrics } from '../../support/recorded-metrics.ts';
import type { MemberId } from '../../../src/raft/index.ts';
import type { TransportLimits } from '../../../src/transport/limits.ts';
import { RecordingLogger, TestMember, realClock } from './members.ts';
import { Proxy } from './proxy.ts';
import type { Network } from './suite.ts';

/** Short, so that tests of silence are. */
export const quickLimits: Partial<TransportLimits> = {
  pingMs: 100,
  silenceMs: 1_000,
  redialMs: 10,
  redialLongestMs: 50,
  offerMs: 2_000,
  handshakeMs: 2_000,
};

export const everyone: readonly MemberId[] = [1n, 2n, 3n];
let seed = 1;

export class GrpcNetwork implements Network {
  readonly #limits: Partial<TransportLimits>;
  /** The lines by dialling and listening member. */
  readonly #lines = new Map<string, Proxy>();
  readonly #members = new Set<TestMember>();
  /** What all members with an id have measured. */
  readonly #metrics = new Map<MemberId, RecordedMetrics>();

  private constructor(limits: Partial<TransportLimits>) {
    this.#limits = { ...quickLimits, ...limits };
  }

  static async open(limits: Partial<TransportLimits> = {}): Promise<GrpcNetwork> {
    const network = new GrpcNetwork(limits);
    for (const a of everyone) {
      for (const b of everyone) {
        if (a !== b) network.#lines.set(`${a} ${b}`, await Proxy.open());
      }
    }
    return network;
  }

  /** The line on which `from` dials `to`, and so receives what `to` sends. */
  line(from: MemberId, to: MemberId): Proxy {
    const line = this.#lines.get(`${from} ${to}`);
    if (line === undefined) throw new Error(`no line from ${from} to ${to}`);
    return line;
  }

  metricsOf(id: MemberId): RecordedMetrics {
    const metrics = this.#metrics.get(id) ?? new RecordedMetrics();
    this.#metrics.set(id, metrics);
    return metrics;
  }

  async start(
    id: MemberId,
    options: {
      cluster?: bigint;
      peers?: MemberId[];
      /** Runs while the member listens and has not started. */
      beforeStart?: (transport: GrpcTransport) => Promise<void>;
    } = {},
  ): Promise<TestMember> {
    const logger = new RecordingLogger();
    const transport = new GrpcTransport({
      self: id,
      cluster: options.cluster ?? 42n,
      clock: realClock,
      random: new SeededRandom(seed++),
      logger,
      metrics: this.metricsOf(id),
      limits: this.#limits,
      listenUrls: ['http://127.0.0.1:0'],
    });
    await new Promise<void>((resolve, reject) => {
      transport.listen((error) => (error === undefined ? resolve() : reject(error)));
    });
    const port = Number(new URL(transport.boundUrls[0] ?? '').port);
    for (const other of everyone) if (other !== id) this.line(other, id).setTarget(port);
    const member = new TestMember(id, transport, logger);
    this.#members.add(member);
    this.setPeers(member, options.peers ?? everyone.filter((other) => other !== id));
    await options.beforeStart?.(transport);
    transport.start(member);
    return member;
  }

  setPeers(member: TestMember, peers: MemberId[]): void {
    member.transport.setPeers(
      peers.map((id) => ({ id, peerUrls: [this.line(member.id, id).url] })),
    );
  }

  stop(member: TestMember): Promise<void> {
    this.#members.delete(member);
    return new Promise((resolve) => {
      member.transport.stop(resolve);
    });
  }

  cut(a: MemberId, b: MemberId): void {
    this.line(a, b).setCut(true);
    this.line(b, a).setCut(true);
  }

  heal(): void {
    for (const line of this.#lines.values()) line.setCut(false);
  }

  async close(): Promise<void> {
    for (const member of this.#members) await this.stop(member);
    for (const line of this.#lines.values()) line.close();
  }
}
