/** Counts scrapes under the names of Prometheus's handler for Go, which etcd has. */
import type { Exposition, PrometheusMetrics } from './metrics.ts';

/** @returns how to scrape, counted */
export function countedScrapes(metrics: PrometheusMetrics): () => Promise<Exposition> {
  const inFlight = metrics.gauge(
    'promhttp_metric_handler_requests_in_flight',
    'Scrapes that are being answered.',
  )();
  const total = metrics.counter(
    'promhttp_metric_handler_requests_total',
    'Scrapes answered, by HTTP status.',
    ['code'],
  );
  const [served, failed] = [total('200'), total('500')];
  // Etcd's handler can refuse scrapes when there are many; this one does not.
  total('503');
  let underWay = 0;
  return async () => {
    inFlight.set(++underWay);
    try {
      const exposition = await metrics.scrape();
      served.increment();
      return exposition;
    } catch (error) {
      failed.increment();
      throw error;
    } finally {
      inFlight.set(--underWay);
    }
  };
}
