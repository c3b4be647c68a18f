/** Servers found through DNS: a true resolver and a name server on loopback. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { discoverEndpoints } from '../../../src/cli/discovery.ts';
import { run } from '../../../src/cli/program.ts';
import { Terminal } from '../../../src/cli/terminal.ts';
import { KV } from '../../../src/gen/services.ts';
import { RangeResponse } from '../../../src/gen/rpc.ts';
import { FakeMember, header } from '../../support/fake-member.ts';
import { NameServer, ResponseCode } from '../../support/name-server.ts';

let names: NameServer;

beforeEach(async () => {
  names = new NameServer();
  await names.listen();
});

afterEach(() => names.stop());

const ssl = '_etcd-client-ssl._tcp.example.com';
const plain = '_etcd-client._tcp.example.com';

interface Found {
  readonly endpoints: readonly string[];
  readonly warnings: readonly string[];
}

async function find(query: { serviceName?: string; acceptsInsecure?: boolean }): Promise<Found> {
  const warnings: string[] = [];
  const whole = { domain: 'example.com', serviceName: '', acceptsInsecure: true, ...query };
  const warn = (line: string): void => void warnings.push(line);
  return { endpoints: await discoverEndpoints(whole, [names.address], warn), warnings };
}

describe('records', () => {
  test('of servers with TLS come first, then those without', async () => {
    names.records.set(ssl, [{ target: 'a.example.com', port: 2379 }]);
    names.records.set(plain, [{ target: 'b.example.com', port: 12379 }]);
    expect(await find({})).toEqual({
      endpoints: ['https://a.example.com:2379', 'http://b.example.com:12379'],
      warnings: [],
    });
  });

  test('of either kind are enough', async () => {
    names.records.set(plain, [{ target: 'b.example.com', port: 1 }]);
    expect((await find({})).endpoints).toEqual(['http://b.example.com:1']);
    names.records.clear();
    names.records.set(ssl, [{ target: 'a.example.com', port: 2 }]);
    expect((await find({})).endpoints).toEqual(['https://a.example.com:2']);
  });

  test('without TLS are left out and told, if they are not wanted', async () => {
    names.records.set(ssl, [{ target: 'a.example.com', port: 1 }]);
    names.records.set(plain, [{ target: 'b.example.com', port: 2 }]);
    expect(await find({ acceptsInsecure: false })).toEqual({
      endpoints: ['https://a.example.com:1'],
      warnings: ['ignoring discovered insecure endpoint "http://b.example.com:2"'],
    });
  });

  test('of a named service have it in their name', async () => {
    names.records.set('_etcd-client-ssl-blue._tcp.example.com', [{ target: 'blue', port: 1 }]);
    names.records.set('_etcd-client-blue._tcp.example.com', [{ target: 'blue', port: 2 }]);
    names.records.set(ssl, [{ target: 'green', port: 3 }]);
    const { endpoints } = await find({ serviceName: 'blue' });
    expect(endpoints).toEqual(['https://blue:1', 'http://blue:2']);
  });

  test('are ordered by priority', async () => {
    const ports = [5, 3, 1, 4, 2];
    const records = ports.map((port) => ({ target: 'm', port, priority: port, weight: 10 - port }));
    names.records.set(ssl, records);
    const { endpoints } = await find({});
    expect(endpoints).toEqual([1, 2, 3, 4, 5].map((port) => `https://m:${port}`));
  });

  test('of one priority: a weight of zero gives way, equal weights take turns', async () => {
    names.records.set(ssl, [
      { target: 'never', port: 1, weight: 0 },
      { target: 'a', port: 1, weight: 7 },
      { target: 'b', port: 1, weight: 7 },
    ]);
    const firsts = new Set<string | undefined>();
    // One of two would not come first in a hundred tries once in 2^99 runs.
    for (let tries = 0; tries < 100; tries++) firsts.add((await find({})).endpoints[0]);
    expect([...firsts].toSorted()).toEqual(['https://a:1', 'https://b:1']);
  });

  test('that say that there is no service are none', async () => {
    names.records.set(ssl, [{ target: '.', port: 0 }]);
    expect(await find({})).toEqual({ endpoints: [], warnings: [] });
  });
});

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function kvctl(args: string[], environment: Record<string, string> = {}): Promise<Result> {
  const stdout: Uint8Array[] = [];
  let stderr = '';
  const terminal = new Terminal({
    environment,
    nameServers: [names.address],
    input: (async function* () {})(),
    write: async (bytes) => void stdout.push(bytes),
    warn: (text) => (stderr += text),
  });
  const code = await run(args, terminal);
  return { code, stdout: Buffer.concat(stdout).toString(), stderr };
}

describe('failures', () => {
  const lookup = (name: string, reason: string): string =>
    `lookup ${name} on ${names.address}: ${reason}`;

  test.each([
    [ResponseCode.noSuchName, 'no such host'],
    [ResponseCode.serverFailure, 'server misbehaving'],
    [ResponseCode.refused, 'server misbehaving'],
  ])('response code %i is "%s"', async (code, reason) => {
    names.missing = code;
    const result = await kvctl(['-d', 'example.com', 'get', 'a']);
    expect(result).toMatchObject({ code: 1, stdout: '' });
    const both = `${lookup(ssl, reason)} and ${lookup(plain, reason)}`;
    expect(result.stderr).toMatch(/^Endpoints are taken from SRV records of example\.com/);
    expect(result.stderr).toContain(`\nError: dns lookup errors: ${both}\n`);
  });

  test('a name without such records is as none', async () => {
    names.records.set(ssl, []);
    names.records.set(plain, []);
    const { stderr } = await kvctl(['--discovery-srv=example.com', 'get', 'a']);
    expect(stderr).toContain(lookup(plain, 'no such host'));
  });

  test('a domain that cannot be one is not asked for', async () => {
    const { code, stderr } = await kvctl(['-d', `${'x'.repeat(64)}.com`, 'get', 'a']);
    expect(code).toBe(1);
    expect(stderr).toContain(`lookup _etcd-client._tcp.${'x'.repeat(64)}.com: no such host\n`);
    expect(names.asked).toEqual([]);
  });
});

describe('a command', () => {
  let member: FakeMember;

  beforeEach(async () => {
    member = new FakeMember();
    member.on(KV.methods.range, () => RangeResponse.create({ header: header(1) }));
    await member.listen();
  });

  afterEach(() => member.stop());

  test('goes to the servers found and not to --endpoints', async () => {
    names.records.set(plain, [{ target: 'localhost', port: member.port }]);
    const args = ['--endpoints=127.0.0.1:1', '-d', 'example.com', 'get', 'a'];
    expect(await kvctl(args)).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  test('goes to --endpoints where nothing is left of what was found', async () => {
    names.records.set(plain, [{ target: 'localhost', port: 1 }]);
    const args = [`--endpoints=127.0.0.1:${member.port}`, '--insecure-transport', 'get', 'a'];
    const environment = {
      ETCDCTL_DISCOVERY_SRV: 'example.com',
      ETCDCTL_INSECURE_DISCOVERY: 'false',
      ETCDCTL_INSECURE_SKIP_TLS_VERIFY: 'false',
    };
    // Who takes no insecure servers from DNS wants TLS everywhere, as with etcdctl.
    const { code, stderr } = await kvctl([...args, '--command-timeout=2s'], environment);
    expect(code).toBe(1);
    expect(stderr).toContain('ignoring discovered insecure endpoint "http://localhost:1"\n');
    expect(stderr).toContain(`No connection to 127.0.0.1:${member.port}: `);
    expect(stderr).not.toContain('ECONNREFUSED');
  });

  test('tells the servers found when it cannot reach them', async () => {
    names.records.set('_etcd-client-blue._tcp.example.com', [{ target: 'localhost', port: 1 }]);
    const environment = { ETCDCTL_DISCOVERY_SRV_NAME: 'blue' };
    const args = ['-d', 'example.com', '--command-timeout=2s', 'get', 'a'];
    const { code, stderr } = await kvctl(args, environment);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^No connection to http:\/\/localhost:1: .*ECONNREFUSED/);
  });
});
