/** Metrics as the layers see them; the daemon wires prom-client. Names are etcd's. */

export interface Counter {
  increment(by?: number): void;
}

export interface Gauge {
  set(value: number): void;
}

export interface Histogram {
  observe(value: number): void;
}

/** Creates a metric on first use; the same name always gives the same metric. */
export interface Metrics {
  counter(
    name: string,
    help: string,
    labelNames?: readonly string[],
  ): (...labels: string[]) => Counter;
  gauge(name: string, help: string, labelNames?: readonly string[]): (...labels: string[]) => Gauge;
  histogram(
    name: string,
    help: string,
    bucketsSeconds: readonly number[],
    labelNames?: readonly string[],
  ): (...labels: string[]) => Histogram;
  /** Calls `collect` before each scrape, to set gauges whose value is only looked up. */
  onCollect(collect: () => void): void;
}

const silent = { increment() {}, set() {}, observe() {} };

/** Measures nothing. */
export const silentMetrics: Metrics = {
  counter: () => () => silent,
  gauge: () => () => silent,
  histogram: () => () => silent,
  onCollect() {},
};
