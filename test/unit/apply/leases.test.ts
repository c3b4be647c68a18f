/** What entries do to leases and to the keys that hang on them. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Command, decodeCommand, encodeCommand } from '../../../src/apply/request.ts';
import { utf8 } from '../../../src/base/bytes.ts';
import { LoggedLeaseRevoke } from '../../../src/gen/raft-internal.ts';
import {
  DeleteRangeRequest,
  LeaseGrantRequest,
  type LeaseGrantResponse,
  LeaseRevokeRequest,
  PutRequest,
  type RequestOp,
  TxnRequest,
} from '../../../src/gen/rpc.ts';
import { stateKeys } from '../../../src/storage/keyspace.ts';
import { Machine } from './fakes.ts';

class LeaseMachine extends Machine {
  /** The response, or the reason for there being none. */
  run(command: Command, request = 1n): unknown {
    const { error, response } = this.apply(command, request);
    return error?.reason ?? response;
  }

  grant(id: bigint, ttl = 60): unknown {
    return this.run({ case: 'leaseGrant', value: LeaseGrantRequest.create({ id, ttl }) });
  }

  revoke(id: bigint, grant = 0n): unknown {
    return this.run({ case: 'leaseRevoke', value: { id, grant } });
  }

  put(key: string, lease: bigint, more: Partial<PutRequest> = {}): unknown {
    return this.run({ case: 'put', value: putOf(key, lease, more) });
  }

  delete(key: string, rangeEnd = ''): unknown {
    const value = DeleteRangeRequest.create({ key: utf8(key), rangeEnd: utf8(rangeEnd) });
    return this.run({ case: 'deleteRange', value });
  }

  keys(id: bigint): readonly string[] | undefined {
    const lease = this.state.lessor.get(id);
    return lease === undefined ? undefined : [...lease.keys].sort();
  }

  reopened(): LeaseMachine {
    return new LeaseMachine(this.backend.reopened());
  }
}

function putOf(key: string, lease: bigint, more: Partial<PutRequest> = {}): PutRequest {
  return PutRequest.create({ key: utf8(key), lease, ...more });
}

function putOp(key: string, lease: bigint): RequestOp {
  return { request: { case: 'requestPut', value: putOf(key, lease) } };
}

describe('a grant', () => {
  test('is refused in etcd’s words: twice the same, too long, no id', () => {
    const machine = new LeaseMachine();
    expect(machine.grant(7n, 60)).toMatchObject({ id: 7n, ttl: 60, header: { revision: 1 } });
    expect(machine.grant(7n, 60)).toBe('leaseExists');
    expect(machine.grant(8n, 9_000_000_001)).toBe('leaseTtlTooLarge');
    expect(machine.grant(0n, 60)).toBe('leaseNotFound');
    expect(machine.grant(-5n, 9_000_000_000)).toMatchObject({ id: -5n, ttl: 9_000_000_000 });
    expect(machine.store.revision).toBe(1);
  });

  test('survives a restart, with ids at both ends and what was left at a checkpoint', () => {
    const machine = new LeaseMachine();
    const ids = [-(2n ** 63n), -1n, 1n, 2n ** 63n - 1n];
    for (const id of ids) machine.grant(id, 100);
    machine.run({
      case: 'leaseCheckpoint',
      value: { checkpoints: [{ id: 1n, remainingTtl: 40, grant: 0n }] },
    });
    const again = machine.reopened();
    for (const id of ids) expect(again.state.lessor.get(id)?.ttlSeconds).toBe(100);
    expect(again.state.lessor.get(1n)?.remainingSeconds).toBe(40);
    expect(again.state.lessor.stateHash).toBe(machine.state.lessor.stateHash);
  });
});

