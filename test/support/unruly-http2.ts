/** What clients that break the rules of HTTP/2 or gRPC send, or good ones that break off. */
import type { Random } from '../../src/base/random.ts';
import type { MethodDefinition } from '../../src/base/wire.ts';
import {
  LeaseGrantRequest,
  LeaseKeepAliveRequest,
  PutRequest,
  RangeRequest,
  SnapshotRequest,
  StatusRequest,
  WatchCreateRequest,
  WatchRequest,
} from '../../src/gen/rpc.ts';
import { KV, Lease, Maintenance, Watch } from '../../src/gen/services.ts';
import {
  callFields,
  Flag,
  frame,
  FrameType,
  grpcMessage,
  headerBlock,
  opening,
  settings,
  uint32,
} from './http2-bytes.ts';

/** Keys that unruly clients write; there are few, so that the state stays small. */
export const unrulyKeys = 64;
const key = Buffer.from('unruly');
const everything = { key: Buffer.from([0]), rangeEnd: Buffer.from([0]) };
const noBytes = Buffer.alloc(0);
/** What members call of each other. */
const connectPath = '/quorate.peer.Peer/Connect';
const describePath = '/quorate.peer.Peer/DescribeCluster';

export function pick<Value>(random: Random, values: readonly Value[]): Value {
  return values[random.below(values.length)] as Value;
}

export function randomBytes(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.below(256)));
}

function repeat(count: number, make: (i: number) => Buffer): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, i) => make(i)));
}

/** Calls of one connection, whose streams are numbered in the order of their opening. */
class Calls {
  readonly random: Random;
  readonly #authority: string;
  #next = 1;

  constructor(random: Random) {
    this.random = random;
    this.#authority = pick(random, ['127.0.0.1:2379', 'http://127.0.0.1:2379', '#initially=[a]']);
  }

  /** The id of the stream that was opened last. */
  get last(): number {
    return this.#next - 2;
  }

