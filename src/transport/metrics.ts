/** What happens between members, under etcd's names (etcd: rafthttp/metrics.go). */
import type { Clock } from '../base/clock.ts';
import type { Counter, Gauge, Histogram, Metrics } from '../base/metrics.ts';
import type { MemberId } from '../raft/index.ts';

/** Seconds: from 0.1 ms to 3.3 s, as etcd has them. */
const roundTripBuckets = Array.from({ length: 16 }, (_, i) => 0.0001 * 2 ** i);
/** Seconds: from 0.1 s to 51.2 s, as etcd has them. */
const transferBuckets = Array.from({ length: 10 }, (_, i) => 0.1 * 2 ** i);

/** Who sent what cannot be read. */
const unknownSender = 'unknown';

type Series<Metric> = (...labels: string[]) => Metric;

interface TransferSeries {
  readonly inFlight: Series<Gauge>;
  /** By peer. One may still be finished here when the next begins. */
  readonly counts: Map<string, number>;
  readonly successes: Series<Counter>;
  readonly failures: Series<Counter>;
  readonly seconds: Series<Histogram>;
}

function transferSeries(
  metrics: Metrics,
  direction: 'send' | 'receive',
  label: 'To' | 'From',
): TransferSeries {
  const name = `etcd_network_snapshot_${direction}`;
  const done = direction === 'send' ? 'sent' : 'received';
  return {
    inFlight: metrics.gauge(`${name}_inflights_total`, `Snapshots being ${done}.`, [label]),
    counts: new Map(),
    successes: metrics.counter(`${name}_success`, `Snapshots ${done}.`, [label]),
    failures: metrics.counter(`${name}_failures`, `Snapshots not ${done}.`, [label]),
    seconds: metrics.histogram(
      `${name}_total_duration_seconds`,
      `How long a snapshot took that was ${done}.`,
      transferBuckets,
      [label],
    ),
  };
}

/** Of one snapshot. */
export class TransferMeter {
  readonly #series: TransferSeries;
  readonly #peer: string;
  readonly #clock: Clock;
  #startMs: number | undefined;

  constructor(series: TransferSeries, peer: string, clock: Clock) {
    this.#series = series;
    this.#peer = peer;
    this.#clock = clock;
  }

  begin(): void {
    this.#startMs = this.#clock.monotonicMs();
    this.#count(1);
  }

