/** What is tried again and what is not, deadlines, and the shape of requests. */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { StatusCode, etcdErrors } from '../../../src/base/errors.ts';
import { Client, compare, op } from '../../../src/client/index.ts';
import { MemberListResponse } from '../../../src/gen/rpc.ts';
import { Cluster, KV } from '../../../src/gen/services.ts';
import { FakeMember, Refusal } from '../../support/fake-member.ts';
import {
  CountingMember,
  cabled,
  cleanup,
  client,
  failure,
  never,
  until,
  valueOf,
} from './setup.ts';

const unavailable = (text: string): Refusal => new Refusal(StatusCode.unavailable, text);

describe('writes', () => {
  const writes = {
    put: (by: Client) => by.put('k', 'v'),
    txn: (by: Client) => by.txn({ success: [op.put({ key: 'k', value: 'v' })] }),
    'txn of reads only': (by: Client) => by.txn({ success: [op.range({ key: 'k' })] }),
  };

  for (const [name, write] of Object.entries(writes)) {
    test(`a ${name} that is applied before the connection breaks is applied once`, async () => {
      const member = new CountingMember();
      const other = new CountingMember();
      const { cable, address } = await cabled(member);
      const second = await cabled(other);
      member.interfere = () => {
        cable.cut();
        return never();
      };
      const writer = client({ endpoints: [address, second.address] });
      expect((await failure(write(writer))).code).toBe(StatusCode.unavailable);
      expect(member.puts.length + member.txns.length).toBe(1);
      expect(other.puts.length + other.txns.length).toBe(0);
      // The next one goes elsewhere, at once.
      await writer.put('next', 'v');
      expect(other.puts).toEqual(['next']);
    });
  }

  test.each([
    ...Object.values(etcdErrors).filter(([code]) => code === StatusCode.unavailable),
    etcdErrors.tooManyRequests,
  ])('code %i, %s: is the answer to a write, which is not repeated', async (code, text) => {
    const member = new CountingMember();
    member.interfere = () => {
      throw new Refusal(code, text);
    };
    const { address } = await cabled(member);
    const error = await failure(client({ endpoints: address }).put('k', 'v'));
    expect([error.code, error.message, member.puts.length]).toEqual([code, text, 1]);
  });

  test('delete and compact are not repeated either', async () => {
    let asked = 0;
    const refuse = (): never => {
      asked++;
      throw unavailable('etcdserver: request timed out');
    };
    const member = new FakeMember().on(KV.methods.deleteRange, refuse);
    member.on(KV.methods.compact, refuse);
    const { address } = await cabled(member);
    const writer = client({ endpoints: address });
    await failure(writer.delete('k'));
    await failure(writer.compact(7));
    expect(asked).toBe(2);
  });

  test('a write waits for a connection and is sent when there is one', async () => {
    const member = new CountingMember();
    const { cable, address } = await cabled(member);
    await cable.unplug();
    const writer = client({ endpoints: address, dialTimeoutMs: 20_000, requestTimeoutMs: 20_000 });
    const put = writer.put('k', 'v');
    await delay(300);
    await cable.plug();
    await put;
    expect(member.puts).toEqual(['k']);
  });

  test('a learner refuses, and the next endpoint is asked', async () => {
    const learner = new CountingMember();
    const voter = new CountingMember();
    learner.interfere = () => {
      const text = 'etcdserver: rpc not supported for learner';
      throw new Refusal(StatusCode.failedPrecondition, text);
    };
    const endpoints = [(await cabled(learner)).address, (await cabled(voter)).address] as const;
    const writer = client({ endpoints });
    await writer.put('k', 'v');
    expect([learner.puts.length, voter.puts.length]).toEqual([1, 1]);
    await writer.put('k', 'v');
    expect([learner.puts.length, voter.puts.length]).toEqual([1, 2]);
    const alone = client({ endpoints: endpoints[0] });
    expect((await failure(alone.put('k', 'v'))).code).toBe(StatusCode.failedPrecondition);
  });
});

