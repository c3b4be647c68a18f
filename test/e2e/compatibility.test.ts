/** docs/compatibility.md tells of a running member as it is; etcd's dashboard finds its metrics. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as services from '../../src/gen/services.ts';
import type { ClusterProcess } from '../support/cluster-process.ts';
import { cellsBelow, corrections, rowsBelow, type Supported } from '../support/compatibility.ts';
import { metricsOf } from '../support/member-metrics.ts';
import { startQuorate } from '../support/quorate.ts';

const unimplemented: number = status.UNIMPLEMENTED;
/** A call that is served may wait for something: it has been taken by then. */
const callTimeoutMs = 3_000;
/** The way to a peer is measured every 4 s. */
const roundTripTimeoutMs = 15_000;

let cluster: ClusterProcess;
let url: string;

beforeAll(async () => {
  cluster = await startQuorate({ members: 2, flags: ['--metrics=extensive'] });
  url = cluster.members[0]?.clientUrl ?? '';
}, 60_000);

afterAll(async () => {
  await cluster.stop();
});

interface Method {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

const methods = Object.values(services).flatMap((service) =>
  Object.values(service.methods as Readonly<Record<string, Method>>),
);

/** The status of a call with an empty request. */
function statusOf(client: Client, { path, requestStream, responseStream }: Method) {
  const same = (bytes: Buffer): Buffer => bytes;
  const empty = Buffer.alloc(0);
  const deadline = { deadline: Date.now() + callTimeoutMs };
  return new Promise<number>((resolve) => {
    if (!responseStream) {
      client.makeUnaryRequest(path, same, same, empty, deadline, (error) => {
        resolve(error?.code ?? status.OK);
      });
      return;
    }
    const call = requestStream
      ? client.makeBidiStreamRequest(path, same, same, deadline)
      : client.makeServerStreamRequest(path, same, same, empty, deadline);
    call.on('data', () => {});
    call.on('error', ({ code }: ServiceError) => resolve(code));
    call.on('end', () => resolve(status.OK));
    if ('end' in call) (call as { end: () => void }).end();
  });
}

test('an RPC answers UNIMPLEMENTED if its row says that it is not built, and only then', async () => {
  const client = new Client(cluster.addresses[0] ?? '', credentials.createInsecure());
  const rows = new Map(rowsBelow('RPCs').map(({ name, state }) => [name, state]));
  try {
    const answers = await Promise.all(
      methods.map(
        async (method) => [method.path.slice(1), await statusOf(client, method)] as const,
      ),
    );
    for (const [name, code] of answers) {
      const isBuilt = rows.get(name) !== 'not built';
      expect({ name, isBuilt }).toEqual({ name, isBuilt: code !== unimplemented });
    }
  } finally {
    client.close();
  }
});

test('every metric has a row, with its type', async () => {
  const text = await metricsOf(cluster.members[0] ?? expect.unreachable());
  const families = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => ({
    name,
    type,
    states: ['works', 'differs'] as const,
    row: `| \`${name}\` | ${type} | works | |`,
  }));
  expect(families.length).toBeGreaterThan(60);
  expect(corrections('Metrics', families)).toEqual([]);
  const types = new Map(families.map(({ name, type }) => [name, type]));
  for (const { name, more, state } of rowsBelow('Metrics')) {
    if (state === 'not built' || name.endsWith('*')) continue;
    expect([name, more]).toEqual([name, [types.get(name)]]);
  }
});

async function probe(path: string): Promise<number> {
  return (await fetch(`${url}${path}`)).status;
}

