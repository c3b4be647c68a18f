/** Which endpoint a call goes to. */
import { describe, expect, test } from 'vitest';
import { StatusCode } from '../../../src/base/errors.ts';
import { parseAddress } from '../../../src/client/address.ts';
import { StatusResponse } from '../../../src/gen/rpc.ts';
import { Maintenance } from '../../../src/gen/services.ts';
import { freePorts } from '../../support/free-ports.ts';
import { CountingMember, cabled, client, failure, never, valueOf } from './setup.ts';

describe('endpoints', () => {
  test('that are down are passed over', async () => {
    const [closed = 0] = await freePorts(1);
    const { address } = await cabled(new CountingMember('second'));
    const reader = client({ endpoints: [`127.0.0.1:${closed}`, address] });
    expect(valueOf(await reader.get('k'))).toBe('second');
  });

  test('that accept connections and say nothing are passed over', async () => {
    const { cable, address } = await cabled(new CountingMember('mute'));
    const second = await cabled(new CountingMember('second'));
    cable.holdNext();
    const reader = client({ endpoints: [address, second.address] });
    expect(valueOf(await reader.get('k'))).toBe('second');
    expect(cable.connections).toBe(1);
  });

  test('are left when they do not answer in time', async () => {
    const slow = new CountingMember('slow');
    slow.interfere = () => never();
    const quick = new CountingMember('quick');
    const endpoints = [(await cabled(slow)).address, (await cabled(quick)).address];
    const reader = client({ endpoints });
    const error = await failure(reader.get('k', { timeoutMs: 300 }));
    expect(error.message).toBe('context deadline exceeded');
    expect(slow.ranges).toBe(1);
    expect(valueOf(await reader.get('k'))).toBe('quick');
  });

  test('are used in the order given, and one connection is enough', async () => {
    const one = await cabled(new CountingMember('one'));
    const two = await cabled(new CountingMember('two'));
    const reader = client({ endpoints: `${one.address}, ${two.address}` });
    for (let i = 0; i < 5; i++) expect(valueOf(await reader.get('k'))).toBe('one');
    expect([one.cable.connections, two.cable.connections]).toEqual([1, 0]);
    await one.cable.unplug();
    for (let i = 0; i < 5; i++) expect(valueOf(await reader.get('k'))).toBe('two');
  });

  test('that fall silent under a watch are left after a ping without an answer', async () => {
    const silent = new CountingMember().onWatch();
    const other = new CountingMember().onWatch();
    const one = await cabled(silent);
    const two = await cabled(other);
    const by = client({
      endpoints: [one.address, two.address],
      keepaliveTimeMs: 1,
      keepaliveTimeoutMs: 100,
    });
    const iterator = by.watch({ key: 'k', createdNotify: true })[Symbol.asyncIterator]();
    await (await silent.watch()).confirm(7);
    await iterator.next();
    const begun = Date.now();
    one.cable.hold();
    expect((await (await other.watch()).confirm(7)).startRevision).toBe(8);
    // Servers take a ping each 5 s or more for an attack, so that less is not done.
    expect(Date.now() - begun).toBeGreaterThan(9_000);
  });

  test('that come back serve again', async () => {
    const one = await cabled(new CountingMember('one'));
    const reader = client({ endpoints: one.address, requestTimeoutMs: 20_000 });
    await reader.get('k');
    await one.cable.unplug();
    const error = await failure(reader.get('k', { timeoutMs: 300 }));
    expect(error.code).toBe(StatusCode.deadlineExceeded);
    await one.cable.plug();
    expect(valueOf(await reader.get('k'))).toBe('one');
  });

  test('none of which can be reached are reported after the dial timeout', async () => {
    const ports = await freePorts(2);
    const endpoints = ports.map((port) => `127.0.0.1:${port}`);
    const writer = client({ endpoints, dialTimeoutMs: 300, requestTimeoutMs: 20_000 });
    for (const call of [() => writer.put('k', 'v'), () => writer.get('k')]) {
      const begun = Date.now();
      const error = await failure(call());
      expect(error.code).toBe(StatusCode.unavailable);
      expect(error.message).toContain('ECONNREFUSED');
      expect(Date.now() - begun).toBeLessThan(5000);
    }
  });

  test('none of which says anything are reported after the dial timeout', async () => {
    const { cable, address } = await cabled(new CountingMember());
    cable.holdNext();
    const error = await failure(client({ endpoints: address, dialTimeoutMs: 300 }).put('k', 'v'));
    expect(error.code).toBe(StatusCode.unavailable);
    expect(error.message).toBe(`no endpoint connected within 300 ms: ${address}`);
  });

  test('named in a call are asked and no other', async () => {
    const named = (version: string): CountingMember => {
      const member = new CountingMember(version);
      member.on(Maintenance.methods.status, () => StatusResponse.create({ version }));
      return member;
    };
    const one = await cabled(named('one'));
    const two = await cabled(named('two'));
    const third = await cabled(named('third'));
    const both = client({ endpoints: [one.address, two.address], dialTimeoutMs: 300 });
    // Also at the same time, for the second must not suffer from the end of the first.
    const asked = [one, two, third, third].map(({ address }) => both.status(address));
    const versions = (await Promise.all(asked)).map(({ version }) => version);
    expect(versions).toEqual(['one', 'two', 'third', 'third']);
    expect(valueOf(await both.at(two.address).get('k'))).toBe('two');
    await two.cable.unplug();
    expect((await failure(both.status(two.address))).code).toBe(StatusCode.unavailable);
    expect((await failure(both.at(two.address).get('k'))).code).toBe(StatusCode.unavailable);
    expect(valueOf(await both.get('k'))).toBe('one');
  });
});

describe('addresses', () => {
  test.each([
    ['127.0.0.1:2379', 'dns:127.0.0.1:2379', 'configured', 'localhost', '127.0.0.1'],
    ['http://10.0.0.1:1', 'dns:10.0.0.1:1', 'never', 'localhost', '10.0.0.1'],
    ['https://a.example:2379/', 'dns:a.example:2379', 'always', undefined],
    ['[::1]:2379', 'dns:[::1]:2379', 'configured', 'localhost', '::1'],
    ['unix:dir/etcd.sock', 'unix:dir/etcd.sock', 'configured', 'etcd.sock'],
    ['unix://localhost:2379', 'unix:localhost:2379', 'configured', 'localhost'],
    ['unix:///run/etcd:1', 'unix:///run/etcd:1', 'configured', 'etcd'],
    ['unixs:///run/a.example:1', 'unix:///run/a.example:1', 'always', 'a.example'],
  ] as const)('%s', (endpoint, target, tls, serverName, ip?: string) => {
    expect(parseAddress(endpoint)).toEqual({ target, tls, serverName, ip });
  });

  test.each(['', 'host', 'host:', ':1', 'host:99999', '::1:1', 'ftp://a:1', 'http://', 'a b:1'])(
    '"%s" is none',
    (endpoint) => {
      expect(() => parseAddress(endpoint)).toThrow(RangeError);
    },
  );
});