describe('a revocation', () => {
  test('deletes the keys in order and in one revision, and the record with them', () => {
    const machine = new LeaseMachine();
    machine.grant(7n);
    for (const key of ['b', 'c', 'a', '\u00e9']) machine.put(key, 7n);
    machine.put('other', 0n);
    const { revision } = machine.store;
    expect(machine.revoke(7n)).toMatchObject({ header: { revision: revision + 1 } });
    const events = machine.store.eventsAt(revision + 1);
    const text = Buffer.from('\u00e9').toString('latin1');
    expect(events.map(({ keyText }) => keyText)).toEqual(['a', 'b', 'c', text]);
    expect(events.every(({ isDelete }) => isDelete)).toBe(true);
    expect(machine.store.keyCount).toBe(1);
    const records = [...machine.backend.entries.keys()];
    expect(records.filter((key) => key.startsWith(stateKeys.lease))).toEqual([]);
    expect(machine.state.lessor.stateHash).toBe(new LeaseMachine().state.lessor.stateHash);
  });

  test('of a lease without keys makes no revision, and of none is refused', () => {
    const machine = new LeaseMachine();
    machine.grant(7n);
    expect(machine.revoke(7n)).toMatchObject({ header: { revision: 1 } });
    expect(machine.revoke(7n)).toBe('leaseNotFound');
    expect(machine.store.revision).toBe(1);
  });
});

describe('a key', () => {
  test('hangs on the lease of its newest put alone', () => {
    const machine = new LeaseMachine();
    machine.grant(7n);
    machine.grant(8n);
    expect(machine.put('k', 9n)).toBe('leaseNotFound');
    machine.put('k', 7n);
    machine.put('k', 8n);
    expect([machine.keys(7n), machine.keys(8n)]).toEqual([[], ['k']]);
    machine.put('k', 0n);
    expect(machine.keys(8n)).toEqual([]);
    machine.put('k', 8n);
    machine.delete('a', 'z');
    expect(machine.keys(8n)).toEqual([]);
    expect(machine.state.lessor.has(8n)).toBe(true);
  });

  test('keeps its lease where the put says so, and changes it where the value stays', () => {
    const machine = new LeaseMachine();
    machine.grant(7n);
    machine.grant(8n);
    machine.put('k', 7n, { value: utf8('v') });
    machine.put('k', 0n, { ignoreLease: true });
    expect(machine.keys(7n)).toEqual(['k']);
    machine.put('k', 8n, { ignoreValue: true });
    expect([machine.keys(7n), machine.keys(8n)]).toEqual([[], ['k']]);
  });

  test('is left as it was by a txn with a missing lease on the taken path', () => {
    const machine = new LeaseMachine();
    machine.grant(7n);
    const refused = TxnRequest.create({ success: [putOp('a', 7n), putOp('b', 9n)] });
    expect(machine.run({ case: 'txn', value: refused })).toBe('leaseNotFound');
    const other = TxnRequest.create({ success: [putOp('a', 7n)], failure: [putOp('b', 9n)] });
    expect(machine.run({ case: 'txn', value: other })).toMatchObject({ succeeded: true });
    expect(machine.keys(7n)).toEqual(['a']);
  });
});

describe('a checkpoint', () => {
  test('of a lease that is gone is ignored, and none leaves the granted bounds', () => {
    const machine = new LeaseMachine();
    machine.grant(7n, 60);
    const checkpoints = [
      { id: 8n, remainingTtl: 5, grant: 0n },
      { id: 7n, remainingTtl: 99, grant: 0n },
    ];
    machine.run({ case: 'leaseCheckpoint', value: { checkpoints } });
    expect(machine.state.lessor.get(7n)?.remainingSeconds).toBe(60);
    machine.run({
      case: 'leaseCheckpoint',
      value: { checkpoints: [{ id: 7n, remainingTtl: -1, grant: 0n }] },
    });
    expect(machine.state.lessor.get(7n)?.remainingSeconds).toBe(0);
  });

  test('changes the hash of the state, and a renewal changes it back', () => {
    const machine = new LeaseMachine();
    machine.grant(7n, 60);
    const granted = machine.state.lessor.stateHash;
    const to = (remainingTtl: number): void => {
      machine.run({
        case: 'leaseCheckpoint',
        value: { checkpoints: [{ id: 7n, remainingTtl, grant: 0n }] },
      });
    };
    to(30);
    expect(machine.state.lessor.stateHash).not.toBe(granted);
    to(0);
    expect(machine.state.lessor.stateHash).toBe(granted);
  });
});

