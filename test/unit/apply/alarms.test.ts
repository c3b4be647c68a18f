/** Alarms in the state machine: what they forbid, and that they are a part of the state. */
import { describe, expect, test } from 'vitest';
import { raisedByHand } from '../../../src/alarm/alarm-store.ts';
import { spaceCostBytes } from '../../../src/apply/cost.ts';
import type { Command } from '../../../src/apply/request.ts';
import { utf8 } from '../../../src/base/bytes.ts';
import {
  AlarmAction,
  AlarmType,
  CompactionRequest,
  DeleteRangeRequest,
  LeaseGrantRequest,
  PutRequest,
  type RequestOp,
  TxnRequest,
} from '../../../src/gen/rpc.ts';
import { anyGrant } from '../../../src/lease/lease.ts';
import { stateHashOf } from '../../../src/server/state.ts';
import { Machine } from './fakes.ts';

const { activate, deactivate } = AlarmAction;
const { nospace, corrupt, none } = AlarmType;

class AlarmMachine extends Machine {
  /** The reason of a refusal, `ok` if there is none. */
  run(command: Command): string {
    return this.apply(command).error?.reason ?? 'ok';
  }

  alarm(action: AlarmAction, memberId: bigint, alarm: AlarmType, quotaBytes = 0): unknown {
    const value = { action, memberId, alarm, quotaBytes };
    const { response } = this.apply({ case: 'alarm', value });
    return (response as { alarms: unknown } | undefined)?.alarms;
  }

  get hash(): bigint {
    return stateHashOf({ ...this.state, store: this.store });
  }
}

const putOp: RequestOp = { request: { case: 'requestPut', value: PutRequest.create() } };
const put: Command = { case: 'put', value: PutRequest.create({ key: utf8('k') }) };
const txnOf = (...success: RequestOp[]): Command => ({
  case: 'txn',
  value: TxnRequest.create({ success }),
});
const nested = txnOf({
  request: { case: 'requestTxn', value: TxnRequest.create({ failure: [putOp] }) },
});
const del: Command = { case: 'deleteRange', value: DeleteRangeRequest.create({ key: utf8('k') }) };
const grant: Command = { case: 'leaseGrant', value: LeaseGrantRequest.create({ id: 9n, ttl: 60 }) };
const revoke: Command = { case: 'leaseRevoke', value: { id: 7n, grant: anyGrant } };
const compact: Command = { case: 'compaction', value: CompactionRequest.create({ revision: 1 }) };

describe('under the alarm NOSPACE', () => {
  test('what adds to the state is refused, what frees space is not', () => {
    const machine = new AlarmMachine();
    machine.run({ case: 'leaseGrant', value: LeaseGrantRequest.create({ id: 7n, ttl: 60 }) });
    machine.alarm(activate, 5n, nospace);
    for (const command of [put, txnOf(putOp), nested, grant]) {
      expect(machine.run(command)).toBe('noSpace');
    }
    for (const command of [txnOf(), del, revoke, compact]) {
      expect(machine.run(command)).toBe('ok');
    }
    machine.alarm(deactivate, 5n, nospace);
    expect(machine.run(put)).toBe('ok');
  });

  test('of several members, all must be cleared', () => {
    const machine = new AlarmMachine();
    machine.alarm(activate, 5n, nospace);
    machine.alarm(activate, 6n, nospace, 1000);
    machine.alarm(deactivate, 5n, nospace);
    expect(machine.run(put)).toBe('noSpace');
    machine.alarm(deactivate, 6n, nospace);
    expect(machine.run(put)).toBe('ok');
  });
});

test('under the alarm CORRUPT nothing changes keys or leases', () => {
  const machine = new AlarmMachine();
  machine.alarm(activate, 5n, nospace);
  machine.alarm(activate, 5n, corrupt);
  for (const command of [put, txnOf(), del, grant, revoke, compact]) {
    expect(machine.run(command)).toBe('corrupt');
  }
  machine.alarm(deactivate, 5n, corrupt);
  expect(machine.run(put)).toBe('noSpace');
});

