/** Peers over TLS, with certificates made for the test. */
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import type { MemberId } from '../../../src/raft/index.ts';
import { GrpcTransport } from '../../../src/transport/grpc-transport.ts';
import type { PeerTls } from '../../../src/transport/peer-tls.ts';
import { quickLimits } from './grpc-network.ts';
import { RecordingLogger, TestMember, heartbeat, realClock, until } from './members.ts';

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
let directory: string;

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { cwd: directory, stdio: 'ignore' });
}

/** An authority and a certificate signed by it. */
function issue(name: string): void {
  const days = ['-days', '2'];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const authority = ['-keyout', `${name}-ca.key`, '-out', `${name}-ca.pem`];
  openssl('req', '-x509', ...key, ...days, '-subj', `/CN=${name} authority`, ...authority);
  openssl('req', ...key, '-subj', '/CN=peer', '-keyout', `${name}.key`, '-out', `${name}.csr`);
  writeFileSync(join(directory, 'san'), 'subjectAltName=IP:127.0.0.1\n');
  const signer = ['-CA', `${name}-ca.pem`, '-CAkey', `${name}-ca.key`, '-CAcreateserial'];
  const files = ['-in', `${name}.csr`, '-out', `${name}.pem`, '-extfile', 'san'];
  openssl('x509', '-req', ...days, ...signer, ...files);
}

function tls(name: string, authority = name): PeerTls {
  return {
    certificate: readFileSync(join(directory, `${name}.pem`)),
    key: readFileSync(join(directory, `${name}.key`)),
    authority: readFileSync(join(directory, `${authority}-ca.pem`)),
    requireCertificate: true,
  };
}

async function start(id: MemberId, certificates: PeerTls): Promise<TestMember> {
  const logger = new RecordingLogger();
  const transport = new GrpcTransport({
    self: id,
    cluster: 1n,
    clock: realClock,
    random: new SeededRandom(Number(id)),
    logger,
    limits: quickLimits,
    listenUrls: ['https://127.0.0.1:0'],
    tls: certificates,
  });
  await new Promise<void>((resolve, reject) => {
    transport.listen((error) => (error === undefined ? resolve() : reject(error)));
  });
  const member = new TestMember(id, transport, logger);
  transport.start(member);
  return member;
}

/** Makes two members known to each other, runs `check`, and stops them. */
async function together(
  one: TestMember,
  two: TestMember,
  check: () => Promise<void>,
): Promise<void> {
  const know = (member: TestMember, other: TestMember): void => {
    const peerUrls = other.transport instanceof GrpcTransport ? other.transport.boundUrls : [];
    member.transport.setPeers([{ id: other.id, peerUrls }]);
  };
  know(one, two);
  know(two, one);
  try {
    await check();
  } finally {
    for (const member of [one, two]) {
      await new Promise<void>((resolve) => member.transport.stop(resolve));
    }
  }
}

describe.skipIf(!hasOpenssl)('peers over TLS', () => {
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'quorate-tls-'));
    issue('ours');
    issue('theirs');
  });

  afterAll(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  test('talk if both show certificates of the authority', async () => {
    const one = await start(1n, tls('ours'));
    const two = await start(2n, tls('ours'));
    await together(one, two, async () => {
      await until(() => one.transport.connected(2n), 'connected');
      one.send(heartbeat(1n, 2n, 1));
      await until(() => two.received.length === 1, 'arrived');
    });
  });

  test('refuse one whose certificate another authority signed', async () => {
    const one = await start(1n, tls('ours'));
    const stranger = await start(2n, tls('theirs', 'ours'));
    await together(one, stranger, async () => {
      await until(
        () => one.logger.has('warn', 'cannot receive') && stranger.logger.has('warn', 'cannot'),
        'both gave up a dial',
      );
      one.send(heartbeat(1n, 2n, 1));
      stranger.send(heartbeat(2n, 1n, 1));
      await until(() => one.unreachables.length > 0 && stranger.unreachables.length > 0, 'told');
      expect(one.received).toEqual([]);
      expect(stranger.received).toEqual([]);
    });
  });

  test('are not waited for at a stop if they say nothing', async () => {
    const { transport } = await start(1n, tls('ours'));
    const [url = ''] = transport instanceof GrpcTransport ? transport.boundUrls : [];
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    await new Promise((resolve) => setTimeout(resolve, 50));
    const closed = once(socket, 'close');
    await new Promise<void>((resolve) => transport.stop(resolve));
    await closed;
  });
});
