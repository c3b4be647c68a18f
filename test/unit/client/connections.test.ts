/** TLS and sockets in the file system. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ServerCredentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StatusCode } from '../../../src/base/errors.ts';
import type { TlsOptions } from '../../../src/client/index.ts';
import { CountingMember, cleanup, client, failure, valueOf } from './setup.ts';

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'quorate-client-'));
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

const file = (name: string): Buffer => readFileSync(join(directory, name));

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { cwd: directory, stdio: 'ignore' });
}

/** An authority `name` and a certificate signed by it, for the given names. */
function issue(name: string, subjects: string): void {
  const days = ['-days', '2'];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const authority = ['-keyout', `${name}-ca.key`, '-out', `${name}-ca.pem`];
  openssl('req', '-x509', ...key, ...days, '-subj', `/CN=${name}`, ...authority);
  openssl('req', ...key, '-subj', '/CN=x', '-keyout', `${name}.key`, '-out', `${name}.csr`);
  writeFileSync(join(directory, `${name}.san`), `subjectAltName=${subjects}\n`);
  const signer = ['-CA', `${name}-ca.pem`, '-CAkey', `${name}-ca.key`, '-CAcreateserial'];
  const files = ['-in', `${name}.csr`, '-out', `${name}.pem`, '-extfile', `${name}.san`];
  openssl('x509', '-req', ...days, ...signer, ...files);
}

async function serve(where?: string, credentials?: ServerCredentials): Promise<CountingMember> {
  const member = new CountingMember();
  await member.listen(where, credentials);
  cleanup(() => member.stop());
  return member;
}

async function get(endpoint: string, tls?: TlsOptions): Promise<string> {
  const options = { endpoints: endpoint, dialTimeoutMs: 500 };
  const reader = client(tls === undefined ? options : { ...options, tls });
  return valueOf(await reader.get('k'));
}

describe('sockets in the file system', () => {
  test.each(['unix:', 'unix://'])('are written %s and a path', async (scheme) => {
    const path = join(directory, `${scheme.length}.sock`);
    await serve(`unix:${path}`);
    expect(await get(`${scheme}${path}`)).toBe('member');
  });
});

describe.skipIf(!hasOpenssl)('over TLS', () => {
  beforeAll(() => {
    issue('ours', 'IP:127.0.0.1,DNS:localhost');
    issue('theirs', 'DNS:elsewhere.example');
  });

  const server = (name: string, clients?: string): ServerCredentials =>
    ServerCredentials.createSsl(
      clients === undefined ? null : file(`${clients}-ca.pem`),
      [{ cert_chain: file(`${name}.pem`), private_key: file(`${name}.key`) }],
      clients !== undefined,
    );

  test('a server is served by whose authority is trusted', async () => {
    const warnings: string[] = [];
    const warn = (warning: Error): void => void warnings.push(warning.message);
    process.on('warning', warn);
    cleanup(() => process.off('warning', warn));
    const { port } = await serve(undefined, server('ours'));
    const ca = file('ours-ca.pem');
    expect(await get(`https://127.0.0.1:${port}`, { ca })).toBe('member');
    expect(await get(`https://localhost:${port}`, { ca })).toBe('member');
    expect(await get(`127.0.0.1:${port}`, { ca })).toBe('member');
    // Node tells everybody who puts an address where TLS wants a name.
    expect(warnings).toEqual([]);
    const stranger = await failure(get(`https://127.0.0.1:${port}`, { ca: file('theirs-ca.pem') }));
    expect(stranger.code).toBe(StatusCode.unavailable);
    expect((await failure(get(`https://127.0.0.1:${port}`))).code).toBe(StatusCode.unavailable);
    expect((await failure(get(`http://127.0.0.1:${port}`, { ca }))).code).toBe(
      StatusCode.unavailable,
    );
  });

  test('the name is checked, unless nothing is', async () => {
    const { port } = await serve(undefined, server('theirs'));
    for (const host of ['127.0.0.1', 'localhost']) {
      const endpoint = `https://${host}:${port}`;
      const wrong = await failure(get(endpoint, { ca: file('theirs-ca.pem') }));
      expect(wrong.code).toBe(StatusCode.unavailable);
      expect(await get(endpoint, { insecureSkipVerify: true })).toBe('member');
    }
  });

  test('a name can be asked for whatever the endpoint says', async () => {
    const { port } = await serve(undefined, server('theirs'));
    const ca = file('theirs-ca.pem');
    for (const host of ['127.0.0.1', 'localhost']) {
      const endpoint = `https://${host}:${port}`;
      expect(await get(endpoint, { ca, serverName: 'elsewhere.example' })).toBe('member');
      const wrong = await failure(get(endpoint, { ca, serverName: 'localhost' }));
      expect(wrong.code).toBe(StatusCode.unavailable);
    }
  });

  test('a client shows its own certificate', async () => {
    const { port } = await serve(undefined, server('ours', 'ours'));
    const ca = file('ours-ca.pem');
    const [cert, key] = [file('ours.pem'), file('ours.key')];
    expect(await get(`https://127.0.0.1:${port}`, { ca, cert, key })).toBe('member');
    expect((await failure(get(`https://127.0.0.1:${port}`, { ca }))).code).toBe(
      StatusCode.unavailable,
    );
  });

  test('a socket in the file system goes by the name of its file', async () => {
    const path = join(directory, 'localhost:1');
    await serve(`unix:${path}`, server('ours'));
    expect(await get(`unixs://${path}`, { ca: file('ours-ca.pem') })).toBe('member');
    const other = join(directory, 'other:1');
    await serve(`unix:${other}`, server('ours'));
    const wrong = await failure(get(`unixs://${other}`, { ca: file('ours-ca.pem') }));
    expect(wrong.code).toBe(StatusCode.unavailable);
  });
});
