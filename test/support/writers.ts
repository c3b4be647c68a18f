/** Clients that write while members fail, and what was promised to them. */
import { setTimeout as delay } from 'node:timers/promises';
import { fromUtf8, utf8 } from '../../src/base/bytes.ts';
import { HashKVRequest, PutRequest, RangeRequest } from '../../src/gen/rpc.ts';
import { KV, Maintenance } from '../../src/gen/services.ts';
import type { MemberProcess } from './cluster-process.ts';
import { CallError, GrpcClient } from './grpc.ts';
import { metricIn, metricsOf, stateHashIn } from './member-metrics.ts';

/** A write whose acknowledgement arrived. */
export interface Acknowledged {
  readonly key: string;
  readonly value: string;
  readonly revision: number;
  readonly atMs: number;
}

export interface Writers {
  readonly acknowledged: Acknowledged[];
  /** Writes that ended in an error: they may or may not have happened. */
  readonly unknown: { readonly key: string; readonly error: string }[];
  stop(): Promise<void>;
}

/**
 * Each writer puts one key after the other, at a member chosen in turn.
 * @param valueBytes least length of a value
 */
export function startWriters(
  members: readonly MemberProcess[],
  count: number,
  valueBytes = 0,
): Writers {
  const clients = members.map(({ address }) => new GrpcClient(address));
  const acknowledged: Acknowledged[] = [];
  const unknown: Writers['unknown'][number][] = [];
  let stopping = false;
  const write = async (writer: number): Promise<void> => {
    for (let i = 0; !stopping; i++) {
      const client = clients[(writer + i) % clients.length] as GrpcClient;
      const key = `w${writer}/${i}`;
      const value = `value of ${key}`.padEnd(valueBytes, '.');
      try {
        const request = PutRequest.create({ key: utf8(key), value: utf8(value) });
        const { header } = await client.unary(KV.methods.put, request);
        acknowledged.push({ key, value, revision: header?.revision ?? 0, atMs: performance.now() });
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
        unknown.push({ key, error: error.message });
        await delay(20);
      }
    }
  };
  const writers = Array.from({ length: count }, (_, writer) => write(writer));
  return {
    acknowledged,
    unknown,
    stop: async () => {
      stopping = true;
      await Promise.all(writers);
      for (const client of clients) client.close();
    },
  };
}

/** What is wrong with a member's state, given what was acknowledged. */
export async function missingWrites(
  address: string,
  acknowledged: readonly Acknowledged[],
): Promise<readonly string[]> {
  const found = await allKeys(address);
  const problems: string[] = [];
  for (const { key, value, revision } of acknowledged) {
    const kv = found.get(key);
    if (kv === undefined) problems.push(`${key} of revision ${revision} is lost`);
    else if (kv.value !== value || kv.revision !== revision) {
      problems.push(`${key} is ${kv.value}@${kv.revision}, not ${value}@${revision}`);
    }
  }
  return problems;
}

async function allKeys(
  address: string,
): Promise<ReadonlyMap<string, { readonly value: string; readonly revision: number }>> {
  const client = new GrpcClient(address);
  try {
    const zero = utf8('\0');
    const request = RangeRequest.create({ key: zero, rangeEnd: zero });
    const { kvs } = await client.unary(KV.methods.range, request, { timeoutMs: 60_000 });
    return new Map(
      kvs.map((kv) => [fromUtf8(kv.key), { value: fromUtf8(kv.value), revision: kv.modRevision }]),
    );
  } finally {
    client.close();
  }
}

/** Revisions that were given to more than one write. */
export function reusedRevisions(acknowledged: readonly Acknowledged[]): readonly number[] {
  const seen = new Set<number>();
  return acknowledged.flatMap(({ revision }) => {
    if (seen.has(revision)) return [revision];
    seen.add(revision);
    return [];
  });
}

/** HashKV at one revision, and the hash of the whole state, of each member. */
export async function memberHashes(
  members: readonly MemberProcess[],
): Promise<readonly { readonly kv: number; readonly state: string }[]> {
  const revision = await currentRevision(members);
  return Promise.all(
    members.map(async (member) => {
      const client = new GrpcClient(member.address);
      try {
        // A linearizable read first: the member has then applied everything acknowledged.
        await client.unary(KV.methods.range, RangeRequest.create({ key: utf8('x') }));
        const request = HashKVRequest.create({ revision });
        const { hash } = await client.unary(Maintenance.methods.hashKv, request);
        return { kv: hash, state: stateHashIn(await metricsOf(member)) };
      } finally {
        client.close();
      }
    }),
  );
}

async function currentRevision(members: readonly MemberProcess[]): Promise<number> {
  const client = new GrpcClient(members[0]?.address ?? '');
  try {
    const { header } = await client.unary(
      KV.methods.range,
      RangeRequest.create({ key: utf8('x') }),
    );
    return header?.revision ?? 0;
  } finally {
    client.close();
  }
}

/** The value of a metric without labels; undefined if there is none. */
export async function metric(member: MemberProcess, name: string): Promise<number | undefined> {
  const value = metricIn(await metricsOf(member), name);
  return value === undefined ? undefined : Number(value);
}

/** The member that leads, as one of them says. */
export async function leaderOf(members: readonly MemberProcess[]): Promise<MemberProcess> {
  for (let attempt = 0; attempt < 200; attempt++) {
    for (const member of members) {
      if (member.process === undefined) continue;
      const text = await fetch(`${member.clientUrl}/metrics`)
        .then((response) => response.text())
        .catch(() => '');
      if (/^etcd_server_is_leader 1$/m.test(text)) return member;
    }
    await delay(50);
  }
  throw new Error('no member leads');
}