test('what a leader decides about a lease does not hit another of the same id', () => {
  const machine = new LeaseMachine();
  const grant: Command = { case: 'leaseGrant', value: { id: 7n, ttl: 60 } };
  machine.run(grant, 100n);
  machine.revoke(7n);
  machine.run(grant, 200n);
  machine.put('k', 7n);
  const checkpoints = [{ id: 7n, remainingTtl: 5, grant: 100n }];
  machine.run({ case: 'leaseCheckpoint', value: { checkpoints } });
  expect(machine.state.lessor.get(7n)?.remainingSeconds).toBe(0);
  expect(machine.revoke(7n, 100n)).toBe('leaseNotFound');
  expect(machine.reopened().revoke(7n, 100n)).toBe('leaseNotFound');
  expect(machine.keys(7n)).toEqual(['k']);
  expect(machine.reopened().revoke(7n, 200n)).toMatchObject({ header: { revision: 3 } });
});

test('lease commands travel through the log as they were', () => {
  // What etcd knows of them is encoded as etcd does.
  const plain = LeaseRevokeRequest.decode(LoggedLeaseRevoke.encode({ id: 5n, grant: 6n }));
  expect(plain).toEqual({ id: 5n });
  const commands: Command[] = [
    { case: 'leaseGrant', value: { id: -3n, ttl: 9_000_000_001 } },
    { case: 'leaseRevoke', value: { id: 2n ** 63n - 1n, grant: 2n ** 64n - 1n } },
    { case: 'leaseCheckpoint', value: { checkpoints: [{ id: 4n, remainingTtl: 0, grant: 0n }] } },
  ];
  for (const command of commands) {
    expect(decodeCommand(encodeCommand(9n, command))).toEqual({ id: 9n, command });
  }
});

test('a key whose lease is missing is damage', () => {
  const machine = new LeaseMachine();
  machine.grant(7n);
  machine.put('k', 7n);
  for (const key of machine.backend.entries.keys()) {
    if (key.startsWith(stateKeys.lease)) machine.backend.entries.delete(key);
  }
  expect(() => machine.reopened()).toThrow('which is missing');
});

test('after any history a restart finds the same leases with the same keys', () => {
  const id = fc.bigInt({ min: 1n, max: 4n });
  const key = fc.constantFrom('a', 'b', 'c', 'd');
  const step = fc.oneof(
    fc.record({ do: fc.constant('grant' as const), id }),
    fc.record({ do: fc.constant('revoke' as const), id }),
    fc.record({ do: fc.constant('put' as const), id: fc.bigInt({ min: 0n, max: 4n }), key }),
    fc.record({ do: fc.constant('delete' as const), key }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const machine = new LeaseMachine();
      const model = new Map<bigint, Set<string>>();
      const detach = (each: string): void => model.forEach((keys) => keys.delete(each));
      for (const each of steps) {
        if (each.do === 'grant') {
          const granted = (machine.grant(each.id) as LeaseGrantResponse | string) !== 'leaseExists';
          expect(granted).toBe(!model.has(each.id));
          if (granted) model.set(each.id, new Set());
        } else if (each.do === 'revoke') {
          machine.revoke(each.id);
          model.delete(each.id);
        } else if (each.do === 'put') {
          if (machine.put(each.key, each.id) === 'leaseNotFound') continue;
          detach(each.key);
          model.get(each.id)?.add(each.key);
        } else {
          machine.delete(each.key);
          detach(each.key);
        }
      }
      for (const now of [machine, machine.reopened()]) {
        expect(now.state.lessor.size).toBe(model.size);
        for (const [lease, keys] of model) expect(now.keys(lease)).toEqual([...keys].sort());
        expect(now.state.lessor.stateHash).toBe(machine.state.lessor.stateHash);
      }
    }),
  );
});