  headers(path: string, others: Readonly<Record<string, string>> = {}, flags = 4): Buffer {
    const fields = callFields(path, { ':authority': this.#authority, ...others });
    const bytes = frame(FrameType.headers, flags, this.#next, headerBlock(fields));
    this.#next += 2;
    return bytes;
  }

  /** A message of the stream that was opened last. */
  message(message: Uint8Array, flags = 0): Buffer {
    return frame(FrameType.data, flags, this.last, grpcMessage(message));
  }

  /** A stream with one message; half-closed or not. */
  open<Request>(
    method: MethodDefinition<Request, unknown>,
    message: Request,
    flags: number,
  ): Buffer {
    const bytes = method.request.encode(message);
    return Buffer.concat([this.headers(method.path), this.message(bytes, flags)]);
  }

  put(flags: number = Flag.endStream): Buffer {
    const name = `unruly/${this.random.below(unrulyKeys)}`;
    const value = Buffer.alloc(this.random.below(2000), 1);
    const request = PutRequest.create({ key: Buffer.from(name), value });
    return this.open(KV.methods.put, request, flags);
  }

  unary(): Buffer {
    const { random } = this;
    switch (random.below(5)) {
      case 0:
        return this.open(KV.methods.range, RangeRequest.create(everything), 1);
      case 1:
        return this.open(Lease.methods.leaseGrant, LeaseGrantRequest.create({ ttl: 1 }), 1);
      case 2:
        return this.open(Maintenance.methods.status, StatusRequest.create({}), 1);
      default:
        return this.put(random.below(8) === 0 ? 0 : 1);
    }
  }

  stream(): Buffer {
    switch (this.random.below(4)) {
      case 0: {
        const keepAlive = LeaseKeepAliveRequest.create({ id: this.random.bits64() >> 1n });
        return this.open(Lease.methods.leaseKeepAlive, keepAlive, this.random.below(2));
      }
      case 1:
        return this.open(Maintenance.methods.snapshot, SnapshotRequest.create({}), 1);
      default: {
        const value = { ...everything, startRevision: this.random.below(2) };
        const watch = { case: 'createRequest', value: WatchCreateRequest.create(value) } as const;
        const request = WatchRequest.create({ requestUnion: watch });
        return this.open(Watch.methods.watch, request, this.random.below(2));
      }
    }
  }

  any(): Buffer {
    return this.random.below(3) === 0 ? this.stream() : this.unary();
  }

  reset(stream: number = this.last): Buffer {
    const code = pick(this.random, [0, 0, 1, 2, 5, 7, 8, 11, 0xffff_ffff]);
    return frame(FrameType.reset, 0, stream, uint32(code));
  }

  ping(): Buffer {
    return frame(FrameType.ping, 0, 0, Buffer.alloc(8, this.random.below(256)));
  }

  goAway(): Buffer {
    const code = this.random.below(14);
    return frame(FrameType.goAway, 0, 0, Buffer.concat([uint32(0), uint32(code)]));
  }

  windowUpdate(by: number, stream = 0): Buffer {
    return frame(FrameType.windowUpdate, 0, stream, uint32(by));
  }
}

/** What follows the opening of a connection; each has a name for its author's mistake. */
const misdeeds: Readonly<Record<string, (calls: Calls) => Buffer>> = {
  calls: (calls) => repeat(1 + calls.random.below(20), () => calls.any()),
  resetFlood: (calls) =>
    repeat(1 + calls.random.below(400), () => Buffer.concat([calls.any(), calls.reset()])),
  resetBeforeMessage: (calls) =>
    repeat(1 + calls.random.below(40), () => {
      const { path } = pick(calls.random, [
        KV.methods.put,
        KV.methods.range,
        Watch.methods.watch,
        { path: '/unknown.Service/Method' },
      ]);
      const type = pick(calls.random, ['application/grpc', 'text/plain', 'application/grpcx']);
      const headers = calls.headers(path, { 'content-type': type });
      const message = pick(calls.random, [noBytes, calls.message(key)]);
      return Buffer.concat([headers, message, calls.reset()]);
    }),
  peerStreams: (calls) =>
    repeat(1 + calls.random.below(8), () => {
      const { random } = calls;
      const headers = calls.headers(pick(random, [connectPath, connectPath, describePath]));
      const frames = repeat(random.below(4), () => {
        const body = Buffer.concat([Buffer.from([random.below(16)]), randomBytes(random, 40)]);
        return calls.message(body.subarray(0, random.below(body.length + 1)), 0);
      });
      const end = pick(random, [noBytes, frame(FrameType.data, 1, calls.last), calls.reset()]);
      return Buffer.concat([headers, frames, end]);
    }),
  goAway: (calls) =>
    Buffer.concat([calls.any(), calls.goAway(), calls.any(), calls.goAway(), calls.any()]),
  headersWithoutData: (calls) =>
    repeat(1 + calls.random.below(50), () => {
      const timeout = pick(calls.random, ['1n', '1u', '5m', '1S', 'x', '99999999H', '']);
      return calls.headers(KV.methods.put.path, { 'grpc-timeout': timeout });
    }),
  dataBeyondEnd: (calls) =>
    Buffer.concat([calls.any(), calls.message(key, 1), calls.message(key), calls.any()]),
  pingFlood: (calls) =>
    repeat(1 + calls.random.below(300), () =>
      calls.random.below(4) === 0 ? calls.any() : calls.ping(),
    ),
  settingsFlood: (calls) =>
    repeat(1 + calls.random.below(300), () =>
      calls.random.below(8) === 0
        ? calls.any()
        : settings([[1 + calls.random.below(7), calls.random.below(2 ** 31)]]),
    ),
  acknowledgementFlood: (calls) =>
    repeat(10, () => Buffer.concat([frame(4, 1, 0), frame(6, 1, 0, key), calls.any()])),
  windowOverflow: (calls) => {
    const call = calls.any();
    const stream = pick(calls.random, [0, calls.last]);
    const update = calls.windowUpdate(0x7fff_ffff, stream);
    return Buffer.concat([call, update, update, calls.windowUpdate(0, stream), calls.any()]);
  },
  noWindow: (calls) =>
    Buffer.concat([settings([[4, 0]]), repeat(1 + calls.random.below(30), () => calls.any())]),
  continuationFlood: (calls) => {
    const headers = calls.headers(KV.methods.put.path, {}, 0);
    const more = headerBlock({ [`x-${calls.random.below(9)}`]: 'y'.repeat(100) });
    const rest = repeat(calls.random.below(2000), () => frame(9, 0, calls.last, more));
    return Buffer.concat([headers, rest, frame(9, calls.random.below(5), calls.last, noBytes)]);
  },
  hugeHeaders: (calls) => {
    const sizeBytes = pick(calls.random, [1000, 10_000, 16_000, 60_000, 200_000]);
    const huge = calls.headers(KV.methods.put.path, { 'x-huge': 'a'.repeat(sizeBytes) });
    return Buffer.concat([calls.any(), huge, calls.any()]);
  },
  oddHeaders: (calls) => {
    const odd = pick<Readonly<Record<string, string>>>(calls.random, [
      { ':method': 'GET' },
      { ':method': 'CONNECT' },
      { ':path': '' },
      { ':path': '/\u0080\u00ff' },
      { Upper: 'a' },
      { 'grpc-encoding': 'gzip' },
      { 'content-length': '3' },
      { 'x-bin': '%%%' },
      { hasleader: 'true' },
      { token: '\u00ff' },
      { expect: '100-continue' },
      { connection: 'close' },
    ]);
    const block = calls.headers(KV.methods.put.path, odd);
    return Buffer.concat([block, calls.message(key, 1), calls.any(), calls.reset(), calls.any()]);
  },
  brokenBlock: (calls) => {
    const block = randomBytes(calls.random, calls.random.below(100));
    return Buffer.concat([calls.any(), frame(1, 4 + calls.random.below(2), 99, block)]);
  },
  brokenFrames: (calls) =>
    repeat(1 + calls.random.below(20), () => {
      const type = calls.random.below(12);
      const body = randomBytes(calls.random, calls.random.below(40));
      const stream = pick(calls.random, [0, 1, 2, calls.last, calls.last + 2, 0x8000_0001]);
      const broken = frame(type, calls.random.below(256), Math.max(stream, 0), body);
      return pick(calls.random, [calls.any(), broken]);
    }),
  brokenMessages: (calls) =>
    repeat(1 + calls.random.below(20), () => {
      const { random } = calls;
      const { path } = pick(random, [KV.methods.put, Watch.methods.watch, KV.methods.txn]);
      const prefix = Buffer.concat([Buffer.from([random.below(3)]), uint32(random.below(2 ** 32))]);
      const body = pick(random, [
        prefix,
        prefix.subarray(0, random.below(5)),
        Buffer.concat([prefix, randomBytes(random, 20)]),
        grpcMessage(randomBytes(random, 20)),
        Buffer.concat([Buffer.from([1]), grpcMessage(key).subarray(1)]),
        Buffer.concat([grpcMessage(key), grpcMessage(key)]),
      ]);
      const encoding = pick(random, ['gzip', 'deflate', 'identity', 'lz4']);
      const headers = calls.headers(path, { 'grpc-encoding': encoding });
      const data = frame(FrameType.data, random.below(2), calls.last, body);
      return Buffer.concat([headers, data, random.below(3) === 0 ? calls.reset() : noBytes]);
    }),
  pieces: (calls) => {
    const bytes = grpcMessage(PutRequest.encode(PutRequest.create({ key, value: key })));
    const headers = calls.headers(KV.methods.put.path);
    const data = repeat(bytes.length, (i) =>
      frame(FrameType.data, 0, calls.last, bytes.subarray(i, i + 1)),
    );
    return Buffer.concat([headers, data, frame(FrameType.data, 1, calls.last)]);
  },
  mixture: (calls) =>
    repeat(1 + calls.random.below(40), () => {
      const stream = 1 + 2 * calls.random.below(20);
      return pick(calls.random, [
        calls.any(),
        calls.any(),
        calls.reset(stream),
        calls.ping(),
        calls.windowUpdate(calls.random.below(2 ** 31), stream),
        frame(FrameType.data, calls.random.below(2), stream, grpcMessage(key)),
        settings([[4, calls.random.below(100_000)]]),
        frame(FrameType.priority, 0, stream, Buffer.alloc(5)),
      ]);
    }),
  noise: (calls) => randomBytes(calls.random, calls.random.below(3000)),
};

export const misdeedNames: readonly string[] = Object.keys(misdeeds);

/** What one connection sends that commits a misdeed. */
export function unrulyHttp2(random: Random, misdeed: string): Buffer {
  const initial = pick<readonly (readonly [number, number])[]>(random, [
    [],
    [],
    [[4, 0]],
    [[4, 0x7fff_ffff]],
    [[1, 0]],
    [
      [2, 0],
      [3, 100],
      [5, 16_384],
    ],
  ]);
  const grow = random.below(2) === 0 ? new Calls(random).windowUpdate(0x7fff_0000) : noBytes;
  const rest = misdeeds[misdeed]?.(new Calls(random)) ?? noBytes;
  return Buffer.concat([opening(initial), grow, rest]);
}
