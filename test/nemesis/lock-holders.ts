/**
 * Clients of the Lock service that want one lock. Whoever has it proves so with each write: a txn
 * that compares the create revision of its key, the token that no other holder can have.
 */
import { utf8 } from '../../src/base/bytes.ts';
import { compare, op } from '../../src/client/index.ts';
import { DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest } from '../../src/gen/rpc.ts';
import type { Call } from '../check/history.ts';
import { anyMember } from './callers.ts';
import { lockName } from './lease-journal.ts';
import { saysLeaseIsGone } from './services.ts';
import { Tenant, type TenantOptions } from './tenant.ts';

/** Holds what the lock protects. */
const guardedKey = utf8('guarded');
const ttlSeconds: readonly number[] = [2, 3, 4];
const thinkMs = 100;
/** How long it waits for the lock; long waits outlive other holders' leases. */
const waitLeastMs = 500;
const waitMostMs = 8000;
const writesMost = 5;
const writePauseMs = 100;

export class LockHolder {
  readonly #tenant: Tenant;
  /** Those whose last call is still under way too. */
  readonly #renewals = new Set<Promise<void>>();
  #writes = 0;

  constructor(options: TenantOptions) {
    this.#tenant = new Tenant(options);
  }

  async run(): Promise<void> {
    const tenant = this.#tenant;
    while (await tenant.pause(tenant.random.next() * 2 * thinkMs)) {
      const ttl = ttlSeconds[tenant.random.below(ttlSeconds.length)] ?? 0;
      const lease = await tenant.grant(ttl);
      if (lease !== undefined) await this.#once(lease, ttl);
    }
    tenant.close();
    await Promise.all(this.#renewals);
  }

  /** Waits for the lock, uses it and lets it go in one of three ways. */
  async #once(lease: bigint, ttl: number): Promise<void> {
    const tenant = this.#tenant;
    const over = new AbortController();
    const renewals = this.#keepAlive(lease, ttl, over.signal);
    this.#renewals.add(renewals);
    void renewals.finally(() => this.#renewals.delete(renewals));
    const key = await this.#lock(lease);
    if (key !== undefined) await this.#use(key);
    over.abort();
    if (key === undefined) return;
    const deed = tenant.random.below(100);
    if (deed < 75) await this.#unlock(key);
    else if (deed < 85) await tenant.revoke(lease);
    // Otherwise its lease runs out, as when it had died.
  }

  /** Some renew in good time, others now and then too late. */
  async #keepAlive(lease: bigint, ttl: number, over: AbortSignal): Promise<void> {
    const { random } = this.#tenant;
    const renewer = this.#tenant.until(over);
    const mostMs = (random.below(3) === 0 ? 1300 : 400) * ttl;
    while (await renewer.pause(random.next() * mostMs)) {
      if (!(await renewer.renew(lease))) break;
    }
    renewer.close();
  }

  async #lock(lease: bigint): Promise<Uint8Array | undefined> {
    const tenant = this.#tenant;
    const startMs = tenant.recorder.nowMs();
    const key = utf8(`${lockName}/${lease.toString(16)}`);
    const waitMs = waitLeastMs + tenant.random.below(waitMostMs - waitLeastMs);
    const asked = await tenant.ask((service) => service.lock(lockName, lease, waitMs));
    this.#maybe(putOf(key, lease), startMs);
    if (asked.kind === 'answered') {
      tenant.journal.locked(asked.answer.key, asked.answer.header?.revision ?? 0);
      return asked.answer.key;
    }
    // The member takes the key back, if it can.
    this.#maybe(deletionOf(key), startMs);
    if (saysLeaseIsGone(asked.message)) {
      tenant.journal.gone(lease, startMs, tenant.recorder.nowMs());
    }
    return undefined;
  }

  #maybe(call: Call, startMs: number): void {
    const { recorder, name } = this.#tenant;
    recorder.maybe(name, anyMember, call, startMs);
  }

  async #use(key: Uint8Array): Promise<void> {
    const tenant = this.#tenant;
    const token = await this.#token(key);
    if (token === undefined) return;
    const writes = 1 + tenant.random.below(writesMost);
    for (let i = 0; i < writes; i++) {
      const call = this.#guarded(key, token);
      const outcome = await tenant.write(call);
      if (outcome.kind === 'answered' && 'succeeded' in outcome.answer) {
        const { succeeded, header } = outcome.answer;
        if (!succeeded) return;
        tenant.journal.proved(key, header?.revision ?? 0);
      }
      if (!(await tenant.pause(tenant.random.next() * 2 * writePauseMs))) return;
    }
  }

  /** The create revision of its key; undefined if that is gone, or nobody says. */
  async #token(key: Uint8Array): Promise<number | undefined> {
    const request = RangeRequest.create({ key });
    const outcome = await this.#tenant.write({ kind: 'range', request });
    if (outcome.kind !== 'answered' || !('kvs' in outcome.answer)) return undefined;
    return outcome.answer.kvs[0]?.createRevision;
  }

  #guarded(key: Uint8Array, token: number): Call {
    const value = utf8(`${this.#tenant.name}-${++this.#writes}`);
    const put = PutRequest.create({ key: guardedKey, value });
    const request = TxnRequest.create({
      compare: [compare.createRevision(key, '=', token)],
      success: [op.put(put)],
      failure: [op.range({ key: guardedKey })],
    });
    return { kind: 'txn', request };
  }

  async #unlock(key: Uint8Array): Promise<void> {
    const tenant = this.#tenant;
    const startMs = tenant.recorder.nowMs();
    await tenant.ask((service, timeoutMs) => service.unlock(key, timeoutMs));
    this.#maybe(deletionOf(key), startMs);
  }
}

/** What the Lock service asks of the key-value API for the place of a lease. */
function putOf(key: Uint8Array, lease: bigint): Call {
  const request = TxnRequest.create({
    compare: [compare.createRevision(key, '=', 0)],
    success: [op.put(PutRequest.create({ key, lease }))],
    failure: [op.range({ key })],
  });
  return { kind: 'txn', request };
}

function deletionOf(key: Uint8Array): Call {
  return { kind: 'deleteRange', request: DeleteRangeRequest.create({ key }) };
}
