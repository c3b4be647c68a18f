/** What becomes of locks and leaderships whose members do not answer. */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { StatusCode } from '../../../src/base/errors.ts';
import type { HeldLock } from '../../../src/client/index.ts';
import { KeyValue } from '../../../src/gen/kv.ts';
import {
  LeaseGrantResponse,
  LeaseKeepAliveResponse,
  LeaseRevokeResponse,
  RangeResponse,
  type ResponseOp,
  TxnResponse,
} from '../../../src/gen/rpc.ts';
import { KV, Lease } from '../../../src/gen/services.ts';
import { FakeMember, header, Refusal } from '../../support/fake-member.ts';
import { cabled, client } from './setup.ts';

const revision = 5;

/** Gives every lock at once, on a lease of one second, until it does not answer any more. */
class LockMember extends FakeMember {
  readonly revoked: bigint[] = [];
  renewals = 0;
  txns = 0;
  answersTxns = true;
  answersRevocations = true;

  constructor() {
    super();
    this.on(Lease.methods.leaseGrant, () => LeaseGrantResponse.create({ id: 7n, ttl: 1 }));
    this.onEach(Lease.methods.leaseKeepAlive, ({ id }) => {
      this.renewals++;
      return LeaseKeepAliveResponse.create({ id, ttl: 1 });
    });
    this.on(Lease.methods.leaseRevoke, ({ id }) => {
      answerIf(this.answersRevocations);
      this.revoked.push(id);
      return LeaseRevokeResponse.create();
    });
    this.on(KV.methods.txn, () => {
      this.txns++;
      answerIf(this.answersTxns);
      const owner = KeyValue.create({ createRevision: revision, modRevision: revision });
      const range = RangeResponse.create({ kvs: [owner], count: 1 });
      const responses: ResponseOp[] = [
        { response: undefined },
        { response: { case: 'responseRange', value: range } },
      ];
      return TxnResponse.create({ header: header(revision), succeeded: true, responses });
    });
  }
}

function answerIf(answers: boolean): void {
  if (!answers) throw new Refusal(StatusCode.unavailable, 'etcdserver: request timed out');
}

async function locked(): Promise<{ readonly member: LockMember; readonly lock: HeldLock }> {
  const member = new LockMember();
  const { address } = await cabled(member);
  const lock = await client({ endpoints: address, requestTimeoutMs: 200 }).lock('l');
  return { member, lock };
}

describe('a lock that is let go of', () => {
  test('ends with its lease if its key cannot be deleted', async () => {
    const { member, lock } = await locked();
    member.answersTxns = false;
    await lock.unlock();
    expect(member.revoked).toEqual([lock.leaseId]);
  });

  test('is renewed no more, though nothing can be done to end it', async () => {
    const { member, lock } = await locked();
    member.answersTxns = false;
    member.answersRevocations = false;
    const over = new AbortController();
    over.abort(new Error('no time'));
    await expect(lock.unlock({ signal: over.signal })).rejects.toThrow('no time');
    const { renewals } = member;
    await delay(1_200);
    expect(member.renewals).toBe(renewals);
  });
});

test('what a leader proclaims is put once, even if it is not known whether it was', async () => {
  const member = new LockMember();
  const { address } = await cabled(member);
  const leadership = await client({ endpoints: address }).campaign('e', 'one');
  const { txns } = member;
  member.answersTxns = false;
  await expect(leadership.proclaim('two')).rejects.toThrow('request timed out');
  expect(member.txns).toBe(txns + 1);
  member.answersTxns = true;
  await leadership.resign();
});
