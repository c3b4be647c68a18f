import { describe, expect, test } from 'vitest';
import { AssertionFailure } from '../../../src/base/assert.ts';
import { watchEventLoop } from '../../../src/telemetry/event-loop.ts';
import { PrometheusMetrics } from '../../../src/telemetry/metrics.ts';
import { countedScrapes } from '../../../src/telemetry/scrapes.ts';
import { RecordingLogger } from '../../support/api-port.ts';

async function lines(metrics: PrometheusMetrics): Promise<string[]> {
  return (await metrics.scrape()).text.split('\n').filter((line) => line !== '');
}

describe('metrics', () => {
  test('are exposed at zero from their creation on', async () => {
    const metrics = new PrometheusMetrics();
    metrics.counter('a_total', 'Counts.');
    metrics.gauge('b', 'Measures.', ['x'])('1');
    expect(await lines(metrics)).toEqual([
      '# HELP a_total Counts.',
      '# TYPE a_total counter',
      'a_total 0',
      '# HELP b Measures.',
      '# TYPE b gauge',
      'b{x="1"} 0',
    ]);
  });

  test('of one name are one, wherever they are asked for', async () => {
    const metrics = new PrometheusMetrics();
    metrics.counter('a_total', 'Counts.', ['x'])('1').increment();
    metrics.counter('a_total', 'Counts.', ['x'])('1').increment(2);
    metrics.counter('a_total', 'Counts.', ['x'])('2').increment();
    expect(await lines(metrics)).toEqual([
      '# HELP a_total Counts.',
      '# TYPE a_total counter',
      'a_total{x="1"} 3',
      'a_total{x="2"} 1',
    ]);
  });

  test('escape label values', async () => {
    const metrics = new PrometheusMetrics();
    metrics.gauge('a', 'Measures.', ['x'])('"\\\n').set(-1.5);
    expect((await lines(metrics)).at(-1)).toBe('a{x="\\"\\\\\\n"} -1.5');
  });

  test('count into the buckets whose bound is not below the value', async () => {
    const metrics = new PrometheusMetrics();
    const histogram = metrics.histogram('a_seconds', 'Takes.', [0.1, 1, 10], ['x'])('1');
    for (const value of [0, 0.1, 0.5, 1, 9, 10, 11]) histogram.observe(value);
    expect((await lines(metrics)).slice(2)).toEqual([
      'a_seconds_bucket{x="1",le="0.1"} 2',
      'a_seconds_bucket{x="1",le="1"} 4',
      'a_seconds_bucket{x="1",le="10"} 6',
      'a_seconds_bucket{x="1",le="+Inf"} 7',
      'a_seconds_sum{x="1"} 31.6',
      'a_seconds_count{x="1"} 7',
    ]);
  });

  test('may be set right before they are read', async () => {
    const metrics = new PrometheusMetrics();
    const gauge = metrics.gauge('a', 'Measures.')();
    let reads = 0;
    metrics.onCollect(() => gauge.set(++reads));
    expect((await lines(metrics)).at(-1)).toBe('a 1');
    expect((await lines(metrics)).at(-1)).toBe('a 2');
  });

  test('refuse labels that were not declared, and too many series', () => {
    const metrics = new PrometheusMetrics();
    const counter = metrics.counter('a_total', 'Counts.', ['x']);
    expect(() => counter()).toThrow(AssertionFailure);
    expect(() => {
      for (let i = 0; i <= 10_000; i++) counter(String(i));
    }).toThrow('too many series of a_total');
  });

  test('include those of the process', async () => {
    const metrics = new PrometheusMetrics();
    metrics.includeProcess();
    const text = (await lines(metrics)).join('\n');
    for (const name of ['process_resident_memory_bytes', 'process_cpu_seconds_total']) {
      expect(text).toContain(`\n${name} `);
    }
  });
});

test('a stall of the event loop is measured and logged', async () => {
  const metrics = new PrometheusMetrics();
  const logger = new RecordingLogger();
  const stop = watchEventLoop({ metrics, logger, warnAboveMs: 50, reportIntervalMs: 20 });
  try {
    // The monitor needs a first beat before it can notice that the next one is late, and a busy
    // machine may let it wait for that: the loop stalls until it is noticed.
    const stall = (): number => {
      const end = performance.now() + 150;
      while (performance.now() < end);
      return logger.lines.length;
    };
    await expect.poll(stall, { timeout: 10_000 }).toBeGreaterThan(0);
  } finally {
    stop();
  }
  expect(logger.lines[0]).toMatchObject({ level: 'warn', fields: { expectedMs: 50 } });
  expect(logger.lines[0]?.fields['stallMs']).toBeGreaterThan(50);
  const text = (await metrics.scrape()).text;
  expect(text).toMatch(/\nquorate_event_loop_stalls_total [1-9]/);
});

test('scrapes are counted, and the one under way shows itself', async () => {
  const metrics = new PrometheusMetrics();
  const scrape = countedScrapes(metrics);
  const lines = async (): Promise<string[]> =>
    (await scrape()).text.split('\n').filter((line) => line.startsWith('promhttp_'));
  expect(await lines()).toEqual([
    'promhttp_metric_handler_requests_in_flight 1',
    'promhttp_metric_handler_requests_total{code="200"} 0',
    'promhttp_metric_handler_requests_total{code="500"} 0',
    'promhttp_metric_handler_requests_total{code="503"} 0',
  ]);
  let fails = true;
  metrics.onCollect(() => {
    if (fails) throw new Error('no value');
  });
  await expect(scrape()).rejects.toThrow('no value');
  fails = false;
  expect(await lines()).toEqual([
    'promhttp_metric_handler_requests_in_flight 1',
    'promhttp_metric_handler_requests_total{code="200"} 1',
    'promhttp_metric_handler_requests_total{code="500"} 1',
    'promhttp_metric_handler_requests_total{code="503"} 0',
  ]);
});
