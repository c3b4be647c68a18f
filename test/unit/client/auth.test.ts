import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { StatusCode } from '../../../src/base/errors.ts';
import { AuthenticateResponse, RangeResponse, RangeStreamResponse } from '../../../src/gen/rpc.ts';
import { Auth, KV } from '../../../src/gen/services.ts';
import { FakeMember, Refusal } from '../../support/fake-member.ts';
import { CountingMember, cabled, client, failure } from './setup.ts';

const auth = { user: 'ann', password: 'correct horse' };
const invalidToken = new Refusal(StatusCode.unauthenticated, 'etcdserver: invalid auth token');

/** Signs in those who know the password, and forgets tokens when told. */
class AuthMember extends CountingMember {
  signIns = 0;
  valid = '';
  refusal = invalidToken;
  refusesAll = false;
  /** What each put came with. */
  readonly tokens: string[] = [];
  beforeSignIn: () => unknown = () => undefined;

  constructor() {
    super();
    this.on(Auth.methods.authenticate, async ({ name, password }) => {
      this.signIns++;
      await this.beforeSignIn();
      if (name !== auth.user || password !== auth.password) {
        const text = 'etcdserver: authentication failed, invalid user ID or password';
        throw new Refusal(StatusCode.invalidArgument, text);
      }
      this.valid = `token.${this.signIns}`;
      return AuthenticateResponse.create({ token: this.valid });
    });
    this.on(KV.methods.compact, (_request, { metadata }) => {
      const [token = ''] = metadata.get('token');
      this.tokens.push(String(token));
      if (token !== this.valid || this.refusesAll) throw this.refusal;
      return { header: undefined };
    });
    this.onWatch();
    this.onStream(KV.methods.rangeStream, (call) => {
      if (String(call.metadata.get('token')[0]) !== this.valid) {
        call.emit('error', this.refusal);
        return;
      }
      call.write(RangeStreamResponse.create({ rangeResponse: RangeResponse.create({ count: 1 }) }));
      call.end();
    });
  }
}

