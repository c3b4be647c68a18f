/** Metrics that a test reads back at once, in virtual time too. */
import type { Counter, Gauge, Histogram, Metrics } from '../../src/base/metrics.ts';

export class RecordedMetrics implements Metrics {
  readonly #values = new Map<string, number>();
  readonly #collectors: (() => void)[] = [];

  counter(name: string): (...labels: string[]) => Counter {
    return (...labels) => ({ increment: (by = 1) => this.#add(by, name, labels) });
  }

  gauge(name: string): (...labels: string[]) => Gauge {
    return (...labels) => ({
      set: (value) => {
        this.#values.set(seriesOf(name, labels), value);
      },
    });
  }

  histogram(name: string): (...labels: string[]) => Histogram {
    return (...labels) => ({
      observe: (value) => {
        this.#add(1, `${name}_count`, labels);
        this.#add(value, `${name}_sum`, labels);
      },
    });
  }

  onCollect(collect: () => void): void {
    this.#collectors.push(collect);
  }

  /** What a scrape would show of a series; 0 if nothing was recorded. */
  valueOf(name: string, ...labels: string[]): number {
    for (const collect of this.#collectors) collect();
    return this.#values.get(seriesOf(name, labels)) ?? 0;
  }

  #add(by: number, name: string, labels: readonly string[]): void {
    const series = seriesOf(name, labels);
    this.#values.set(series, (this.#values.get(series) ?? 0) + by);
  }
}

function seriesOf(name: string, labels: readonly string[]): string {
  return JSON.stringify([name, ...labels]);
}
