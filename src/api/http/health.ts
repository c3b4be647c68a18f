/** GET /health, /livez and /readyz (etcd: server/etcdserver/api/etcdhttp/health.go). */
import type { Clock } from '../../base/clock.ts';
import { etcdErrors } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { Counter, Metrics } from '../../base/metrics.ts';
import type { HttpAnswer } from './answer.ts';

export type AlarmName = 'NOSPACE' | 'CORRUPT' | 'UNKNOWN';

/** What a member knows of its own health. */
export interface ServerHealth {
  alarms(): readonly AlarmName[];
  hasLeader(): boolean;
  isLearner(): boolean;
  /** It lost part of its data and gets it back from other members: it lives, but serves nobody. */
  repairing(): boolean;
  /** Reads as a client would, at once or through the leader; rejects if that fails. */
  read(serializable: boolean): Promise<void>;
  /** How long a read may take before it counts as failed. */
  readonly requestTimeoutMs: number;
}

interface Check {
  readonly name: string;
  /** Resolves if all is well. */
  run(): Promise<void>;
}

const text = 'text/plain; charset=utf-8';

const beingRepaired = 'this member gets back from the others what it lost';

/** The error of an `await` that took too long, in the words of Go's context. */
const deadlineExceeded = etcdErrors.deadline[1];

function withDeadline(clock: Clock, work: Promise<void>, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(timeoutMs, () => reject(new Error(deadlineExceeded)));
    void work.then(resolve, reject).finally(() => timer.cancel());
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function methodNotAllowed(): HttpAnswer {
  return {
    status: 405,
    headers: { allow: 'GET', 'content-type': text, 'x-content-type-options': 'nosniff' },
    body: 'Method Not Allowed\n',
  };
}

export class HealthEndpoints {
  readonly #server: ServerHealth;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #succeeded: Counter;
  readonly #failed: Counter;
  readonly #gauge: ReturnType<Metrics['gauge']>;
  readonly #counter: ReturnType<Metrics['counter']>;
  readonly #probes: ReadonlyMap<string, readonly Check[]>;

  constructor(server: ServerHealth, clock: Clock, logger: Logger, metrics: Metrics) {
    this.#clock = clock;
    this.#server = server;
    this.#logger = logger;
    this.#succeeded = metrics.counter(
      'etcd_server_health_success',
      'Health checks that succeeded.',
    )();
    this.#failed = metrics.counter('etcd_server_health_failures', 'Health checks that failed.')();
    this.#gauge = metrics.gauge(
      'etcd_server_healthcheck',
      'Whether the last run of a check succeeded.',
      ['type', 'name'],
    );
    this.#counter = metrics.counter(
      'etcd_server_healthchecks_total',
      'Runs of checks, by how they came out.',
      ['type', 'name', 'status'],
    );
    const serializable = { name: 'serializable_read', run: () => this.#read(true) };
    this.#probes = new Map([
      ['livez', [serializable]],
      [
        'readyz',
        [
          { name: 'data_corruption', run: () => this.#noCorruption() },
          serializable,
          { name: 'linearizable_read', run: () => this.#upToDate() },
          { name: 'non_learner', run: () => this.#notLearner() },
        ],
      ],
    ]);
  }

  /** Answers one of the paths of this file; undefined for any other. */
  async answer(
    method: string,
    path: string,
    query: URLSearchParams,
  ): Promise<HttpAnswer | undefined> {
    if (path === '/health') {
      return method === 'GET' ? await this.#health(query) : methodNotAllowed();
    }
    const [, type = '', name, more] = path.split('/');
    const checks = this.#probes.get(type);
    if (checks === undefined || more !== undefined) return undefined;
    const chosen = name === undefined ? checks : checks.filter((check) => check.name === name);
    if (chosen.length === 0) return undefined;
    if (method !== 'GET') return methodNotAllowed();
    const excluded = name === undefined ? query.getAll('exclude') : [];
    return await this.#probe(
      type,
      chosen.filter((check) => !excluded.includes(check.name)),
      query.has('verbose'),
    );
  }

  async #health(query: URLSearchParams): Promise<HttpAnswer> {
    const reason = await this.#reasonForIllness(
      query.getAll('exclude'),
      query.get('serializable') === 'true',
    );
    const body = JSON.stringify({ health: String(reason === ''), reason });
    if (reason === '') {
      this.#succeeded.increment();
      return { status: 200, headers: { 'content-type': text }, body };
    }
    this.#failed.increment();
    this.#logger.warn({ reason, status: 503 }, '/health error');
    return {
      status: 503,
      headers: { 'content-type': text, 'x-content-type-options': 'nosniff' },
      body: `${body}\n`,
    };
  }

  /** The empty string for a healthy member. */
  async #reasonForIllness(excluded: readonly string[], serializable: boolean): Promise<string> {
    if (this.#server.repairing()) return `REPAIRING: ${beingRepaired}`;
    const alarm = this.#server.alarms().find((name) => !excluded.includes(name));
    if (alarm !== undefined) return `ALARM ${alarm}`;
    if (!serializable && !this.#server.hasLeader()) return 'RAFT NO LEADER';
    try {
      await this.#read(serializable);
      return '';
    } catch (error) {
      return `RANGE ERROR:${messageOf(error)}`;
    }
  }

  async #probe(type: string, checks: readonly Check[], verbose: boolean): Promise<HttpAnswer> {
    const lines: string[] = [];
    let healthy = true;
    for (const check of checks) {
      const failure = await check.run().then(
        () => undefined,
        (error: unknown) => messageOf(error),
      );
      const ok = failure === undefined;
      lines.push(ok ? `[+]${check.name} ok\n` : `[-]${check.name} failed: ${failure}\n`);
      healthy &&= ok;
      this.#gauge(type, check.name).set(ok ? 1 : 0);
      this.#counter(type, check.name, ok ? 'success' : 'error').increment();
    }
    const headers = { 'content-type': text, 'x-content-type-options': 'nosniff' };
    if (healthy) return { status: 200, headers, body: `${verbose ? lines.join('') : ''}ok\n` };
    this.#logger.warn({ path: `/${type}`, reason: lines.join('') }, 'health check failed');
    return { status: 503, headers, body: `${lines.join('')}\n` };
  }

  #upToDate(): Promise<void> {
    return this.#server.repairing() ? Promise.reject(new Error(beingRepaired)) : this.#read(false);
  }

  #read(serializable: boolean): Promise<void> {
    return withDeadline(
      this.#clock,
      this.#server.read(serializable),
      this.#server.requestTimeoutMs,
    );
  }

  #noCorruption(): Promise<void> {
    return this.#server.alarms().includes('CORRUPT')
      ? Promise.reject(new Error('alarm activated: CORRUPT'))
      : Promise.resolve();
  }

  #notLearner(): Promise<void> {
    return this.#server.isLearner()
      ? Promise.reject(new Error('not supported for learner'))
      : Promise.resolve();
  }
}
