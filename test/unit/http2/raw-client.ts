/**
 * A client that says what it likes in raw frames, over a real socket, to a connection of ours. What
 * the server sends is checked as it comes, by rules that hold in every test: see `#check`.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, expect } from 'vitest';
import type { Clock } from '../../../src/base/clock.ts';
import { systemClock } from '../../../src/daemon/system-clock.ts';
import { ErrorCode, preface, SettingId } from '../../../src/http2/frames.ts';
import { HeaderDecoder } from '../../../src/http2/header-decoder.ts';
import { SentField } from '../../../src/http2/header-encoder.ts';
import type { HeaderList } from '../../../src/http2/header-fields.ts';
import { ServerConnection } from '../../../src/http2/server-connection.ts';
import type { Stream, StreamListener } from '../../../src/http2/stream.ts';
import {
  callFields,
  Flag,
  frame,
  FrameType,
  headerBlock,
  opening,
  uint32,
} from '../../support/http2-bytes.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

/** Until a test that waits in vain says so: nothing else depends on it. */
export const patience = { timeout: 20_000 };

export const acknowledgement: Buffer = frame(FrameType.settings, Flag.acknowledgement, 0);
/** The flags of a request without a body. */
export const whole = Flag.endHeaders | Flag.endStream;

/** @param fields a header block, or what is to be in it */
export function headers(
  streamId: number,
  flags: number = Flag.endHeaders,
  fields: Readonly<Record<string, string>> | Buffer = callFields('/a.Service/Method'),
): Buffer {
  const block = Buffer.isBuffer(fields) ? fields : headerBlock(fields);
  return frame(FrameType.headers, flags, streamId, block);
}

export function data(streamId: number, body: Uint8Array | string, flags = 0): Buffer {
  return frame(FrameType.data, flags, streamId, Buffer.from(body));
}

export function reset(streamId: number, code: number = ErrorCode.cancel): Buffer {
  return frame(FrameType.reset, 0, streamId, uint32(code));
}

export function windowUpdate(streamId: number, bytes: number): Buffer {
  return frame(FrameType.windowUpdate, 0, streamId, uint32(bytes));
}

export function ping(payload: string, flags = 0): Buffer {
  return frame(FrameType.ping, flags, 0, Buffer.from(payload, 'latin1'));
}

export function goAway(lastStreamId = 0, code: number = ErrorCode.noError): Buffer {
  return frame(FrameType.goAway, 0, 0, Buffer.concat([uint32(lastStreamId), uint32(code)]));
}

export const head: readonly SentField[] = [SentField.repeated(':status', '200')];
export const trailers: readonly SentField[] = [SentField.repeated('grpc-status', '0')];

export function answer(stream: Stream, body: Uint8Array, sent?: () => void): void {
  stream.sendHead(head);
  stream.write(body, sent);
  stream.end(trailers);
}

/** Time stands still until a test moves it on; what is deferred happens soon, as it does always. */
export class StillClock extends VirtualClock {
  /** Set, it takes what is deferred until the test calls it. */
  held: (() => void)[] | undefined;

  override defer(callback: () => void): void {
    if (this.held === undefined) systemClock.defer(callback);
    else this.held.push(callback);
  }

  afterEvent(callback: () => void): void {
    process.nextTick(callback);
  }
}

const tileBytes = 65_521;
const tiles = new Map<number, Buffer>();

/** Bytes that tell by their place whether any is lost, twice there, or another stream's. */
export function pattern(seed: number, from: number, length: number): Buffer {
  let tile = tiles.get(seed);
  if (tile === undefined) {
    tile = Buffer.alloc(tileBytes);
    let state = seed + 1;
    for (let i = 0; i < tileBytes; i++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      tile[i] = state >>> 24;
    }
    tiles.set(seed, tile);
  }
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length;) {
    const start = (from + at) % tileBytes;
    at += tile.copy(bytes, at, start, Math.min(tileBytes, start + length - at));
  }
  return bytes;
}

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly body: Buffer;
  /** Of the last frame of a header block, what all of it says. */
  readonly fields: HeaderList | undefined;
}

/** What is missing fits everything; of the flags, all that are named. */
type Wanted = Partial<Pick<Frame, 'type' | 'streamId' | 'flags'>>;

