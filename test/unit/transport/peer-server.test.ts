/** What a peer port says to those who are no peers. */
import { once } from 'node:events';
import { connect, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import { askForCluster } from '../../../src/transport/describe-cluster.ts';
import { GrpcTransport } from '../../../src/transport/grpc-transport.ts';
import { RecordingLogger, realClock } from './members.ts';

const call = {
  ':method': 'POST',
  ':path': '/quorate.peer.Peer/DescribeCluster',
  'content-type': 'application/grpc+proto',
  te: 'trailers',
};

let description: Uint8Array | undefined;
let transport: GrpcTransport;
let url: string;

beforeEach(async () => {
  description = undefined;
  transport = new GrpcTransport({
    self: 1n,
    cluster: 1n,
    clock: realClock,
    random: new SeededRandom(1),
    logger: new RecordingLogger(),
    listenUrls: ['http://127.0.0.1:0'],
    describeCluster: () => description,
  });
  await new Promise<void>((resolve, reject) => {
    transport.listen((error) => (error === undefined ? resolve() : reject(error)));
  });
  url = transport.boundUrls[0] as string;
});

afterEach(async () => {
  await new Promise<void>((resolve) => transport.stop(resolve));
});

/** The head of the answer to a request without a body. */
async function answerTo(headers: OutgoingHttpHeaders): Promise<IncomingHttpHeaders> {
  const session = connect(url);
  try {
    const stream = session.request(headers, { endStream: true });
    const [head] = (await once(stream, 'response')) as [IncomingHttpHeaders];
    stream.resume();
    await once(stream, 'end');
    return head;
  } finally {
    session.destroy();
  }
}

test.each<[string, OutgoingHttpHeaders, object]>([
  ['of another method', { ...call, ':method': 'GET' }, { ':status': 405 }],
  ['that is none of gRPC', { ...call, 'content-type': 'text/html' }, { ':status': 415 }],
  ['almost of gRPC', { ...call, 'content-type': 'application/grpcx' }, { ':status': 415 }],
  [
    'to a path that nobody serves',
    { ...call, ':path': '/a.Service/Method' },
    { ':status': 200, 'grpc-status': '12', 'grpc-message': 'unknown method /a.Service/Method' },
  ],
])('a request %s is refused', async (_what, headers, answer) => {
  expect(await answerTo(headers)).toMatchObject(answer);
});

test('who asks for the cluster is told, once there is something to tell', async () => {
  await expect(askForCluster(url, realClock)).rejects.toThrow('this member has no state yet');
  description = Buffer.alloc(100_000, 'x');
  expect(Buffer.from(await askForCluster(url, realClock))).toEqual(description);
});

test('who asks where nobody listens hears so', async () => {
  await new Promise<void>((resolve) => transport.stop(resolve));
  await expect(askForCluster(url, realClock)).rejects.toThrow('connect ECONNREFUSED');
  await expect(askForCluster('nowhere', realClock)).rejects.toThrow('not a peer URL: nowhere');
});

test('a stop cuts off connections that have said nothing', async () => {
  const { hostname, port } = new URL(url);
  const socket = connectSocket(Number(port), hostname);
  socket.on('error', () => undefined);
  // The server's settings tell that it has accepted.
  await once(socket, 'data');
  const closed = once(socket, 'close');
  await new Promise<void>((resolve) => transport.stop(resolve));
  await closed;
});