describe('an alarm', () => {
  test('is answered as etcd does', () => {
    const machine = new AlarmMachine();
    const raised = [{ memberId: 5n, alarm: nospace }];
    expect(machine.alarm(activate, 5n, nospace)).toEqual(raised);
    expect(machine.alarm(activate, 5n, nospace)).toEqual(raised);
    expect(machine.alarm(activate, 5n, none)).toEqual([]);
    expect(machine.alarm(deactivate, 6n, nospace)).toEqual([]);
    expect(machine.alarm(deactivate, 5n, corrupt)).toEqual([]);
    expect(machine.alarm(deactivate, 5n, nospace)).toEqual(raised);
    expect(machine.alarm(deactivate, 5n, nospace)).toEqual([]);
    expect(machine.alarm(7 as AlarmAction, 5n, nospace)).toEqual([]);
  });

  test('of a quota becomes the client’s who raises it, and stays that', () => {
    const machine = new AlarmMachine();
    machine.alarm(activate, 5n, nospace, 1000);
    expect(machine.state.alarms.get(5n, nospace)?.quotaBytes).toBe(1000);
    machine.alarm(activate, 5n, nospace, 2000);
    expect(machine.state.alarms.get(5n, nospace)?.quotaBytes).toBe(2000);
    machine.alarm(activate, 5n, nospace);
    machine.alarm(activate, 5n, nospace, 3000);
    expect(machine.state.alarms.get(5n, nospace)?.quotaBytes).toBe(raisedByHand);
  });

  test('is a part of the state, its hash and what a restart finds', () => {
    const [one, two] = [new AlarmMachine(), new AlarmMachine()];
    const empty = one.hash;
    one.alarm(activate, 5n, nospace, 1000);
    one.alarm(activate, 2n ** 64n - 1n, corrupt);
    one.alarm(activate, 4n, 77 as AlarmType);
    two.alarm(activate, 4n, 77 as AlarmType);
    two.alarm(activate, 2n ** 64n - 1n, corrupt);
    expect(two.hash).not.toBe(one.hash);
    two.alarm(activate, 5n, nospace, 1000);
    expect(two.hash).toBe(one.hash);
    const again = new AlarmMachine(one.backend.reopened());
    expect(again.hash).toBe(one.hash);
    expect(again.state.alarms.list()).toEqual([
      { memberId: 4n, kind: 77, quotaBytes: 0 },
      { memberId: 5n, kind: nospace, quotaBytes: 1000 },
      { memberId: 2n ** 64n - 1n, kind: corrupt, quotaBytes: 0 },
    ]);
    for (const { memberId, kind } of again.state.alarms.list()) {
      again.alarm(deactivate, memberId, kind);
    }
    expect(again.hash).toBe(empty);
    expect(again.state.alarms.has(nospace)).toBe(false);
  });
});

test('a downgrade job is a part of the state', () => {
  const machine = new AlarmMachine();
  const empty = machine.hash;
  machine.run({ case: 'downgradeInfoSet', value: { enabled: true, ver: '3.5.0' } });
  expect(machine.hash).not.toBe(empty);
  const again = new AlarmMachine(machine.backend.reopened());
  expect(again.hash).toBe(machine.hash);
  expect(again.state.downgrade.info).toEqual({ enabled: true, targetVersion: '3.5.0' });
  again.run({ case: 'downgradeInfoSet', value: { enabled: false, ver: '' } });
  expect(again.hash).toBe(empty);
  expect(again.state.downgrade.info).toEqual({ enabled: false, targetVersion: '' });
});

test('what a request costs is counted as etcd does, and in nested transactions too', () => {
  const big = PutRequest.create({ key: utf8('key'), value: utf8('value') });
  const bigOp: RequestOp = { request: { case: 'requestPut', value: big } };
  expect(spaceCostBytes({ case: 'put', value: big })).toBe(264);
  expect(spaceCostBytes(grant)).toBe(64);
  expect(spaceCostBytes(txnOf(bigOp, bigOp))).toBe(528);
  const value = TxnRequest.create({ success: [putOp], failure: [bigOp] });
  expect(spaceCostBytes({ case: 'txn', value })).toBe(264);
  const outer: RequestOp = { request: { case: 'requestTxn', value } };
  expect(spaceCostBytes(txnOf(outer, putOp))).toBe(520);
  for (const free of [del, compact, revoke, txnOf()]) expect(spaceCostBytes(free)).toBe(0);
});
