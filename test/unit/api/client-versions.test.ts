import { expect, test } from 'vitest';
import { ClientVersions } from '../../../src/api/grpc/client-versions.ts';
import { PrometheusMetrics } from '../../../src/telemetry/metrics.ts';

const name = 'etcd_server_client_requests_total';

async function seriesOf(metrics: PrometheusMetrics): Promise<string[]> {
  const { text } = await metrics.scrape();
  return text.split('\n').filter((line) => line.startsWith(`${name}{`));
}

test('streams and calls of one message are counted apart', async () => {
  const metrics = new PrometheusMetrics();
  const [unary, streams] = [
    new ClientVersions(metrics, 'unary'),
    new ClientVersions(metrics, 'stream'),
  ];
  for (const version of ['3.6', '3.5', '3.6']) unary.counterOf(version).increment();
  streams.counterOf('3.6').increment();
  streams.counterOf(undefined).increment();
  expect(await seriesOf(metrics)).toEqual([
    `${name}{type="unary",client_api_version="3.6"} 2`,
    `${name}{type="unary",client_api_version="3.5"} 1`,
    `${name}{type="stream",client_api_version="3.6"} 1`,
    `${name}{type="stream",client_api_version="unknown"} 1`,
  ]);
});

test('clients cannot make a member keep any number of versions, nor long ones', async () => {
  const metrics = new PrometheusMetrics();
  const versions = new ClientVersions(metrics, 'unary');
  versions.counterOf('3'.repeat(33)).increment();
  for (let i = 0; i < 20_000; i++) versions.counterOf(`3.${i}`).increment();
  const series = await seriesOf(metrics);
  expect(series).toHaveLength(101);
  expect(series).toContain(`${name}{type="unary",client_api_version="other"} 19901`);
  versions.counterOf('3.0').increment();
  expect(await seriesOf(metrics)).toContain(`${name}{type="unary",client_api_version="3.0"} 2`);
});
