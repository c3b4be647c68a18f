/** The JSON gateway beside etcd's: the same requests over HTTP, and what comes back. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ClusterProcess } from '../support/cluster-process.ts';
import { etcdMissing, etcdVersion, startEtcd } from '../support/etcd.ts';
import { JsonStream } from '../support/gateway-calls.ts';
import { startQuorate } from '../support/quorate.ts';
import {
  cases,
  type GatewayCase,
  type GatewayRequest,
  history,
  streamCases,
} from './gateway/cases.ts';
import { type GatewayDifference, gatewayDifferences } from './gateway/differences.ts';
import { differencesOf } from './pair.ts';
import { pending, pendingIn } from './pending.ts';
import type { Plain } from './session.ts';

/** Fields whose values are a server's own; `details` is what 3.6 adds to refusals. */
const masked = new Set([
  ...['cluster_id', 'member_id', 'raft_term', 'raftTerm', 'raftIndex', 'raftAppliedIndex'],
  ...['version', 'dbSize', 'dbSizeInUse', 'leader', 'peerURLs', 'clientURLs', 'name'],
]);
const ownIds = /^\d{15,20}$/;

type Tree = Readonly<Record<string, Plain>>;

function normalized(value: Plain, field = '', inKv = false): Plain {
  if (Array.isArray(value)) {
    if (masked.has(field)) return '*';
    return (value as Plain[]).map((one) => normalized(one, '', field === 'kvs'));
  }
  if (typeof value === 'object' && value !== null) {
    const isKv = inKv || field === 'kv' || field === 'prev_kv';
    return Object.fromEntries(
      Object.entries(value as Tree)
        .filter(([name]) => name !== 'details')
        .map(([name, one]) => [name, normalized(one, name, isKv)]),
    );
  }
  // The version of a key is not that of the server.
  if (masked.has(field) && !(inKv && field === 'version')) return '*';
  // What is left of a lease's time; below zero there is no such lease.
  if (field === 'TTL' && typeof value === 'string' && Number(value) > 0) return '*';
  const isOwn = field === 'ID' && typeof value === 'string' && ownIds.test(value);
  return isOwn && value !== '123456789012345678' ? '*' : value;
}

function parsed(text: string): Plain {
  try {
    return JSON.parse(text) as Plain;
  } catch {
    return text;
  }
}

async function ask(url: string, request: GatewayRequest): Promise<Plain> {
  const { path, body, method = 'POST', headers = {} } = request;
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await fetch(url + path, {
    method,
    headers,
    ...(body === undefined ? {} : { body: text }),
  });
  const answer = parsed((await response.text()).trim());
  const contentType = response.headers.get('content-type')?.replace(/;.*/, '') ?? '';
  return { status: response.status, contentType, body: normalized(answer) };
}

async function askStream(url: string, request: GatewayRequest, lines: number): Promise<Plain> {
  const stream = new JsonStream(url, request.path).send(request.body).end();
  const answers: Plain[] = [];
  try {
    for (let i = 0; i < lines; i++) answers.push(((await stream.next()) ?? 'end') as Plain);
  } finally {
    stream.close();
  }
  return { status: (await stream.status()) ?? 0, answers: normalized(answers) };
}

const used = new Set<GatewayDifference>();

function isExplained(line: string): boolean {
  const found = gatewayDifferences.find(
    (one) => one.etcd.test(etcdVersion ?? '') && one.line.test(line),
  );
  if (found !== undefined) used.add(found);
  return found !== undefined;
}

describe.skipIf(etcdVersion === undefined)(
  `the gateway against etcd ${etcdVersion ?? ''}${etcdMissing}`,
  () => {
    let clusters: ClusterProcess[] = [];
    let urls: string[] = [];
    let count = 0;

    beforeAll(async () => {
      clusters = await Promise.all([startEtcd(), startQuorate()]);
      urls = clusters.map(({ addresses }) => `http://${addresses[0] ?? ''}`);
    });
    afterAll(() => Promise.all(clusters.map((cluster) => cluster.stop())));

    /** Asks both the same. Returns what we do not serve yet, if it was needed. */
    async function compare(
      name: string,
      requests: readonly GatewayRequest[],
      lines?: number,
    ): Promise<string | undefined> {
      const found: string[] = [];
      for (const [i, request] of requests.entries()) {
        const [etcd, ours] = await Promise.all(
          urls.map((url) =>
            lines === undefined ? ask(url, request) : askStream(url, request, lines),
          ),
        );
        const { code, message } = ((ours as Tree)['body'] ?? {}) as Partial<Record<string, Plain>>;
        const missing = pendingIn(Number(code), typeof message === 'string' ? message : '');
        if (missing !== undefined) return missing;
        const label = `${name} > ${i + 1} ${request.path}`;
        found.push(...differencesOf(etcd, ours).map((line) => `${label} ${line}`));
      }
      expect(found.filter((line) => !isExplained(line))).toEqual([]);
      return undefined;
    }

    const run = ({ name, requests, lines }: GatewayCase, key: string): ReturnType<typeof compare> =>
      compare(name, requests(key), lines);

    for (const one of cases) {
      test(one.name, async ({ skip }) => {
        const missing = await run(one, `case${count++}`);
        if (missing === undefined) return;
        // What one of both has written moves its revision away from the other's.
        await level();
        skip(`Quorate does not serve ${missing} yet`);
      });
    }

    for (const one of streamCases) {
      test(one.name, async () => {
        const key = `case${count++}`;
        expect(await compare(one.name, history(key))).toBeUndefined();
        await run(one, key);
      });
    }

    async function revisionOf(url: string): Promise<number> {
      const { body } = (await ask(url, { path: '/v3/kv/range', body: { key: 'fg==' } })) as {
        body: { header: { revision: string } };
      };
      return Number(body.header.revision);
    }

    async function level(): Promise<void> {
      const revisions = await Promise.all(urls.map(revisionOf));
      const highest = Math.max(...revisions);
      for (const [i, url] of urls.entries()) {
        for (let at = revisions[i] ?? 0; at < highest; at++) {
          await ask(url, { path: '/v3/kv/put', body: { key: 'fg==' } });
        }
      }
    }

    test('every entry of the list of differences is needed', () => {
      const relevant = gatewayDifferences.filter(
        ({ etcd, needs }) =>
          etcd.test(etcdVersion ?? '') && (needs === undefined || !pending.includes(needs)),
      );
      expect(relevant.filter((one) => !used.has(one)).map(({ line }) => String(line))).toEqual([]);
    });
  },
);
