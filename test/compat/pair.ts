/** Two servers side by side: the original and ours. */
import { expect } from 'vitest';
import { fromLatin1 } from '../../src/base/bytes.ts';
import { DeleteRangeRequest, PutRequest } from '../../src/gen/rpc.ts';
import { KV } from '../../src/gen/services.ts';
import { type ClusterProcess, startCluster } from '../support/cluster-process.ts';
import { etcdVersion, startEtcd } from '../support/etcd.ts';
import { startQuorate } from '../support/quorate.ts';
import { CallError } from '../support/grpc.ts';
import { explain } from './differences.ts';
import { pendingIn } from './pending.ts';
import { type Plain, Session, type Step } from './session.ts';

/** One script, run against each server alone. */
export interface Case {
  readonly name: string;
  /**
   * Versions of etcd that this would crash or hang: such a case is skipped and its name says so.
   */
  readonly unfit?: RegExp;
  run(session: Session): Promise<void>;
}

export interface Group {
  readonly name: string;
  readonly flags?: readonly string[];
  /** Run once before the cases. */
  prepare?(session: Session): Promise<void>;
  readonly cases: readonly Case[];
}

/** `QUORATE_TEST_SUBJECT` puts another program in our place, to check the harness itself. */
const subject = process.env['QUORATE_TEST_SUBJECT'];

function startSubject(flags: readonly string[]): Promise<ClusterProcess> {
  if (subject === undefined) return startQuorate({ flags });
  return startCluster({ name: 'subject', command: subject, arguments: [] }, { flags });
}

const paths = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`);

/** Where two outcomes differ, one line for each place. */
export function differencesOf(
  etcd: Plain | undefined,
  ours: Plain | undefined,
  path = '',
): string[] {
  if (etcd === undefined || ours === undefined || !isTree(etcd) || !isTree(ours)) {
    return JSON.stringify(etcd) === JSON.stringify(ours)
      ? []
      : [`${path}: etcd ${JSON.stringify(etcd)}, ours ${JSON.stringify(ours)}`];
  }
  const keys = new Set([...Object.keys(etcd), ...Object.keys(ours)]);
  return [...keys].flatMap((key) => differencesOf(etcd[key], ours[key], paths(path, key)));
}

/** Written and deleted again to move the revision; no case uses it. */
const levelKey = fromLatin1('~level');

type Tree = Readonly<Record<string, Plain>>;

function isTree(value: Plain): value is Tree {
  return typeof value === 'object' && value !== null;
}

/** Differences of two runs of a case, `step path: etcd …, ours …`. */
function compareSteps(etcd: readonly Step[], ours: readonly Step[]): string[] {
  const count = Math.max(etcd.length, ours.length);
  return Array.from({ length: count }, (_, i) => {
    const label = etcd[i]?.label ?? ours[i]?.label ?? '';
    if (etcd[i]?.label !== ours[i]?.label) {
      return [`${label}: etcd ${etcd[i]?.label ?? 'nothing'}, ours ${ours[i]?.label ?? 'nothing'}`];
    }
    return differencesOf(etcd[i]?.outcome, ours[i]?.outcome).map((line) => `${label} ${line}`);
  }).flat();
}

/** What a run met that we do not serve yet. */
function pendingOf(steps: readonly Step[], failure: unknown): string | undefined {
  for (const { outcome } of steps) {
    if (!isTree(outcome)) continue;
    const { code, details } = outcome;
    if (typeof code !== 'number' || typeof details !== 'string') continue;
    const missing = pendingIn(code, details);
    if (missing !== undefined) return missing;
  }
  return failure instanceof CallError ? pendingIn(failure.code, failure.details) : undefined;
}

export class Pair {
  readonly etcd: Session;
  readonly ours: Session;
  readonly #clusters: readonly ClusterProcess[];

  private constructor(clusters: readonly [ClusterProcess, ClusterProcess]) {
    this.#clusters = clusters;
    const [etcd, ours] = clusters.map(({ addresses }) => new Session(addresses[0] ?? ''));
    if (etcd === undefined || ours === undefined) throw new Error('two servers are needed');
    this.etcd = etcd;
    this.ours = ours;
  }

  static async start(flags: readonly string[] = []): Promise<Pair> {
    const results = await Promise.allSettled([startEtcd({ flags }), startSubject(flags)]);
    const [etcd, ours] = results;
    if (etcd.status === 'fulfilled' && ours.status === 'fulfilled') {
      return new Pair([etcd.value, ours.value]);
    }
    for (const result of results) if (result.status === 'fulfilled') await result.value.stop();
    throw results.find((result) => result.status === 'rejected')?.reason;
  }

  async stop(): Promise<void> {
    this.etcd.close();
    this.ours.close();
    await Promise.all(this.#clusters.map((cluster) => cluster.stop()));
  }

  /** Does the same on both at the same time. */
  async both(action: (session: Session) => Promise<void>): Promise<void> {
    const results = await Promise.allSettled([action(this.ours), action(this.etcd)]);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /**
   * Runs a case on both and fails on every difference that is not in the reviewed list. Returns
   * what we do not serve yet, if the case needs it.
   */
  async run(group: string, { name, run }: Case): Promise<string | undefined> {
    await this.both((session) => session.begin());
    try {
      const failure = await this.both(run).then(
        () => undefined,
        (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
      );
      const missing = pendingOf(this.ours.steps, failure);
      if (missing !== undefined) return missing;
      if (failure !== undefined) throw failure;
      const lines = compareSteps(this.etcd.steps, this.ours.steps).map(
        (line) => `${group} > ${name} > ${line}`,
      );
      expect(this.etcd.steps.length, 'a case compares something').toBeGreaterThan(0);
      expect(lines.filter((line) => !explain(line, etcdVersion ?? ''))).toEqual([]);
      return undefined;
    } finally {
      await this.both(async (session) => session.end());
      await this.#align();
    }
  }

  /** Brings the revisions level, so that one difference does not make all later cases differ. */
  async #align(): Promise<void> {
    const [etcd, ours] = await Promise.all([this.etcd.revision(), this.ours.revision()]);
    if (etcd === ours) return;
    const highest = Math.max(etcd, ours);
    await this.both(async (session) => {
      const { client } = session;
      for (let at = await session.revision(); at <= highest; at++) {
        await client.unary(KV.methods.put, PutRequest.create({ key: levelKey }));
      }
      await client.unary(KV.methods.deleteRange, DeleteRangeRequest.create({ key: levelKey }));
    });
  }
}
