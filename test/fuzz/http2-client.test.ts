/** What servers say to a connection of ours, right or damaged. */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import { ClientConnection } from '../../src/http2/client-connection.ts';
import { SentField } from '../../src/http2/header-encoder.ts';
import type { StreamListener } from '../../src/http2/stream.ts';
import { frame, headerBlock, settings, uint32 } from '../support/http2-bytes.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { fuzz, type Verdict } from './fuzz.ts';
import { edits, mutate } from './mutation.ts';

const request = [
  SentField.once(':method', 'POST'),
  SentField.once(':scheme', 'http'),
  SentField.once(':path', '/a'),
];

const fields = fc.constantFrom<Record<string, string>>(
  { ':status': '200' },
  { ':status': '200', 'content-type': 'application/grpc' },
  { ':status': '103' },
  { ':status': '404' },
  { 'grpc-status': '0' },
  { 'grpc-status': '14', 'grpc-message': 'no' },
  {},
);
const streamId = fc.constantFrom(1, 1, 1, 3, 5, 2, 0);
const flags = fc.constantFrom(0x4, 0x4, 0x5, 0x0);
const said = fc
  .array(
    fc.oneof(
      fc.tuple(streamId, flags, fields).map(([id, flag, list]) => {
        return frame(1, flag, id, headerBlock(list));
      }),
      fc
        .tuple(streamId, fc.constantFrom(0, 0, 1), fc.uint8Array({ maxLength: 40 }))
        .map(([id, flag, body]) => frame(0, flag, id, body)),
      fc.tuple(streamId, fc.nat(5)).map(([id, pad]) => frame(0, 8, id, Buffer.alloc(4 + pad, pad))),
      fc.tuple(streamId, fc.nat(12)).map(([id, code]) => frame(3, 0, id, uint32(code))),
      fc
        .tuple(streamId, fc.constantFrom(0, 1, 100, 0x7fff_ffff))
        .map(([id, bytes]) => frame(8, 0, id, uint32(bytes))),
      fc
        .tuple(fc.constantFrom(0, 1, 3), fc.constantFrom(0, 0, 11))
        .map(([last, code]) => frame(7, 0, 0, Buffer.concat([uint32(last), uint32(code)]))),
      fc.constant(frame(4, 1, 0)),
      fc.constant(settings([[4, 100]])),
      fc.constant(settings([[1, 0]])),
      fc.constant(frame(6, 0, 0, Buffer.alloc(8, 1))),
      fc.constant(frame(6, 1, 0, Buffer.from('quorate?'))),
      fc.constant(frame(5, 4, 1, uint32(2))),
    ),
    { maxLength: 8 },
  )
  .map((list) => Buffer.concat([settings(), ...list]));
const damaged = fc
  .tuple(said, fc.oneof(fc.constant([]), edits))
  .map(([bytes, changes]) => mutate(bytes, changes));

/** Takes everything and says nothing. */
class Silent extends Duplex {
  override _read(): void {}

  override _write(_chunk: unknown, _encoding: unknown, done: () => void): void {
    done();
  }
}

/** The events of a stream in the order that its listener may count on. */
const inOrder = /^(head (data )?(trailers )?(end )?)?(closed )?$/;

class Heard implements StreamListener {
  events: string[] = [];
  readonly body: number[] = [];

  head(): void {
    this.events.push('head');
  }

  data(bytes: Buffer, start: number, end: number): void {
    if (this.events.at(-1) !== 'data') this.events.push('data');
    this.body.push(...bytes.subarray(start, end));
  }

  trailers(): void {
    this.events.push('trailers');
  }

  end(): void {
    this.events.push('end');
  }

  closed(): void {
    this.events.push('closed');
  }
}

/** Everything that two requests hear, and whether the connection held. */
function heardOf(pieces: readonly Buffer[]): { events: unknown[]; held: boolean } {
  const clock = new VirtualClock();
  const socket = new Silent();
  let heldBytes = 0;
  let closings = 0;
  const failures: string[] = [];
  const connection = new ClientConnection(socket as unknown as Socket, {
    clock,
    windowBytes: 100_000,
    received: {
      take: (bytes) => {
        heldBytes += bytes;
        return true;
      },
      release: (bytes) => (heldBytes -= bytes),
    },
    sent: { add() {}, release() {} },
    failed: (error) => failures.push(error.message),
    closed: () => closings++,
  });
  const heard = [new Heard(), new Heard()];
  for (const listener of heard) {
    const stream = connection.request(request, listener);
    stream.write(Buffer.alloc(200));
    // One has said all by the time that it is answered.
    if (listener === heard[0]) stream.end([]);
  }
  clock.runDue();
  for (const piece of pieces) connection.receive(Buffer.from(piece));
  clock.runDue();
  const open = connection.streamCount;
  const events = heard.map((each) => [each.events.join(' '), each.body]);
  connection.destroy();
  expect([heldBytes, closings]).toEqual([0, 1]);
  for (const each of heard) {
    expect(each.events.at(-1)).toBe('closed');
    expect(each.events.map((event) => `${event} `).join('')).toMatch(inOrder);
  }
  return { events: [events, failures, open], held: failures.length === 0 };
}

describe('answers', () => {
  const attempt = ([bytes, cut]: [Buffer, number]): Verdict => {
    const whole = heardOf([bytes]);
    const at = cut % (bytes.length + 1);
    expect(heardOf([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(whole);
    expect(heardOf(Array.from(bytes, (byte) => Buffer.of(byte)))).toEqual(whole);
    return whole.held ? 'accepted' : 'refused';
  };
  fuzz('of servers', fc.tuple(damaged, fc.nat(500)), attempt, { weight: 2 });
});
