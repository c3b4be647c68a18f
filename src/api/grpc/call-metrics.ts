/** Counts calls under the names of go-grpc-prometheus, which etcd's dashboards and alerts use. */
import type { Counter, Histogram, Metrics } from '../../base/metrics.ts';
import { codeNames } from './status.ts';

/** Seconds; the default buckets of go-grpc-prometheus. */
const handlingBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const methodLabels = ['grpc_type', 'grpc_service', 'grpc_method'];
/** What etcd calls the streams whose failures it counts (etcd: v3rpc/metrics.go). */
const streamApis: Readonly<Record<string, string>> = {
  'etcdserverpb.Watch/Watch': 'watch',
  'etcdserverpb.Lease/LeaseKeepAlive': 'lease-keepalive',
};

/** The counters of one method, looked up once: counting a call is an addition. */
export interface MethodMetrics {
  readonly started: Counter;
  readonly messagesReceived: Counter;
  readonly messagesSent: Counter;
  /** By status code. */
  readonly handled: readonly Counter[];
  /** Requests of a stream that could not be read, where etcd counts them. */
  readonly receiveFailures: Counter | undefined;
  /** Only with extensive metrics. */
  readonly handlingSeconds: Histogram | undefined;
}

export class CallMetrics {
  readonly receivedBytes: Counter;
  readonly sentBytes: Counter;
  readonly #metrics: Metrics;
  readonly #extensive: boolean;

  constructor(metrics: Metrics, extensive: boolean) {
    this.#metrics = metrics;
    this.#extensive = extensive;
    this.receivedBytes = metrics.counter(
      'etcd_network_client_grpc_received_bytes_total',
      'Bytes of the requests of gRPC clients.',
    )();
    this.sentBytes = metrics.counter(
      'etcd_network_client_grpc_sent_bytes_total',
      'Bytes of the answers to gRPC clients.',
    )();
  }

  /** Creates every series of a method at zero, so that rates are right from the first call on. */
  forMethod(type: string, service: string, method: string): MethodMetrics {
    const labels = [type, service, method];
    const counter = (name: string, help: string): Counter =>
      this.#metrics.counter(name, help, methodLabels)(...labels);
    const handled = this.#metrics.counter(
      'grpc_server_handled_total',
      'Calls that are over, by how they ended.',
      [...methodLabels, 'grpc_code'],
    );
    const histogram = this.#extensive
      ? this.#metrics.histogram(
          'grpc_server_handling_seconds',
          'How long calls took to handle.',
          handlingBuckets,
          methodLabels,
        )
      : undefined;
    const api = streamApis[`${service}/${method}`];
    const failures = this.#metrics.counter(
      'etcd_network_server_stream_failures_total',
      'Failures of the streams of clients.',
      ['Type', 'API'],
    );
    return {
      started: counter('grpc_server_started_total', 'Calls that began.'),
      messagesReceived: counter('grpc_server_msg_received_total', 'Requests received.'),
      messagesSent: counter('grpc_server_msg_sent_total', 'Answers sent.'),
      handled: codeNames.map((code) => handled(...labels, code)),
      receiveFailures: api === undefined ? undefined : failures('receive', api),
      handlingSeconds: histogram?.(...labels),
    };
  }
}
