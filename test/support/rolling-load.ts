/** Programs that go on while members are restarted: with the npm package etcd3, and etcdctl. */
import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Etcd3, type IOptions, type Lease, type Watcher } from 'etcd3';
import { hasEtcdctl } from './etcd.ts';

const execute = promisify(execFile);

/** Every call is made once, so that each failure is seen; the package tries three times more. */
const untried = { execute: async (call: (context: object) => unknown) => call({}) };
/** A watch begins anew soon: by itself the package waits for up to half a minute. */
const soon = { duration: 200, next: (): unknown => soon };
const faultHandling = {
  host: () => untried,
  global: untried,
  watchBackoff: soon,
} as unknown as NonNullable<IOptions['faultHandling']>;

/** What an error of the package says, without what differs from run to run. */
function kindOf({ message }: Error): string {
  // Its words for a member that is down, whatever the last try to reach it ended with.
  return message.replace(/(No connection established)\..*/s, '$1');
}

/** What etcdctl ends with; undefined for an error that is none of its own. */
function etcdctlKind({ stderr }: { readonly stderr?: string }): string | undefined {
  return stderr?.split('\n').findLast((line) => line.startsWith('Error:'));
}

/** The key of the lease. */
export const leaseKey = 'lease/kept';

export class RollingLoad {
  /** Values by key, of writes that were acknowledged. */
  readonly acknowledged = new Map<string, string>();
  /** How often each kind of error came. */
  readonly errors = new Map<string, number>();
  /** `key@revision` of all that the watch told. */
  readonly watched: string[] = [];
  /** Why leases were lost. */
  readonly losses: string[] = [];
  /** Calls that were answered. */
  readonly answers = { put: 0, get: 0, txn: 0 };
  /** Runs of etcdctl that wrote and read a key. */
  commands = 0;
  readonly #patient: Etcd3;
  readonly #once: Etcd3;
  readonly #addresses: readonly string[];
  #watcher: Watcher | undefined;
  #lease: Lease | undefined;
  #goesOn = true;
  #running: Promise<unknown> = Promise.resolve();

  constructor(addresses: readonly string[]) {
    this.#addresses = addresses;
    this.#patient = new Etcd3({ hosts: [...addresses] });
    this.#once = new Etcd3({ hosts: [...addresses], faultHandling });
  }

  async start(leaseTtlSeconds: number): Promise<void> {
    const watcher = this.#once.watch().prefix('w/').watcher();
    const connected = new Promise<void>((resolve) => watcher.once('connected', () => resolve()));
    watcher.on('put', ({ key, mod_revision: at }) => this.watched.push(`${key.toString()}@${at}`));
    watcher.on('error', (error) => this.#failed(`watch: ${error.message}`));
    this.#watcher = watcher;
    await connected;
    const lease = this.#patient.lease(leaseTtlSeconds);
    lease.on('lost', ({ message }) => this.losses.push(message));
    await lease.put(leaseKey).value('here');
    this.#lease = lease;
    const each = Object.entries({ patient: this.#patient, once: this.#once });
    this.#running = Promise.all([
      ...each.map(([name, client]) => this.#repeat((i) => this.#put(client, `w/${name}/${i}`))),
      ...each.map(([name, client]) => this.#repeat((i) => this.#txn(client, `w/txn/${name}/${i}`))),
      ...each.map(([, client]) => this.#repeat(() => this.#get(client))),
      ...(hasEtcdctl ? [this.#repeat((i) => this.#etcdctl(`w/etcdctl/${i}`))] : []),
    ]);
  }

  /** Waits for so many acknowledged writes more. */
  async more(count: number): Promise<void> {
    const enough = this.acknowledged.size + count;
    while (this.acknowledged.size < enough) await delay(10);
  }

  async stop(): Promise<void> {
    this.#goesOn = false;
    await this.#running;
  }

  async close(): Promise<void> {
    await this.#watcher?.cancel();
    this.#lease?.release();
    this.#patient.close();
    this.#once.close();
  }

  #failed(kind: string): void {
    this.errors.set(kind, (this.errors.get(kind) ?? 0) + 1);
  }

  async #repeat(work: (i: number) => Promise<void>): Promise<void> {
    for (let i = 0; this.#goesOn; i++) {
      try {
        await work(i);
      } catch (error) {
        this.#failed(etcdctlKind(error as { stderr?: string }) ?? kindOf(error as Error));
        await delay(20);
      }
      await delay(5);
    }
  }

  async #put(client: Etcd3, key: string): Promise<void> {
    await client.put(key).value(`value of ${key}`);
    this.answers.put++;
    this.acknowledged.set(key, `value of ${key}`);
  }

  async #get(client: Etcd3): Promise<void> {
    const [key, value] = [...this.acknowledged].at(-1) ?? [];
    if (key === undefined) return;
    const read = await client.get(key).string();
    if (read !== value) throw new Error(`a read of ${key} does not show what was written`);
    this.answers.get++;
  }

  async #txn(client: Etcd3, key: string): Promise<void> {
    const value = `value of ${key}`;
    await client.if(key, 'Create', '==', 0).then(client.put(key).value(value)).commit();
    this.answers.txn++;
    this.acknowledged.set(key, value);
  }

  async #etcdctl(key: string): Promise<void> {
    const run = async (...args: string[]): Promise<string> => {
      const all = [`--endpoints=${this.#addresses.join(',')}`, ...args];
      const env = { PATH: process.env['PATH'], ETCDCTL_API: '3' };
      return (await execute('etcdctl', all, { env })).stdout;
    };
    await run('put', key, `value of ${key}`);
    this.acknowledged.set(key, `value of ${key}`);
    const text = await run('get', key, '--print-value-only');
    if (text !== `value of ${key}\n`) throw new Error('etcdctl does not read what it wrote');
    this.commands++;
  }
}