describe('HTTP', () => {
  /** Paths that the sources compare with, and the checks of each probe as it tells them. */
  async function served(): Promise<Supported[]> {
    const source = (name: string): string =>
      readFileSync(join(import.meta.dirname, '../../src/api/http', name), 'utf8');
    const text = source('router.ts') + source('health.ts');
    // The probes are the keys of a map.
    const paths = [...text.matchAll(/path === '(\/[^']+)'/g)].map(([, path = '']) => path);
    const probes = [...text.matchAll(/^ {6}\[?\s*'?([a-z]+z)'/gm)].map(
      ([, name = '']) => `/${name}`,
    );
    for (const check of probes) {
      const verbose = await (await fetch(`${url}${check}?verbose`)).text();
      const names = [...verbose.matchAll(/^\[.\](\S+) /gm)].map(([, name = '']) => name);
      paths.push(check, ...names.map((name) => `${check}/${name}`));
    }
    paths.push('/v3/', '/v3beta/');
    return [...new Set(paths)].map((name) => ({ name, states: ['works', 'differs'] }));
  }

  test('every path has a row', async () => {
    const paths = await served();
    expect(paths.length).toBeGreaterThan(9);
    expect(corrections('HTTP', paths)).toEqual([]);
  });

  test('what has a row is there, if it is built', async () => {
    for (const { name, state } of rowsBelow('HTTP')) {
      // Those of the gateway are of calls: none is a page.
      const path = name.endsWith('/') && state !== 'not built' ? `${name}kv/range` : name;
      const isThere = (await probe(path)) !== 404;
      expect({ name, isThere }).toEqual({ name, isThere: state !== 'not built' });
    }
  });
});

describe("what etcd's dashboard and alerts query", () => {
  const words = (cell = ''): string[] => cell.split(' ').map((word) => word.replaceAll('`', ''));
  const queries = cellsBelow('Dashboard and alerts of etcd').flatMap(
    ([query = '', metrics, labels]) =>
      words(metrics).map((metric) => ({ query, metric, labels: words(labels).filter(Boolean) })),
  );

  test.each(queries)('$query: $metric', async ({ metric, labels }) => {
    const text = await metricsOf(cluster.members[0] ?? expect.unreachable());
    const series = text
      .split('\n')
      .filter((line) => line.startsWith(`${metric}{`) || line.startsWith(`${metric} `));
    expect(series.length).toBeGreaterThan(0);
    for (const line of series) {
      for (const label of labels) expect(line).toContain(`${label}="`);
    }
  });

  test.each(['Watch', 'Lease'])(
    'streams of %s are counted as those of both directions',
    async (name) => {
      const text = await metricsOf(cluster.members[0] ?? expect.unreachable());
      const labels = `grpc_type="bidi_stream",grpc_service="etcdserverpb.${name}"`;
      expect(text).toContain(`grpc_server_started_total{${labels}`);
      expect(text).toContain(`grpc_server_handled_total{${labels}`);
    },
  );

  test('disk, state and peers are measured', async () => {
    const put = { key: Buffer.from('k').toString('base64'), value: '' };
    await fetch(`${url}/v3/kv/put`, { method: 'POST', body: JSON.stringify(put) });
    const measured = async (): Promise<Record<string, boolean>> => {
      const text = await metricsOf(cluster.members[0] ?? expect.unreachable());
      const names = [
        'etcd_disk_wal_fsync_duration_seconds_count',
        'etcd_disk_backend_commit_duration_seconds_count',
        'etcd_disk_wal_write_bytes_total',
        'etcd_network_peer_round_trip_time_seconds_count',
        'etcd_network_peer_sent_bytes_total',
        'etcd_network_peer_received_bytes_total',
        'etcd_mvcc_put_total',
        'etcd_mvcc_db_total_size_in_bytes',
        'etcd_server_has_leader',
        'process_resident_memory_bytes',
      ];
      const isMeasured = (name: string): boolean =>
        new RegExp(`^${name}(\\{[^}]*\\})? (0\\.\\d*)?[1-9]`, 'm').test(text);
      return Object.fromEntries(names.map((name) => [name, isMeasured(name)]));
    };
    const missing = async (): Promise<string[]> =>
      Object.entries(await measured()).flatMap(([name, is]) => (is ? [] : [name]));
    await expect.poll(missing, { timeout: roundTripTimeoutMs, interval: 500 }).toEqual([]);
  }, 30_000);
});
