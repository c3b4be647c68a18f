/** Clients with leases on which keys hang: these go when the leases do, and never before. */
import { utf8 } from '../../src/base/bytes.ts';
import { DeleteRangeRequest, PutRequest, RangeRequest } from '../../src/gen/rpc.ts';
import type { Call } from '../check/history.ts';
import { Tenant, type TenantOptions } from './tenant.ts';

/** Below it lie the keys that hang on leases. */
export const leasedPrefix = utf8('leased/');
export const leasedPrefixEnd = utf8('leased0');

const keysEach = 4;
/** Short, so that many end in a run; no shorter than elections allow. */
const ttlSeconds: readonly number[] = [2, 3, 5];
const thinkMs = 250;

type Deed = 'renew' | 'put' | 'detach' | 'delete' | 'read' | 'ask' | 'revoke' | 'abandon';

/** Shares of a hundred. */
const deeds: readonly (readonly [share: number, deed: Deed])[] = [
  [38, 'renew'],
  [26, 'put'],
  [5, 'detach'],
  [3, 'delete'],
  [10, 'read'],
  [6, 'ask'],
  [6, 'revoke'],
  [6, 'abandon'],
];

export class LeaseHolder {
  readonly #tenant: Tenant;
  /** Ids that it chooses itself begin here. */
  readonly #firstId: bigint;
  #lease: bigint | undefined;
  #grants = 0;
  #writes = 0;

  constructor(options: TenantOptions, number: number) {
    this.#tenant = new Tenant(options);
    this.#firstId = BigInt(number + 1) * 1_000_000n;
  }

  async run(): Promise<void> {
    const tenant = this.#tenant;
    while (await tenant.pause(tenant.random.next() * 2 * thinkMs)) {
      if (this.#lease === undefined) await this.#grant();
      else await this.#do(this.#deed(), this.#lease);
    }
    tenant.close();
  }

  async #grant(): Promise<void> {
    const { random } = this.#tenant;
    const ttl = ttlSeconds[random.below(ttlSeconds.length)] ?? 0;
    const own = this.#firstId + BigInt(++this.#grants);
    // Half of the ids are the server's choice.
    this.#lease = await this.#tenant.grant(ttl, random.below(2) === 0 ? own : 0n);
  }

  #deed(): Deed {
    let rest = this.#tenant.random.below(100);
    for (const [share, deed] of deeds) {
      if (rest < share) return deed;
      rest -= share;
    }
    throw new Error('the shares do not add up to a hundred');
  }

  async #do(deed: Deed, lease: bigint): Promise<void> {
    const tenant = this.#tenant;
    switch (deed) {
      case 'renew':
        if (!(await tenant.renew(lease))) this.#lease = undefined;
        break;
      case 'put': {
        const outcome = await tenant.write(this.#put(lease), lease);
        if (outcome.kind === 'refused') this.#lease = undefined;
        break;
      }
      case 'detach':
        await tenant.write(this.#put(0n));
        break;
      case 'delete': {
        const request = DeleteRangeRequest.create({ key: this.#key(), prevKv: true });
        await tenant.write({ kind: 'deleteRange', request });
        break;
      }
      case 'read': {
        const serializable = tenant.random.below(3) === 0;
        const range = { key: leasedPrefix, rangeEnd: leasedPrefixEnd, serializable };
        await tenant.write({ kind: 'range', request: RangeRequest.create(range) });
        break;
      }
      case 'ask':
        if (!(await tenant.lookUp(lease))) this.#lease = undefined;
        break;
      case 'revoke':
        await tenant.revoke(lease);
        // What is dead must stay dead: it is asked for once more.
        if (tenant.random.below(2) === 0) this.#lease = undefined;
        break;
      case 'abandon':
        this.#lease = undefined;
        break;
    }
  }

  #put(lease: bigint): Call {
    const value = utf8(`${this.#tenant.name}-${++this.#writes}`);
    const prevKv = this.#tenant.random.below(4) === 0;
    const request = PutRequest.create({ key: this.#key(), value, lease, prevKv });
    return { kind: 'put', request };
  }

  /** Of its own: what it loses track of then hides no end of another's lease. */
  #key(): Uint8Array {
    const { name, random } = this.#tenant;
    return utf8(`leased/${name}-${random.below(keysEach)}`);
  }
}
