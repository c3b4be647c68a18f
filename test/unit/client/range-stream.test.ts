import type { ServerWritableStream } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { StatusCode } from '../../../src/base/errors.ts';
import {
  type RangeRequest,
  RangeResponse,
  type RangeStreamResponse,
} from '../../../src/gen/rpc.ts';
import { KV } from '../../../src/gen/services.ts';
import { type FakeMember, Refusal, header } from '../../support/fake-member.ts';
import { CountingMember, cabled, client, failure, until } from './setup.ts';

type Call = ServerWritableStream<RangeRequest, RangeStreamResponse>;

const piece = (count: number): RangeStreamResponse => ({
  rangeResponse: RangeResponse.create({ header: header(1), count }),
});

/** A member whose RangeStream does for the n-th call what the n-th script says. */
function scripted(...scripts: ((call: Call) => void)[]): FakeMember & { calls: number } {
  const member = Object.assign(new CountingMember(), { calls: 0 });
  member.onStream(KV.methods.rangeStream, (call: Call) => {
    call.on('error', () => undefined);
    scripts[Math.min(member.calls++, scripts.length - 1)]?.(call);
  });
  return member;
}

async function counts(
  pieces: AsyncIterable<RangeResponse>,
  into: number[] = [],
): Promise<number[]> {
  for await (const { count } of pieces) into.push(count);
  return into;
}

const fail =
  (code: number, text: string, ...before: number[]) =>
  (call: Call): void => {
    for (const count of before) call.write(piece(count));
    // After the pieces have gone out.
    setImmediate(() => call.emit('error', new Refusal(code, text)));
  };

const answer = (call: Call): void => {
  for (const count of [1, 2, 3]) call.write(piece(count));
  call.end();
};

describe('a range in pieces', () => {
  test('is told piece by piece', async () => {
    const { address } = await cabled(scripted(answer));
    expect(await counts(client({ endpoints: address }).rangeStream({ key: 'k' }))).toEqual([
      1, 2, 3,
    ]);
  });

  test('is one piece where the server has no such call, or not for this range', async () => {
    for (const member of [
      new CountingMember(),
      scripted(fail(StatusCode.unimplemented, 'RangeStream does not support custom sort orders')),
    ]) {
      const { address } = await cabled(member);
      const pieces: RangeResponse[] = [];
      for await (const one of client({ endpoints: address }).rangeStream({ key: 'k' })) {
        pieces.push(one);
      }
      expect(pieces.map(({ kvs }) => kvs.length)).toEqual([1]);
    }
  });

  test('begins again after a failure before the first piece, and not after it', async () => {
    const early = scripted(fail(StatusCode.unavailable, 'etcdserver: no leader'), answer);
    const one = await cabled(early);
    expect(await counts(client({ endpoints: one.address }).rangeStream({ key: 'k' }))).toEqual([
      1, 2, 3,
    ]);
    expect(early.calls).toBe(2);

    const late = scripted(fail(StatusCode.unavailable, 'etcdserver: no leader', 7), answer);
    const two = await cabled(late);
    const told: number[] = [];
    const error = await failure(
      counts(client({ endpoints: two.address }).rangeStream({ key: 'k' }), told),
    );
    expect([error.message, late.calls]).toEqual(['etcdserver: no leader', 1]);
    expect(told.every((count) => count === 7)).toBe(true);
  });

  test('is not repeated after a refusal', async () => {
    const member = scripted(fail(StatusCode.outOfRange, 'etcdserver: mvcc: whatever'));
    const { address } = await cabled(member);
    const error = await failure(counts(client({ endpoints: address }).rangeStream({ key: 'k' })));
    expect([error.message, member.calls]).toEqual(['etcdserver: mvcc: whatever', 1]);
  });

  test('ends at the server when the user leaves, aborts or closes', async () => {
    let left = 0;
    const { address } = await cabled(
      scripted((call) => {
        call.on('cancelled', () => left++);
        call.write(piece(1));
      }),
    );
    const reader = client({ endpoints: address });
    for await (const { count } of reader.rangeStream({ key: 'k' })) {
      expect(count).toBe(1);
      break;
    }
    await until(() => left === 1);

    const controller = new AbortController();
    const aborted = reader.rangeStream({ key: 'k' }, { signal: controller.signal });
    await aborted.next();
    const next = aborted.next();
    controller.abort(new Error('enough'));
    await expect(next).rejects.toThrow('enough');
    await until(() => left === 2);

    const closed = reader.rangeStream({ key: 'k' });
    await closed.next();
    const last = failure(closed.next());
    await reader.close();
    expect((await last).message).toBe('the client is closed');
  });

  test('may take a request time for its first piece, or what the user gives for all', async () => {
    const { address } = await cabled(
      scripted(
        () => undefined,
        (call) => call.write(piece(1)),
      ),
    );
    const reader = client({ endpoints: address, requestTimeoutMs: 200 });
    expect((await failure(counts(reader.rangeStream({ key: 'k' })))).code).toBe(
      StatusCode.deadlineExceeded,
    );
    const limited = await failure(counts(reader.rangeStream({ key: 'k' }, { timeoutMs: 300 })));
    expect(limited.code).toBe(StatusCode.deadlineExceeded);
    const pieces = reader.rangeStream({ key: 'k' });
    await pieces.next();
    let settled = false;
    void pieces
      .next()
      .finally(() => (settled = true))
      .catch(() => undefined);
    const begun = Date.now();
    await until(() => Date.now() - begun > 400);
    expect(settled).toBe(false);
    await reader.close();
  });
});
