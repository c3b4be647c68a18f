/** What the tests of the client share. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach } from 'vitest';
import { fromUtf8 } from '../../../src/base/bytes.ts';
import { Client, ClientError, type ClientOptions } from '../../../src/client/index.ts';
import { PutResponse, RangeResponse, type TxnRequest, TxnResponse } from '../../../src/gen/rpc.ts';
import { KV } from '../../../src/gen/services.ts';
import { Cable } from '../../support/cable.ts';
import { FakeMember, header } from '../../support/fake-member.ts';

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

export function cleanup(how: () => unknown): void {
  cleanups.push(how);
}

export function client(options: ClientOptions): Client {
  const made = new Client(options);
  cleanup(() => made.close());
  return made;
}

/** A member behind a connection that can be cut. */
export interface Cabled {
  readonly cable: Cable;
  readonly address: string;
}

export async function cabled(member: FakeMember): Promise<Cabled> {
  await member.listen();
  const cable = await new Cable(() => member.port).plug();
  cleanup(() => member.stop());
  cleanup(() => cable.unplug());
  return { cable, address: cable.address };
}

/** A member that counts what it is asked, and says its name in place of every value. */
export class CountingMember extends FakeMember {
  readonly name: string;
  readonly puts: string[] = [];
  readonly txns: TxnRequest[] = [];
  ranges = 0;
  /** Called before each answer; what it throws is the answer. */
  interfere: (method: 'put' | 'range' | 'txn', time: number) => unknown = () => undefined;

  constructor(name = 'member') {
    super();
    this.name = name;
    this.on(KV.methods.put, async ({ key }) => {
      this.puts.push(fromUtf8(key));
      await this.interfere('put', this.puts.length);
      return PutResponse.create({ header: header(this.puts.length + 1) });
    });
    this.on(KV.methods.range, async ({ key }) => {
      this.ranges++;
      await this.interfere('range', this.ranges);
      const value = Buffer.from(this.name);
      const kv = { key, value, createRevision: 1, modRevision: 1, version: 1, lease: 0n };
      return RangeResponse.create({ header: header(1), kvs: [kv], count: 1 });
    });
    this.on(KV.methods.txn, async (request) => {
      this.txns.push(request);
      await this.interfere('txn', this.txns.length);
      return TxnResponse.create({ header: header(1), succeeded: true });
    });
  }
}

/** The error of a call that must fail with one of the client's. */
export async function failure(call: Promise<unknown>): Promise<ClientError> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ClientError)) throw new Error(`expected a ClientError: ${String(error)}`);
  return error;
}

export const never = (): Promise<never> => new Promise(() => undefined);

export const valueOf = (kv: { value: Uint8Array } | undefined): string =>
  kv === undefined ? '(none)' : fromUtf8(kv.value);

/** Waits for a condition that something else brings about. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(5);
}