describe('reads', () => {
  test('are repeated while members are unavailable, and elsewhere', async () => {
    const one = new CountingMember('one');
    const two = new CountingMember('two');
    one.interfere = () => {
      throw unavailable('etcdserver: no leader');
    };
    two.interfere = (_method, time) => {
      if (time < 3) throw unavailable('etcdserver: leader changed');
    };
    const endpoints = [(await cabled(one)).address, (await cabled(two)).address];
    expect(valueOf(await client({ endpoints }).get('k'))).toBe('two');
    expect([one.ranges, two.ranges]).toEqual([3, 3]);
  });

  test('are repeated after the connection breaks', async () => {
    const member = new CountingMember();
    const { cable, address } = await cabled(member);
    member.interfere = (_method, time) => {
      if (time > 2) return undefined;
      cable.cut();
      return never();
    };
    expect(valueOf(await client({ endpoints: address }).get('k'))).toBe('member');
    expect(member.ranges).toBe(3);
  });

  test('are not repeated after an answer that will stay the same', async () => {
    const member = new CountingMember();
    member.interfere = () => {
      throw new Refusal(...etcdErrors.compacted);
    };
    const { address } = await cabled(member);
    const error = await failure(client({ endpoints: address }).range({ key: 'k', revision: 1 }));
    expect([error.code, error.message]).toEqual([...etcdErrors.compacted]);
    expect(member.ranges).toBe(1);
  });

  test('pause between tries', async () => {
    const member = new CountingMember();
    member.interfere = () => {
      throw unavailable('etcdserver: no leader');
    };
    const { address } = await cabled(member);
    const error = await failure(client({ endpoints: address }).get('k', { timeoutMs: 1000 }));
    expect(error.code).toBe(StatusCode.deadlineExceeded);
    // 25, 50, 100 ... ms with half of it left to chance: without pauses there were hundreds.
    expect(member.ranges).toBeGreaterThan(1);
    expect(member.ranges).toBeLessThan(12);
  });
});

describe('time', () => {
  test('a deadline covers all tries, and the error says what kept the call busy', async () => {
    const member = new CountingMember();
    member.interfere = () => {
      throw unavailable('etcdserver: leader changed');
    };
    const { address } = await cabled(member);
    const begun = Date.now();
    const error = await failure(client({ endpoints: address, requestTimeoutMs: 300 }).get('k'));
    expect(Date.now() - begun).toBeLessThan(3000);
    expect([error.code, error.message]).toEqual([...etcdErrors.deadline]);
    expect(error.cause).toMatchObject({ message: 'etcdserver: leader changed' });
    // Nor does it matter whether the call then pauses or waits for an answer.
    member.interfere = (_method, time) => {
      if (time > last + 1) return never();
      throw unavailable('etcdserver: no leader');
    };
    const last = member.ranges;
    const again = await failure(client({ endpoints: address, requestTimeoutMs: 300 }).get('k'));
    expect(again.cause).toMatchObject({ message: 'etcdserver: no leader' });
    expect(member.ranges).toBe(last + 2);
  });

  test('the deadline of a call overrides that of the client', async () => {
    const member = new CountingMember();
    member.interfere = () => never();
    const { address } = await cabled(member);
    const writer = client({ endpoints: address, requestTimeoutMs: 60_000 });
    const error = await failure(writer.put('k', 'v', { timeoutMs: 100 }));
    expect(error.code).toBe(StatusCode.deadlineExceeded);
    expect(error.cause).toBeUndefined();
    await expect(writer.put('k', 'v', { timeoutMs: Number.NaN })).rejects.toThrow(RangeError);
  });

  test('a signal ends a call with its reason, wherever the call is', async () => {
    let cancelled = (): boolean => false;
    let asked = false;
    const member = new FakeMember().on(Cluster.methods.memberList, async (_request, call) => {
      asked = true;
      cancelled = call.cancelled;
      await until(cancelled);
      return MemberListResponse.create();
    });
    const { cable, address } = await cabled(member);
    const { signal, abort } = abortable();
    const lister = client({ endpoints: address, requestTimeoutMs: 600_000 });
    const list = lister.memberList({}, { signal });
    await until(() => asked);
    abort(new Error('enough'));
    await expect(list).rejects.toThrow('enough');
    await until(() => cancelled());
    await expect(lister.memberList({}, { signal })).rejects.toThrow('enough');

    await cable.unplug();
    const later = abortable();
    const waiting = client({ endpoints: address }).memberList({}, { signal: later.signal });
    later.abort('not even an error');
    await expect(waiting).rejects.toBe('not even an error');
  });

  test('many calls at once make Node warn of nothing', async () => {
    const warnings: string[] = [];
    const warn = (warning: Error): void => void warnings.push(warning.message);
    process.on('warning', warn);
    cleanup(() => process.off('warning', warn));
    const { address } = await cabled(new CountingMember());
    const by = client({ endpoints: address });
    const { signal } = abortable();
    await Promise.all(Array.from({ length: 100 }, () => by.put('k', 'v', { signal })));
    await delay(0);
    expect(warnings).toEqual([]);
  });

  test('close rejects what is pending and everything after', async () => {
    const member = new CountingMember();
    let asked = 0;
    member.interfere = () => {
      asked++;
      return never();
    };
    const { address } = await cabled(member);
    const closing = new Client({ endpoints: [address] });
    const pinned = closing.at(address);
    const pending = [closing.put('k', 'v'), closing.get('k'), pinned.get('k')].map(failure);
    await until(() => asked === 3);
    await closing[Symbol.asyncDispose]();
    await closing.close();
    for (const error of await Promise.all(pending)) {
      expect([error.code, error.message]).toEqual([StatusCode.cancelled, 'the client is closed']);
    }
    for (const call of [closing.get('k'), closing.status(address), pinned.get('k')]) {
      expect((await failure(call)).message).toBe('the client is closed');
    }
    expect(() => closing.at(address)).toThrow('the client is closed');
  });
});

