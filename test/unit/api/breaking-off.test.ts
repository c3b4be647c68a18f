/** Clients that break off in the worst moment: what throws then would end a member. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { RangeRequest, RangeStreamResponse } from '../../../src/gen/rpc.ts';
import { KV, Watch } from '../../../src/gen/services.ts';
import { cleanups, okPut, putRequest, serve } from '../../support/api-calls.ts';
import type { ApiPort } from '../../support/api-port.ts';
import type { GrpcClient } from '../../support/grpc.ts';
import {
  callFields,
  Flag,
  frame,
  FrameType,
  headerBlock,
  opening,
  uint32,
} from '../../support/http2-bytes.ts';

const noError = 0;
const cancel = 8;

async function open({ port }: ApiPort): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  cleanups.push(() => void socket.destroy());
  socket.on('error', () => undefined);
  socket.resume();
  await once(socket, 'connect');
  return socket;
}

/** An exception in the server would be one of this process, which fails the test. */
async function expectAlive(client: GrpcClient): Promise<void> {
  await client.unary(KV.methods.put, putRequest);
}

describe.each([
  ['without an error', noError],
  ['because it is cancelled', cancel],
])('a stream that is reset %s by the packet that opens it', (_reason, code) => {
  test.each([
    ['calls nobody', '/unknown.Service/Method', 'application/grpc'],
    ['calls a method with one message', KV.methods.put.path, 'application/grpc'],
    ['calls a method with streams', Watch.methods.watch.path, 'application/grpc'],
    ['is not of gRPC', KV.methods.put.path, 'text/plain'],
    ['is almost of gRPC', KV.methods.put.path, 'application/grpcx'],
  ])('and %s', async (_what, path, type) => {
    const { port, client } = await serve({ put: okPut });
    const socket = await open(port);
    const block = headerBlock(callFields(path, { 'content-type': type }));
    const reset = frame(3, 0, 1, uint32(code));
    socket.write(Buffer.concat([opening(), frame(1, 4, 1, block), reset]));
    await expectAlive(client);
  });

  test('and refused for its message', async () => {
    const { port, client } = await serve({ put: okPut });
    const socket = await open(port);
    const headers = frame(1, 4, 1, headerBlock(callFields(KV.methods.put.path)));
    const tooLarge = frame(0, 0, 1, Buffer.concat([Buffer.from([0]), uint32(0xffff_ffff)]));
    socket.write(Buffer.concat([opening(), headers, tooLarge, frame(3, 0, 1, uint32(code))]));
    await expectAlive(client);
  });
});

test.each([
  ['without an error', noError],
  ['because it is cancelled', cancel],
])(
  'a call that is reset %s before the client ends its side reaches no handler',
  async (_, code) => {
    let calls = 0;
    const { port, client } = await serve({
      put: okPut,
      rangeStream: async function* () {
        calls++;
        yield await Promise.resolve(RangeStreamResponse.create());
      },
    });
    const socket = await open(port);
    const block = headerBlock(callFields(KV.methods.rangeStream.path));
    const message = RangeRequest.encode(RangeRequest.create({ key: Buffer.from('key') }));
    const data = Buffer.concat([Buffer.from([0]), uint32(message.length), message]);
    socket.write(Buffer.concat([opening(), frame(1, 4, 1, block), frame(0, 0, 1, data)]));
    const received = 'etcd_network_client_grpc_received_bytes_total';
    await expect.poll(() => port.metric(received)).toBe(message.length);
    // The answer to a ping tells that what came before it was read.
    const ping = Buffer.from('a ping 8');
    const answer = frame(FrameType.ping, Flag.acknowledgement, 0, ping);
    const answered = new Promise<void>((resolve) => {
      let heard = Buffer.alloc(0);
      socket.on('data', (chunk: Buffer) => {
        heard = Buffer.concat([heard, chunk]);
        if (heard.includes(answer)) resolve();
      });
    });
    const reset = frame(FrameType.reset, 0, 1, uint32(code));
    socket.write(Buffer.concat([reset, frame(FrameType.ping, 0, 0, ping)]));
    await answered;
    await expectAlive(client);
    expect(calls).toBe(0);
  },
);

describe('a connection that is reset with the request', () => {
  test.each([
    ['for a tunnel', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['for another protocol', 'GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'],
    ['that is none', 'nothing\r\n\r\n'],
    ['for its health', 'GET /health HTTP/1.1\r\nHost: a\r\n\r\n'],
  ])('%s', async (_what, request) => {
    const { port, client } = await serve({ put: okPut });
    for (let i = 0; i < 40; i++) {
      const socket = await open(port);
      socket.write(request);
      for (let turn = i % 4; turn > 0; turn--) await new Promise(setImmediate);
      socket.resetAndDestroy();
      await once(socket, 'close');
    }
    await expectAlive(client);
  });
});