export class RawClient {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  /** What the server did that no server may do. */
  readonly violations: string[] = [];
  /** What this client takes, for the check. */
  maxFrameBytes = 16_384;
  /** Whether bytes of answers are kept. */
  keepsData = true;
  /** The last stream that this client has opened. */
  lastStreamId = -1;
  isClosed = false;
  #rest: Buffer = Buffer.alloc(0);
  #waiters: { look: () => boolean; fail: (why: string) => void }[] = [];
  #pings = 0;
  readonly #pongs = new Set<string>();
  readonly #decoder = new HeaderDecoder(1024 * 1024);
  #block: Buffer[] | undefined;
  /** What is said of streams by their ids: how far their answers have come. */
  readonly #states = new Map<number, 'answered' | 'ended' | 'reset'>();
  #initialWindow = 65_535;
  /** Initial windows of settings that are not acknowledged. */
  readonly #announced: (number | undefined)[] = [];
  /** Of windows, what was used less what was granted later. 0 is the connection's. */
  readonly #used = new Map<number, number>();

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('close', () => {
      this.isClosed = true;
      this.#look();
      for (const waiter of this.#waiters.splice(0)) waiter.fail('the connection was closed');
    });
  }

  /** @param parts each of whole frames, or of none at all */
  write(...parts: readonly Buffer[]): void {
    for (const part of parts) this.#note(part);
    this.socket.write(Buffer.concat(parts));
  }