describe('requests and answers', () => {
  test('carry what was asked for', async () => {
    const member = new CountingMember();
    const { address } = await cabled(member);
    const writer = client({ endpoints: address });
    await writer.put(Uint8Array.of(0xff), 'v');
    await writer.put({ key: 'ключ', value: Buffer.from('v') });
    expect(member.puts).toEqual(['\ufffd', 'ключ']);
    await writer.txn({
      compare: [compare.value('k', '=', 'old'), compare.modRevision('k', '<', 9)],
      success: [op.put({ key: 'k', value: 'new' }), op.txn({ success: [op.delete({ key: 'x' })] })],
      failure: [op.range({ key: 'k', limit: 1 })],
    });
    const [txn] = member.txns;
    const compared = txn?.compare.map((c) => [c.result, c.target, c.targetUnion?.case]);
    expect(compared).toEqual([
      [0, 3, 'value'],
      [2, 2, 'modRevision'],
    ]);
    expect(txn?.success.map(({ request }) => request?.case)).toEqual(['requestPut', 'requestTxn']);
    expect(txn?.failure).toHaveLength(1);
  });

  test('undefined stands for the default, and what is no key is not sent', async () => {
    const member = new CountingMember();
    const { address } = await cabled(member);
    const writer = client({ endpoints: address });
    await writer.put({ key: 'k', lease: undefined as never, prevKv: undefined as never });
    await expect(writer.put(7 as never, 'v')).rejects.toThrow(TypeError);
    await expect(writer.put('k', null as never)).rejects.toThrow(TypeError);
    expect(member.puts).toEqual(['k']);
  });

  test('that are too large are refused by size', async () => {
    const member = new CountingMember();
    const { address } = await cabled(member);
    const writer = client({ endpoints: address, maxSendBytes: 100, maxReceiveBytes: 10 });
    const error = await failure(writer.put('k', 'v'.repeat(200)));
    expect(error.code).toBe(StatusCode.resourceExhausted);
    expect((await failure(writer.get('k'))).code).toBe(StatusCode.resourceExhausted);
    expect(member.puts).toEqual([]);
  });

  test('options that cannot be meant are refused', () => {
    for (const options of [
      { endpoints: [] },
      { endpoints: '' },
      { endpoints: 'nowhere' },
      { dialTimeoutMs: 0 },
      { requestTimeoutMs: Number.NaN },
    ]) {
      expect(() => new Client(options), JSON.stringify(options)).toThrow(RangeError);
    }
    const auth = { user: 'u', password: 'p' };
    expect(() => new Client({ auth, token: 't' })).toThrow('auth and token exclude each other');
    expect(() => new Client({ tls: { cert: new Uint8Array(1) } })).toThrow(TypeError);
  });
});

function abortable(): { signal: AbortSignal; abort: (reason: unknown) => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: (reason) => controller.abort(reason) };
}
