/** What clients send, and what a log entry carries: every message of the generated code. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AssertionFailure } from '../../src/base/assert.ts';
import { WireError, nestingMax } from '../../src/base/wire.ts';
import { decodeCommand, encodeCommand, type Command } from '../../src/apply/request.ts';
import {
  CompactionRequest,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  TxnRequest,
} from '../../src/gen/rpc.ts';
import { ClusterMemberAttrSetRequest } from '../../src/gen/raft-internal.ts';
import { decoded, expectSame, fuzz, weightOf, type Verdict } from './fuzz.ts';
import { messageTypes } from './messages.ts';
import { edits, mutate, type Edit } from './mutation.ts';

/** Two bytes on the wire make an empty message, which has its fields' defaults. */
const partsPerByte = 20;
const partsOfNothing = 100;

/** Every type has its share: there are some hundred. */
const weight = 0.05;

describe('messages', () => {
  for (const { name, codec, bytes } of messageTypes) {
    const attempt = ([whole, changes]: [Uint8Array, readonly Edit[]]): Verdict => {
      const message = codec.decode(whole);
      expectSame(codec.decode(Buffer.from(codec.encode(message))), message);
      const damaged = mutate(whole, changes);
      const found = decoded(() => codec.decode(damaged), WireError);
      if (found === undefined) return 'refused';
      expect(weightOf(found)).toBeLessThan(partsPerByte * damaged.length + partsOfNothing);
      // What was understood can be passed on: to the log, to another member, to a client.
      expectSame(codec.decode(Buffer.from(codec.encode(found))), found);
      return 'accepted';
    };
    fuzz(name, fc.tuple(bytes, edits), attempt, { weight, expects: [] });
  }
});

describe('random bytes', () => {
  const attempt = (bytes: Uint8Array): Verdict => {
    let verdict: Verdict = 'refused';
    for (const { codec } of messageTypes) {
      if (decoded(() => codec.decode(bytes), WireError) !== undefined) verdict = 'accepted';
    }
    return verdict;
  };
  fuzz('any message', fc.uint8Array({ maxLength: 64 }), attempt, { weight: 0.5 });
});

const bytesOf = (type: string): fc.Arbitrary<Uint8Array> =>
  messageTypes.find(({ name }) => name === `etcdserverpb.${type}`)?.bytes ??
  fc.constant(Buffer.of());

const command: fc.Arbitrary<Command> = fc.oneof(
  bytesOf('PutRequest').map((b) => ({ case: 'put' as const, value: PutRequest.decode(b) })),
  bytesOf('DeleteRangeRequest').map((b) => ({
    case: 'deleteRange' as const,
    value: DeleteRangeRequest.decode(b),
  })),
  bytesOf('TxnRequest').map((b) => ({ case: 'txn' as const, value: TxnRequest.decode(b) })),
  bytesOf('CompactionRequest').map((b) => ({
    case: 'compaction' as const,
    value: CompactionRequest.decode(b),
  })),
  bytesOf('ClusterMemberAttrSetRequest').map((b) => ({
    case: 'clusterMemberAttrSet' as const,
    value: ClusterMemberAttrSetRequest.decode(b),
  })),
);

describe('commands of the log', () => {
  const id = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  const attempt = ([number, value, changes]: [bigint, Command, readonly Edit[]]): Verdict => {
    const bytes = Buffer.from(encodeCommand(number, value));
    expectSame(decodeCommand(bytes), { id: number, command: value });
    // The log's checksums find damage first; what gets past them must stop the member, not mislead.
    const found = decoded(() => decodeCommand(mutate(bytes, changes)), WireError, AssertionFailure);
    return found === undefined ? 'refused' : 'accepted';
  };
  fuzz('InternalRaftRequest', fc.tuple(id, command, edits), attempt, { weight: 0.5 });
});

describe('nesting', () => {
  /** A transaction in a transaction, so many times: built from the inside, as bytes. */
  function nested(levels: number): Buffer {
    const length = (size: number): number[] => {
      const digits: number[] = [];
      for (; size >= 0x80; size = Math.floor(size / 0x80)) digits.push((size & 0x7f) | 0x80);
      return [...digits, size];
    };
    let inner: Buffer = Buffer.of();
    for (let level = 0; level < levels; level++) {
      const operation = Buffer.concat([Buffer.of(0x22, ...length(inner.length)), inner]);
      inner = Buffer.concat([Buffer.of(0x12, ...length(operation.length)), operation]);
    }
    return inner;
  }

  test('is followed as far as it is allowed, and refused beyond', () => {
    const deepest = nested(nestingMax / 2);
    const message = TxnRequest.decode(deepest);
    expect(Buffer.from(TxnRequest.encode(message))).toEqual(deepest);
    expect(() => TxnRequest.decode(nested(nestingMax / 2 + 1))).toThrow(WireError);
    expect(() => TxnRequest.decode(nested(20_000))).toThrow(WireError);
  });

  test('of groups that are not known is refused before the stack ends', () => {
    const open = Buffer.alloc(1_000_000, 0xa3);
    expect(() => RangeRequest.decode(open)).toThrow(WireError);
  });
});