  /** Gives the system what was written before, and others time. */
  async written(): Promise<void> {
    await new Promise((resolve) => this.socket.write('', resolve));
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Resolves to what `look` finds; it is asked again whenever something comes. */
  until<T>(what: string, look: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        clearTimeout(timer);
        const came = this.frames.slice(-20).map(nameOf);
        reject(new Error(`no ${what}: ${why}; the last that came: ${came.join(', ')}`));
      };
      const timer = setTimeout(() => {
        this.#waiters = this.#waiters.filter((each) => each !== waiter);
        fail('waited in vain');
      }, patience.timeout);
      const isDone = (): boolean => {
        const found = look();
        if (found === undefined) return false;
        clearTimeout(timer);
        resolve(found);
        return true;
      };
      const waiter = { look: isDone, fail };
      if (waiter.look()) return;
      if (this.isClosed) fail('the connection is closed');
      else this.#waiters.push(waiter);
    });
  }

  /** Those that have come so far. */
  all(wanted: Wanted): Frame[] {
    return this.frames.filter((each) => {
      const { type = each.type, streamId = each.streamId, flags = 0 } = wanted;
      return each.type === type && each.streamId === streamId && (each.flags & flags) === flags;
    });
  }

  /** The first that fits, or the one after so many others. */
  frame(wanted: Wanted, after = 0): Promise<Frame> {
    return this.until(`frame ${JSON.stringify(wanted)}`, () => this.all(wanted)[after]);
  }

  /** The last frame of an answer. */
  end(streamId: number): Promise<Frame> {
    const ends = (): Frame[] => this.all({ streamId, flags: Flag.endStream });
    const isOfAnswer = ({ type }: Frame): boolean => type <= FrameType.headers;
    return this.until(`end of stream ${streamId}`, () => ends().find(isOfAnswer));
  }

  /** With what the server resets a stream. */
  async resetCode(streamId: number): Promise<number> {
    return (await this.frame({ type: FrameType.reset, streamId })).body.readUInt32BE(0);
  }

  async goAway(): Promise<{ lastStreamId: number; code: number; reason: string }> {
    const { body } = await this.frame({ type: FrameType.goAway });
    const [lastStreamId, code] = [body.readUInt32BE(0), body.readUInt32BE(4)];
    return { lastStreamId, code, reason: body.toString('latin1', 8) };
  }

  closed(): Promise<true> {
    return this.until('end', () => (this.isClosed ? true : undefined));
  }

  body(streamId: number): Buffer {
    return Buffer.concat(this.all({ type: FrameType.data, streamId }).map(({ body }) => body));
  }

  /** What the server has granted so far; on stream 0, beyond the 65,535 bytes that all have. */
  granted(streamId: number): number {
    const updates = this.all({ type: FrameType.windowUpdate, streamId });
    return updates.reduce((sum, { body }) => sum + body.readUInt32BE(0), 0);
  }

  /**
   * Everything that the server has to say to what was sent before is there. Twice, as the answer
   * to a ping overtakes those of streams.
   */
  async settled(): Promise<void> {
    for (let i = 0; i < 2; i++) await this.pong();
  }

  async pong(): Promise<void> {
    const payload = `test${String(this.#pings++).padStart(4, '0')}`;
    this.write(ping(payload));
    await this.until(`answer to ping ${payload}`, () => this.#pongs.has(payload) || undefined);
  }

  /** Follows what is written as far as it concerns windows and streams. */
  #note(part: Buffer): void {
    const start = part.subarray(0, preface.length).equals(preface) ? preface.length : 0;
    for (let at = start; at + 9 <= part.length; at += 9 + part.readUIntBE(at, 3)) {
      const end = at + 9 + part.readUIntBE(at, 3);
      const streamId = part.readUInt32BE(at + 5) & 0x7fff_ffff;
      const type = part[at + 3];
      if (end > part.length) return;
      if (type === FrameType.headers) this.lastStreamId = Math.max(this.lastStreamId, streamId);
      if (type === FrameType.windowUpdate && end === at + 13) {
        this.#use(streamId, -(part.readUInt32BE(at + 9) & 0x7fff_ffff));
      }
      if (type !== FrameType.settings || part[at + 4] === Flag.acknowledgement) continue;
      let window: number | undefined;
      for (let value = at + 9; value + 6 <= end; value += 6) {
        if (part.readUInt16BE(value) === SettingId.initialWindowBytes)
          window = part.readUInt32BE(value + 2);
      }
      this.#announced.push(window);
    }
  }

  #use(streamId: number, bytes: number): number {
    const used = (this.#used.get(streamId) ?? 0) + bytes;
    this.#used.set(streamId, used);
    return used;
  }

  #read(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (at + 9 <= bytes.length) {
      const end = at + 9 + bytes.readUIntBE(at, 3);
      if (end > bytes.length) break;
      const type = bytes[at + 3] as number;
      const flags = bytes[at + 4] as number;
      const streamId = bytes.readUInt32BE(at + 5);
      const body = bytes.subarray(at + 9, end);
      this.#check(type, flags, streamId, body);
      const fields = this.#fields(type, flags, body);
      const isKept = type !== FrameType.data || this.keepsData;
      if (isKept) this.frames.push({ type, flags, streamId, body, fields });
      at = end;
    }
    this.#rest = bytes.subarray(at);
    this.#look();
  }

  #look(): void {
    this.#waiters = this.#waiters.filter((waiter) => !waiter.look());
  }

  #fields(type: number, flags: number, body: Buffer): HeaderList | undefined {
    if (type === FrameType.headers) this.#block = [];
    this.#block?.push(body);
    if (this.#block === undefined || (flags & Flag.endHeaders) === 0) return undefined;
    const block = Buffer.concat(this.#block);
    this.#block = undefined;
    return this.#decoder.decode(block, 0, block.length);
  }

  #check(type: number, flags: number, streamId: number, body: Buffer): void {
    const broken = (rule: string): void => {
      this.violations.push(`${rule}: ${nameOf({ type, flags, streamId, body })}`);
    };
    const isAcknowledgement = (flags & Flag.acknowledgement) !== 0;
    if (this.frames.length === 0 && (type !== FrameType.settings || isAcknowledgement)) {
      broken('settings come first');
    }
    if (type > FrameType.continuation || type === FrameType.pushPromise) broken('unexpected type');
    if (body.length > this.maxFrameBytes) broken('larger than this client takes');
    if ((this.#block !== undefined) !== (type === FrameType.continuation)) broken('out of turn');
    if (type === FrameType.settings && isAcknowledgement) {
      this.#initialWindow = this.#announced.shift() ?? this.#initialWindow;
    }
    if (type === FrameType.ping && isAcknowledgement) this.#pongs.add(body.toString('latin1'));
    const state = this.#states.get(streamId);
    if (type === FrameType.reset) this.#states.set(streamId, 'reset');
    if (state === 'reset' && type !== FrameType.reset) broken('of a stream that was reset');
    if (type > FrameType.headers) return;
    if (state === 'ended') broken('after the end of the answer');
    if (state === undefined && type === FrameType.data) broken('before the head of the answer');
    this.#states.set(streamId, (flags & Flag.endStream) === 0 ? 'answered' : 'ended');
    if (type !== FrameType.data || body.length === 0) return;
    if (this.#use(streamId, body.length) > this.#initialWindow) broken('more than the window');
    if (this.#use(0, body.length) > 65_535) broken("more than the connection's window");
  }
}

function nameOf({ type, flags, streamId, body }: Omit<Frame, 'fields'>): string {
  const name = Object.entries(FrameType).find(([, number]) => number === type)?.[0] ?? type;
  return `${name} on ${streamId} with flags ${flags} and ${body.length} bytes`;
}

/** Notes what it is told, and does what else a test has it do. */
export class Listener implements StreamListener {
  /** 'data' stands for all that come together. */
  readonly events: string[] = [];
  readonly #body: Buffer[] = [];
  onData: (() => void) | undefined;
  onEnd: (() => void) | undefined;
  onClosed: (() => void) | undefined;

  get body(): Buffer {
    return Buffer.concat(this.#body);
  }

  data(bytes: Buffer, start: number, end: number): void {
    if (this.events.at(-1) !== 'data') this.events.push('data');
    this.#body.push(Buffer.from(bytes.subarray(start, end)));
    this.onData?.();
  }

  end(): void {
    this.events.push('end');
    this.onEnd?.();
  }

  closed(): void {
    this.events.push('closed');
    this.onClosed?.();
  }
}

export interface ServeOptions {
  /** Serves a request, whose stream has the listener. Without it, requests wait. */
  request?(stream: Stream, listener: Listener, fields: HeaderList, served: Served): void;
  readonly clock?: Clock;
  readonly maxConcurrentStreams?: number;
  /** What it may hold of frames that have come in part. */
  readonly maxHeldBytes?: number;
  /** Whether the client keeps its side open when the server ends its own. */
  readonly allowHalfOpen?: boolean;
  /** Of a socket that takes little before it is read, instead of one of TCP. */
  readonly path?: string;
}

/** A connection of ours, its socket, and the client at the other end. */
export interface Served {
  readonly client: RawClient;
  readonly connection: ServerConnection;
  readonly socket: Socket;
  /** In the order of the requests; the listeners, too. */
  readonly streams: Stream[];
  readonly listeners: Listener[];
  readonly failures: Error[];
  heldBytes: number;
  /** Of what waits to be sent. */
  unsentBytes: number;
  pings: number;
  closings: number;
}

const all: Served[] = [];

/** Whatever happened, everybody is told of the end, once, and no memory is held after it. */
afterEach(() => {
  const ended = all.splice(0);
  for (const { client, connection } of ended) {
    client.socket.destroy();
    connection.destroy();
  }
  for (const { client, heldBytes, unsentBytes, closings, listeners } of ended) {
    expect(client.violations).toEqual([]);
    expect([heldBytes, unsentBytes, closings], 'memory and times').toEqual([0, 0, 1]);
    for (const { events } of listeners) {
      const last = events.indexOf('closed');
      expect(last, `closed once, at last: ${events.join(', ')}`).toBe(events.length - 1);
    }
  }
});

/** Requests for this path are answered at once in each test. */
const probePath = '/probe';
const probeHead = [SentField.once(':status', '204')];

/** The client has said nothing yet. */
export async function connected(options: ServeOptions = {}): Promise<Served> {
  const { allowHalfOpen = false, path } = options;
  const at = (port: number) => (path === undefined ? { host: '127.0.0.1', port } : { path });
  const server = createServer({ noDelay: true }).listen(at(0));
  await once(server, 'listening');
  const to = at((server.address() as AddressInfo).port);
  const client = new RawClient(connect({ ...to, noDelay: true, allowHalfOpen }));
  const [socket] = (await once(server, 'connection')) as [Socket];
  server.close();
  const connection = new ServerConnection(socket, {
    clock: options.clock ?? systemClock,
    maxConcurrentStreams: options.maxConcurrentStreams ?? 100,
    received: {
      take: (bytes) => {
        if (served.heldBytes + bytes > (options.maxHeldBytes ?? Infinity)) return false;
        served.heldBytes += bytes;
        return true;
      },
      release: (bytes) => (served.heldBytes -= bytes),
    },
    sent: {
      add: (bytes) => (served.unsentBytes += bytes),
      release: (bytes) => (served.unsentBytes -= bytes),
    },
    request: (stream, fields) => {
      if (fields.path === probePath) {
        stream.sendOnlyHead(probeHead);
        return;
      }
      const listener = new Listener();
      stream.listener = listener;
      served.streams.push(stream);
      served.listeners.push(listener);
      options.request?.(stream, listener, fields, served);
    },
    pinged: () => served.pings++,
    failed: (error) => served.failures.push(error),
    closed: () => served.closings++,
  });
  const served: Served = {
    ...{ client, connection, socket, streams: [], listeners: [], failures: [] },
    ...{ heldBytes: 0, unsentBytes: 0, pings: 0, closings: 0 },
  };
  all.push(served);
  return served;
}

/** Both sides know the other's settings. */
export async function opened(
  options: ServeOptions = {},
  values: readonly (readonly [number, number])[] = [],
): Promise<Served> {
  const served = await connected(options);
  served.client.write(opening(values), acknowledgement);
  await served.client.settled();
  return served;
}

/** Nothing has ended the connection, and it serves one more request. */
export async function expectGoesOn({ client, failures }: Served): Promise<void> {
  const streamId = client.lastStreamId + 2;
  client.write(headers(streamId, whole, callFields(probePath)));
  expect((await client.end(streamId)).fields?.get(':status')).toBe('204');
  expect(failures).toEqual([]);
  expect(client.all({ type: FrameType.goAway })).toEqual([]);
}