describe('user and password', () => {
  test('are exchanged for a token once, however many calls need it', async () => {
    const member = new AuthMember();
    const { address } = await cabled(member);
    const by = client({ endpoints: address, auth });
    await Promise.all([by.compact(1), by.compact(2), by.compact(3)]);
    await by.compact(4);
    expect(member.signIns).toBe(1);
    expect(member.tokens).toEqual(['token.1', 'token.1', 'token.1', 'token.1']);
  });

  test.each([
    [StatusCode.unauthenticated, 'etcdserver: invalid auth token'],
    [StatusCode.invalidArgument, 'etcdserver: revision of auth store is old'],
    [StatusCode.invalidArgument, 'etcdserver: user name is empty'],
  ])('are exchanged again, and a write repeated, after code %i, %s', async (code, text) => {
    const member = new AuthMember();
    member.refusal = new Refusal(code, text);
    const { address } = await cabled(member);
    const by = client({ endpoints: address, auth });
    await by.compact(1);
    member.valid = 'lost';
    await Promise.all([by.compact(2), by.compact(3)]);
    expect(member.signIns).toBeLessThan(4);
    expect(new Set(member.tokens)).toContain('token.1');
    expect(member.tokens.at(-1)).toBe(member.valid);
  });

  test('are exchanged again once in a call', async () => {
    const member = new AuthMember();
    const { address } = await cabled(member);
    const by = client({ endpoints: address, auth });
    await by.compact(1);
    member.refusesAll = true;
    expect((await failure(by.compact(2))).message).toBe(invalidToken.details);
    expect(member.signIns).toBe(2);
  });

  test('that are wrong are reported, without the password', async () => {
    const { address } = await cabled(new AuthMember());
    const by = client({ endpoints: address, auth: { user: 'ann', password: 'hush-hush' } });
    const error = await failure(by.compact(1));
    expect(error.code).toBe(StatusCode.invalidArgument);
    expect(error.message).toBe('etcdserver: authentication failed, invalid user ID or password');
    for (const shown of [error, by]) {
      expect(inspect(shown, { depth: 9, showHidden: true })).not.toContain('hush-hush');
    }
    expect(JSON.stringify(by)).not.toContain('hush-hush');
  });

  test('are not asked for by a cluster without authentication', async () => {
    const member = new AuthMember();
    member.beforeSignIn = () => {
      const text = 'etcdserver: authentication is not enabled';
      throw new Refusal(StatusCode.failedPrecondition, text);
    };
    const { address } = await cabled(member);
    const by = client({ endpoints: address, auth });
    await by.put('k', 'v');
    await by.put('k', 'v');
    expect(member.signIns).toBe(1);
  });

  test('are exchanged at another member, if one is unavailable', async () => {
    const one = new AuthMember();
    one.beforeSignIn = () => {
      throw new Refusal(StatusCode.unavailable, 'etcdserver: no leader');
    };
    const two = new AuthMember();
    const endpoints = [(await cabled(one)).address, (await cabled(two)).address];
    await client({ endpoints, auth }).compact(1);
    expect([one.signIns > 0, two.tokens]).toEqual([true, ['token.1']]);
  });

  test('serve calls to one endpoint, streams and watches too', async () => {
    const member = new AuthMember();
    const { address } = await cabled(member);
    const by = client({ endpoints: [address, '127.0.0.1:1'], auth });
    await by.compact(1);
    expect((await failure(by.status(address))).code).toBe(StatusCode.unimplemented);
    expect(member.signIns).toBe(1);

    member.valid = 'lost';
    const counts: number[] = [];
    for await (const { count } of by.rangeStream({ key: 'k' })) counts.push(count);
    expect([counts, member.signIns]).toEqual([[1], 2]);

    const iterator = by.watch({ key: 'k', createdNotify: true })[Symbol.asyncIterator]();
    const refused = await member.watch();
    await refused.createRequest();
    const cancelReason = 'rpc error: code = Unauthenticated desc = etcdserver: invalid auth token';
    refused.send({ watchId: -1, created: true, canceled: true, cancelReason });
    const stream = await member.watch();
    expect(stream.metadata.get('token')).toEqual(['token.3']);
    await stream.confirm(1);
    expect((await iterator.next()).value?.created).toBe(true);
    const next = failure(iterator.next());
    stream.fail(StatusCode.permissionDenied, 'etcdserver: permission denied');
    expect((await next).code).toBe(StatusCode.permissionDenied);
  });

  test('are exchanged once more for a watch that is refused, and not again', async () => {
    const member = new AuthMember();
    const { address } = await cabled(member);
    const by = client({ endpoints: address, auth });
    const next = failure(by.watch({ key: 'k' })[Symbol.asyncIterator]().next());
    for (let i = 0; i < 2; i++) {
      const stream = await member.watch();
      await stream.createRequest();
      const cancelReason = 'etcdserver: invalid auth token';
      stream.send({ watchId: -1, created: true, canceled: true, cancelReason });
    }
    expect((await next).message).toBe('etcdserver: invalid auth token');
    expect(member.signIns).toBe(2);
  });
});

describe('a ready token', () => {
  test('goes with every call and is not replaced', async () => {
    const member = new AuthMember();
    member.valid = 'eyJ.abc';
    const { address } = await cabled(member);
    const by = client({ endpoints: address, token: 'eyJ.abc' });
    await by.compact(1);
    member.valid = 'another';
    expect((await failure(by.compact(1))).message).toBe(invalidToken.details);
    expect([member.tokens, member.signIns]).toEqual([['eyJ.abc', 'eyJ.abc'], 0]);
  });

  test('that cannot be sent is not shown', async () => {
    const { address } = await cabled(new FakeMember());
    const error = await failure(client({ endpoints: address, token: 'sécret' }).put('k', 'v'));
    expect(error.code).toBe(StatusCode.unauthenticated);
    expect(inspect(error)).not.toContain('cret');
  });
});
