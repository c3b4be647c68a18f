/** JSON that clients send to the gateway: as text, as messages, and in pieces. */
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import { MemoryBudget } from '../../src/api/grpc/connection-memory.ts';
import { JsonBody } from '../../src/api/gateway/json-body.ts';
import { JsonMessageError } from '../../src/api/gateway/json-cursor.ts';
import { JsonScanner, JsonSyntaxError } from '../../src/api/gateway/json-scanner.ts';
import { encodeJson } from '../../src/api/gateway/json-to-wire.ts';
import { messageType, type MessageType } from '../../src/api/gateway/message-type.ts';
import { jsonOf } from '../../src/api/gateway/wire-to-json.ts';
import { StatusError } from '../../src/base/errors.ts';
import { schemas } from '../../src/gen/schemas.ts';
import { systemClock } from '../../src/daemon/system-clock.ts';
import { root } from '../support/generated-modules.ts';
import { decoded, expectSame, fuzz, type Verdict } from './fuzz.ts';
import { messageTypes } from './messages.ts';
import { edits, mutate, type Edit } from './mutation.ts';

const types = messageTypes.filter(({ name }) => name in schemas.messages);

/** A whole JSON value, as the gateway takes it from a body. */
function scanned(json: Buffer): Buffer | undefined {
  return decoded(() => {
    const scanner = new JsonScanner();
    const end = scanner.scan(json, 0);
    if (end !== undefined) return json.subarray(0, end);
    return scanner.end() ? json : undefined;
  }, JsonSyntaxError);
}

function encoded(json: Buffer, type: MessageType): Buffer | undefined {
  return decoded(() => encodeJson(json, type), JsonMessageError);
}

/** What another implementation makes of an encoded message, in the same conventions. */
function byProtobufjs(name: string, message: Uint8Array): unknown {
  const type = root.lookupType(name);
  return type.toObject(type.decode(message), { longs: String, enums: String, bytes: String });
}

describe('messages', () => {
  for (const { name, codec, bytes } of types) {
    const type = messageType(name);
    const attempt = ([whole, changes]: [Uint8Array, readonly Edit[]]): Verdict => {
      const message = codec.encode(codec.decode(whole));
      const wire = Buffer.from(message);
      const json = jsonOf(wire, type);
      expectSame(JSON.parse(json.toString()), byProtobufjs(name, wire));
      // And back: the same message, and the same JSON.
      const again = encodeJson(json, type);
      expectSame(codec.decode(again), codec.decode(wire));
      const damaged = Buffer.from(mutate(json, changes));
      const value = scanned(damaged);
      if (value === undefined) return 'refused';
      const found = encoded(value, type);
      if (found === undefined) return 'refused';
      // What was understood can be shown again, and means the same.
      const shown = jsonOf(Buffer.from(codec.encode(codec.decode(found))), type);
      expectSame(codec.decode(encodeJson(shown, type)), codec.decode(found));
      return 'accepted';
    };
    fuzz(name, fc.tuple(bytes, edits), attempt, { weight: 0.05, expects: [] });
  }
});

describe('any JSON', () => {
  const names = Object.values(schemas.messages).flatMap((fields) => fields.map((one) => one.name));
  const key = fc.constantFrom(...new Set(names));
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom<unknown>(null, true, false, 0, -1, 1.5, 1e30, '', 'YQ==', '-', '7', 'PUT'),
      fc.array(tie('any'), { maxLength: 3 }),
      fc.dictionary(key, tie('any'), { maxKeys: 5 }),
    ),
  })).any;
  const attempt = (json: unknown): Verdict => {
    const bytes = Buffer.from(JSON.stringify(json));
    let verdict: Verdict = 'refused';
    for (const { name, codec } of types) {
      const message = encoded(bytes, messageType(name));
      if (message === undefined) continue;
      codec.decode(message);
      verdict = 'accepted';
    }
    return verdict;
  };
  fuzz('for any message', value, attempt, { weight: 0.3 });
});

describe('bodies', () => {
  const clock = systemClock;
  const piece = fc.oneof(
    fc.constantFrom(
      '{"key":"YQ=="}',
      '{"range_end":"\\u0059Q==","limit":"5"}',
      ' \n',
      '{}',
      '{"key":',
      '5 ',
      '"a\\"b"',
      '[1,{"a":null}]',
    ),
    fc.string({ maxLength: 5 }),
  );
  const input = fc.tuple(fc.array(piece, { maxLength: 6 }), fc.array(fc.nat(60), { maxLength: 6 }));
  const options = { type: messageType('etcdserverpb.RangeRequest'), maxMessageBytes: 40 };

  /** The messages of a body in pieces and how it ended; the memory for it must all come back. */
  function read(chunks: readonly Buffer[]): { messages: Buffer[]; refusal: string } {
    const limits = { connectionBytes: 10_000, totalBytes: 10_000, stallMs: 1000 };
    const budget = new MemoryBudget({ limits, clock, closing: () => undefined });
    const body = new JsonBody({ ...options, memory: budget.open(() => undefined) });
    const messages: Buffer[] = [];
    let refusal = '';
    try {
      for (const chunk of chunks) {
        body.push(chunk);
        for (let next = body.next(); next !== undefined; next = body.next()) messages.push(next);
      }
      const last = body.end();
      if (last !== undefined) messages.push(last);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      refusal = `${error.code} ${error.message}`;
    }
    body.clear();
    expect(budget.heldBytes).toBe(0);
    return { messages, refusal };
  }

  const attempt = ([pieces, places]: [string[], number[]]): Verdict => {
    const bytes = Buffer.from(pieces.join(''));
    const cuts = [0, ...places.filter((at) => at < bytes.length), bytes.length];
    const ends = cuts.toSorted((a, b) => a - b);
    const chunks = ends.slice(1).map((end, i) => bytes.subarray(ends[i], end));
    const result = read(chunks);
    const whole = read([bytes]);
    expectSame(result.messages, whole.messages);
    // What is too large is told with the part of it that has come.
    if (!whole.refusal.startsWith('8 ')) expect(result.refusal).toBe(whole.refusal);
    return whole.refusal === '' ? 'accepted' : 'refused';
  };
  fuzz('in pieces', input, attempt);
});