  succeeded(): void {
    const { successes, seconds } = this.#series;
    successes(this.#peer).increment();
    if (this.#startMs !== undefined) {
      seconds(this.#peer).observe((this.#clock.monotonicMs() - this.#startMs) / 1000);
    }
    this.over();
  }

  /** Also one that did not begin. */
  failed(): void {
    this.#series.failures(this.#peer).increment();
    this.over();
  }

  /** Without an outcome: this member stops, or the peer is one no more. */
  over(): void {
    if (this.#startMs === undefined) return;
    this.#startMs = undefined;
    this.#count(-1);
  }

  #count(by: 1 | -1): void {
    const { counts, inFlight } = this.#series;
    const count = (counts.get(this.#peer) ?? 0) + by;
    counts.set(this.#peer, count);
    inFlight(this.#peer).set(count);
  }
}

interface ByteCounters {
  readonly sent: Counter;
  readonly received: Counter;
}

export class TransportMetrics {
  readonly #self: string;
  readonly #clock: Clock;
  readonly #sentBytes: Series<Counter>;
  readonly #receivedBytes: Series<Counter>;
  readonly #sendFailures: Series<Counter>;
  readonly #receiveFailures: Series<Counter>;
  readonly #active: Series<Gauge>;
  readonly #disconnections: Series<Counter>;
  readonly #roundTrips: Series<Histogram>;
  readonly #sendings: TransferSeries;
  readonly #receivings: TransferSeries;
  /** Of the peers; looked up once, because they count every frame. */
  readonly #bytesOf = new Map<MemberId, ByteCounters>();

  constructor(metrics: Metrics, self: MemberId, clock: Clock) {
    this.#self = label(self);
    this.#clock = clock;
    const counter = (name: string, help: string, ...labels: string[]): Series<Counter> =>
      metrics.counter(`etcd_network_${name}`, help, labels);
    this.#sentBytes = counter('peer_sent_bytes_total', 'Bytes sent to peers.', 'To');
    this.#receivedBytes = counter(
      'peer_received_bytes_total',
      'Bytes received from peers.',
      'From',
    );
    this.#sendFailures = counter(
      'peer_sent_failures_total',
      'Messages to peers that could not be sent.',
      'To',
    );
    this.#receiveFailures = counter(
      'peer_received_failures_total',
      'What came from peers and could not be read.',
      'From',
    );
    this.#disconnections = counter(
      'disconnected_peers_total',
      'Times that a peer ceased to be active.',
      'Local',
      'Remote',
    );
    this.#active = metrics.gauge('etcd_network_active_peers', 'Peers that are connected.', [
      'Local',
      'Remote',
    ]);
    this.#roundTrips = metrics.histogram(
      'etcd_network_peer_round_trip_time_seconds',
      'Time to peers and back.',
      roundTripBuckets,
      ['To'],
    );
    this.#sendings = transferSeries(metrics, 'send', 'To');
    this.#receivings = transferSeries(metrics, 'receive', 'From');
  }

  /** Series of a peer stand at zero from the beginning, so that the first event shows in rates. */
  begin(peer: MemberId): void {
    this.#bytesOf.set(peer, this.#countersOf(peer));
    const name = label(peer);
    for (const series of [this.#sendFailures, this.#receiveFailures, this.#roundTrips]) {
      series(name);
    }
    this.#disconnections(this.#self, name);
    for (const { successes, failures } of [this.#sendings, this.#receivings]) {
      successes(name);
      failures(name);
    }
  }

  /** The peer is one no more. */
  end(peer: MemberId): void {
    this.#bytesOf.delete(peer);
    this.active(peer, false);
  }

  sent(peer: MemberId, sizeBytes: number): void {
    this.#countersOf(peer).sent.increment(sizeBytes);
  }

  received(peer: MemberId, sizeBytes: number): void {
    if (sizeBytes > 0) this.#countersOf(peer).received.increment(sizeBytes);
  }

  /** A message was dropped. */
  sendFailed(peer: MemberId): void {
    this.#sendFailures(label(peer)).increment();
  }

  /** Bytes came that are no frame. */
  receiveFailed(peer: MemberId | undefined): void {
    this.#receiveFailures(peer === undefined ? unknownSender : label(peer)).increment();
  }

  active(peer: MemberId, isActive: boolean): void {
    this.#active(this.#self, label(peer)).set(isActive ? 1 : 0);
  }

  /** Of members that are not known yet, none counts as active. */
  disconnected(peer: MemberId): void {
    if (!this.#bytesOf.has(peer)) return;
    this.#disconnections(this.#self, label(peer)).increment();
  }

  roundTrip(peer: MemberId, tookMs: number): void {
    this.#roundTrips(label(peer)).observe(tookMs / 1000);
  }

  sendingTo(peer: MemberId): TransferMeter {
    return new TransferMeter(this.#sendings, label(peer), this.#clock);
  }

  receivingFrom(peer: MemberId): TransferMeter {
    return new TransferMeter(this.#receivings, label(peer), this.#clock);
  }

  #countersOf(peer: MemberId): ByteCounters {
    const known = this.#bytesOf.get(peer);
    if (known !== undefined) return known;
    const name = label(peer);
    return { sent: this.#sentBytes(name), received: this.#receivedBytes(name) };
  }
}

/** Members are named as etcd prints them. */
function label(member: MemberId): string {
  return member.toString(16);
}
