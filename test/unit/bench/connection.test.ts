import { createServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { Connection } from '../../bench/connection.ts';
import { encoded, framed } from '../../bench/requests.ts';
import { PutResponse } from '../../../src/gen/rpc.ts';
import { KV, Watch } from '../../../src/gen/services.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** A connection to a server that treats each call so. */
async function connectedTo(serve: (stream: ServerHttp2Stream) => void): Promise<Connection> {
  const server = createServer();
  server.on('stream', serve);
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  const connection = await Connection.open(`127.0.0.1:${port}`);
  closing.push(
    () => connection.close(),
    () => server.close(),
  );
  return connection;
}

const header = { clusterId: 1n, memberId: 2n, revision: 3, raftTerm: 4 };
const answer = framed(encoded(PutResponse, { header }));

/** Answers with these bytes and trailers. */
const answering =
  (bytes: Buffer, trailers: Record<string, string>) =>
  (stream: ServerHttp2Stream): void => {
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    stream.end(bytes);
  };

describe('a unary call', () => {
  const put = (connection: Connection) => connection.unary(KV.methods.put, {});

  test('gives the message of a good answer', async () => {
    const connection = await connectedTo(answering(answer, { 'grpc-status': '0' }));
    expect((await put(connection)).header).toEqual(header);
  });

  test.each<[string, Buffer, Record<string, string>, string]>([
    ['an error behind a message', answer, { 'grpc-status': '13' }, 'grpc-status 13'],
    ['no status', answer, {}, 'grpc-status missing'],
    ['no message', Buffer.alloc(0), { 'grpc-status': '0' }, '0 bytes'],
    ['two messages', Buffer.concat([answer, answer]), { 'grpc-status': '0' }, 'grpc-status 0'],
  ])('fails with %s', async (_, bytes, trailers, words) => {
    await expect(put(await connectedTo(answering(bytes, trailers)))).rejects.toThrow(words);
  });

  test('fails with an error in place of an answer', async () => {
    const refusal = { ':status': 200, 'grpc-status': '14', 'grpc-message': 'no leader' };
    const connection = await connectedTo((stream) => stream.respond(refusal, { endStream: true }));
    await expect(put(connection)).rejects.toThrow('grpc-status 14 no leader');
  });

  test('fails when the connection is lost', async () => {
    const connection = await connectedTo((stream) => stream.session?.destroy());
    await expect(put(connection)).rejects.toThrow();
  });
});

test('a stream that the server ends is told, one that we close is not', async () => {
  const ended = await new Promise<Error>((resolve, reject) => {
    connectedTo(answering(Buffer.alloc(0), { 'grpc-status': '14' }))
      .then((connection) => connection.duplex(Watch.methods.watch, () => undefined, resolve))
      .catch(reject);
  });
  expect(ended.message).toContain('grpc-status 14');

  const failures: Error[] = [];
  const connection = await connectedTo((stream) => stream.respond({ ':status': 200 }));
  connection.duplex(
    Watch.methods.watch,
    () => undefined,
    (error) => failures.push(error),
  );
  connection.close();
  await new Promise((done) => setTimeout(done, 50));
  expect(failures).toEqual([]);
});
