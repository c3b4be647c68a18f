/** Servers with handlers of the test's choice, and calls made by hand. */
import { connect } from 'node:http2';
import { afterEach } from 'vitest';
import type { AnswerMemory } from '../../src/api/handler.ts';
import type { ServiceHandlers } from '../../src/api/grpc/service.ts';
import { KeyValue } from '../../src/gen/kv.ts';
import { PutRequest, PutResponse } from '../../src/gen/rpc.ts';
import { KV, Watch } from '../../src/gen/services.ts';
import { ApiPort, type ApiPortOptions } from './api-port.ts';
import { GrpcClient } from './grpc.ts';

/** What to undo after the test. */
export const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

export async function serve(
  handlers: ServiceHandlers<typeof KV>,
  options: ApiPortOptions = {},
  watch: ServiceHandlers<typeof Watch> = {},
): Promise<{ port: ApiPort; client: GrpcClient }> {
  const port = new ApiPort(options);
  port.adapter.add(KV, handlers);
  port.adapter.add(Watch, watch);
  await port.listen();
  const client = new GrpcClient(port.address);
  cleanups.push(
    () => port.stop(),
    () => client.close(),
  );
  return { port, client };
}

export const putRequest = PutRequest.create({ key: Buffer.from('k'), value: Buffer.from('v') });
export const okPut = (): Promise<PutResponse> => Promise.resolve(PutResponse.create());

const room = {
  isFull: false,
  add: () => undefined,
  release: () => undefined,
  onRoom: () => () => undefined,
};
/** Memory for answers without a limit. */
export const roomyMemory: AnswerMemory = { ...room, hold: () => undefined, queue: room };

/** A promise with its handles, which Node 20 lacks. */
export function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

export const emptyKv: KeyValue = KeyValue.create();

/** A message as gRPC frames it. @param length what its prefix says */
export function framed(message: Uint8Array, flag = 0, length = message.length): Buffer {
  const frame = Buffer.alloc(5 + message.length);
  frame[0] = flag;
  frame.writeUInt32BE(length, 1);
  frame.set(message, 5);
  return frame;
}

export interface RawAnswer {
  readonly httpStatus: number | undefined;
  readonly status: string | undefined;
  readonly body: Buffer;
  /** Names of the headers that begin the answer. */
  readonly headers: readonly string[];
}

/** A call made of frames, with whatever headers. */
export function rawCall(
  port: ApiPort,
  path: string,
  body: Buffer | readonly Buffer[],
  headers: Record<string, string>,
): Promise<RawAnswer> {
  const session = connect(port.url);
  cleanups.push(() => session.destroy());
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    const chunks: Buffer[] = [];
    let httpStatus: number | undefined;
    let status: string | undefined;
    let names: string[] = [];
    stream.on('response', (answer) => {
      names = Object.keys(answer);
      httpStatus = answer[':status'];
      status = answer['grpc-status'] as string | undefined;
    });
    stream.on('trailers', (trailers) => {
      status = (trailers as Record<string, string>)['grpc-status'];
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      resolve({ httpStatus, status, body: Buffer.concat(chunks), headers: names });
    });
    stream.on('error', reject);
    for (const piece of Array.isArray(body) ? (body as Buffer[]) : [body as Buffer]) {
      stream.write(piece);
    }
    stream.end();
  });
}
