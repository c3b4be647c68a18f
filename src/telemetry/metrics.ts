/**
 * Metrics under etcd's names, exposed through prom-client's registry. Values are plain numbers in
 * objects of our own, because prom-client looks labels up at every change of a value: here, that
 * is done once, and counting is an addition.
 */
import { collectDefaultMetrics, Registry } from 'prom-client';
import { assert } from '../base/assert.ts';
import type { Counter, Gauge, Histogram, Metrics } from '../base/metrics.ts';

/** Series that one metric may have: label values must come from small sets. */
const MAX_SERIES = 10_000;

interface Sample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly metricName?: string;
}

class NumberSeries implements Counter, Gauge {
  value = 0;

  increment(by = 1): void {
    this.value += by;
  }

  set(value: number): void {
    this.value = value;
  }
}

class HistogramSeries implements Histogram {
  readonly #bounds: readonly number[];
  /** Observations up to the bound of the same place, and above the one before; last: above all. */
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let low = 0;
    let high = bounds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (value <= (bounds[middle] ?? Infinity)) high = middle;
      else low = middle + 1;
    }
    this.#counts[low] = (this.#counts[low] ?? 0) + 1;
    this.#sum += value;
  }

  samples(name: string, labels: Readonly<Record<string, string>>): Sample[] {
    const samples: Sample[] = [];
    let total = 0;
    this.#counts.forEach((count, i) => {
      total += count;
      const le = this.#bounds[i] ?? '+Inf';
      samples.push({ value: total, labels: { ...labels, le }, metricName: `${name}_bucket` });
    });
    samples.push({ value: this.#sum, labels, metricName: `${name}_sum` });
    samples.push({ value: total, labels, metricName: `${name}_count` });
    return samples;
  }
}

type Kind = 'counter' | 'gauge' | 'histogram';

/** One metric with its series, in the shape that prom-client's registry exposes. */
class Family<Series extends NumberSeries | HistogramSeries> {
  readonly name: string;
  readonly help: string;
  readonly type: Kind;
  readonly aggregator = 'sum';
  readonly #labelNames: readonly string[];
  readonly #create: () => Series;
  readonly #series = new Map<string, { labels: Record<string, string>; series: Series }>();

  constructor(
    name: string,
    help: string,
    type: Kind,
    labelNames: readonly string[],
    create: () => Series,
  ) {
    this.name = name;
    this.help = help;
    this.type = type;
    this.#labelNames = labelNames;
    this.#create = create;
    if (labelNames.length === 0) this.labels([]);
  }

  labels(values: readonly string[]): Series {
    const names = this.#labelNames;
    assert(values.length === names.length, `${this.name} takes ${names.length} labels`);
    const key = values.join('\u0000');
    const found = this.#series.get(key);
    if (found !== undefined) return found.series;
    assert(this.#series.size < MAX_SERIES, `too many series of ${this.name}`);
    const labels = Object.fromEntries(names.map((name, i) => [name, values[i] ?? '']));
    const series = this.#create();
    this.#series.set(key, { labels, series });
    return series;
  }

  get(): {
    name: string;
    help: string;
    type: Kind;
    aggregator: string;
    values: Sample[];
  } {
    const values = [...this.#series.values()].flatMap(({ labels, series }): Sample[] =>
      series instanceof HistogramSeries
        ? series.samples(this.name, labels)
        : [{ value: series.value, labels }],
    );
    const { name, help, type, aggregator } = this;
    return { name, help, type, aggregator, values };
  }
}

/** The text of all metrics for Prometheus. */
export interface Exposition {
  readonly contentType: string;
  readonly text: string;
}

export class PrometheusMetrics implements Metrics {
  readonly #registry = new Registry();
  readonly #families = new Map<string, Family<NumberSeries> | Family<HistogramSeries>>();
  readonly #collectors: (() => void)[] = [];

  /** Adds process_* and nodejs_*: memory, processor time, open files, loop lag, collections. */
  includeProcess(): void {
    collectDefaultMetrics({ register: this.#registry });
  }

  counter(
    name: string,
    help: string,
    labelNames: readonly string[] = [],
  ): (...labels: string[]) => Counter {
    const family = this.#number(name, help, 'counter', labelNames);
    return (...labels) => family.labels(labels);
  }

  gauge(
    name: string,
    help: string,
    labelNames: readonly string[] = [],
  ): (...labels: string[]) => Gauge {
    const family = this.#number(name, help, 'gauge', labelNames);
    return (...labels) => family.labels(labels);
  }

  histogram(
    name: string,
    help: string,
    bucketsSeconds: readonly number[],
    labelNames: readonly string[] = [],
  ): (...labels: string[]) => Histogram {
    const family = this.#family(
      name,
      () =>
        new Family(name, help, 'histogram', labelNames, () => new HistogramSeries(bucketsSeconds)),
    ) as Family<HistogramSeries>;
    return (...labels) => family.labels(labels);
  }

  onCollect(collect: () => void): void {
    this.#collectors.push(collect);
  }

  async scrape(): Promise<Exposition> {
    for (const collect of this.#collectors) collect();
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }

  #number(
    name: string,
    help: string,
    type: 'counter' | 'gauge',
    labelNames: readonly string[],
  ): Family<NumberSeries> {
    return this.#family(
      name,
      () => new Family(name, help, type, labelNames, () => new NumberSeries()),
    ) as Family<NumberSeries>;
  }

  #family(
    name: string,
    create: () => Family<NumberSeries> | Family<HistogramSeries>,
  ): Family<NumberSeries> | Family<HistogramSeries> {
    const existing = this.#families.get(name);
    if (existing !== undefined) return existing;
    const family = create();
    this.#families.set(name, family);
    // The registry asks of a metric only what a family has; its types ask for prom-client's own.
    this.#registry.registerMetric(family as unknown as Parameters<Registry['registerMetric']>[0]);
    return family;
  }
}
