/**
 * Changes of membership as bytes, in the wire format of etcd's raftpb (ConfChangeV2, and the older
 * ConfChange of one member), so that etcd's tools can read our logs and we theirs.
 */
import {
  ConfChangeTransition,
  ConfChangeType,
  type ConfChange,
  type ConfChangeSingle,
  type MemberId,
} from '../types.ts';
import { ConfChangeError } from './error.ts';

/** Larger contexts than this never come from us: a change carries addresses, not data. */
export const confChangeSizeLimitBytes = 1024 * 1024;

/** The older form, which names one member. `id` is the host's and has no meaning here. */
export interface ConfChangeV1 extends ConfChangeSingle {
  readonly id: bigint;
  readonly context: Uint8Array;
}

const varintWire = 0;
const bytesWire = 2;
const emptyBytes = new Uint8Array(0);

/** Encodes a ConfChangeV2. The change that leaves a joint configuration has no bytes at all. */
export function encodeConfChange(change: ConfChange): Uint8Array {
  const bytes: number[] = [];
  if (change.transition !== ConfChangeTransition.auto) writeInteger(bytes, 1, change.transition);
  for (const { type, member } of change.changes) {
    const nested: number[] = [];
    writeInteger(nested, 1, type);
    writeInteger(nested, 2, member);
    writeBytes(bytes, 2, nested);
  }
  if (change.context.length > 0) writeBytes(bytes, 3, change.context);
  return Uint8Array.from(bytes);
}

export function decodeConfChange(bytes: Uint8Array): ConfChange {
  let transition: ConfChangeTransition = ConfChangeTransition.auto;
  const changes: ConfChangeSingle[] = [];
  let context = emptyBytes;
  readFields(bytes, (field, value) => {
    if (field === 1) transition = enumValue(ConfChangeTransition, value);
    else if (field === 2) changes.push(decodeSingle(lengthDelimited(value)));
    else if (field === 3) context = lengthDelimited(value).slice();
  });
  return { transition, changes, context };
}

/** Encodes a ConfChange of one member as etcd 3.6 writes it: every number, even if it is zero. */
export function encodeConfChangeV1(change: ConfChangeV1): Uint8Array {
  const bytes: number[] = [];
  writeInteger(bytes, 1, change.id);
  writeInteger(bytes, 2, change.type);
  writeInteger(bytes, 3, change.member);
  if (change.context.length > 0) writeBytes(bytes, 4, change.context);
  return Uint8Array.from(bytes);
}

export function decodeConfChangeV1(bytes: Uint8Array): ConfChangeV1 {
  let id = 0n;
  let type: ConfChangeType = ConfChangeType.addVoter;
  let member: MemberId = 0n;
  let context = emptyBytes;
  readFields(bytes, (field, value) => {
    if (field === 1) id = integer(value);
    else if (field === 2) type = enumValue(ConfChangeType, value);
    else if (field === 3) member = integer(value);
    else if (field === 4) context = lengthDelimited(value).slice();
  });
  return { id, type, member, context };
}

/** The same change in the newer form. */
export function fromConfChangeV1(change: ConfChangeV1): ConfChange {
  return {
    transition: ConfChangeTransition.auto,
    changes: [{ type: change.type, member: change.member }],
    context: change.context,
  };
}

function decodeSingle(bytes: Uint8Array): ConfChangeSingle {
  let type: ConfChangeType = ConfChangeType.addVoter;
  let member: MemberId = 0n;
  readFields(bytes, (field, value) => {
    if (field === 1) type = enumValue(ConfChangeType, value);
    else if (field === 2) member = integer(value);
  });
  return { type, member };
}

function writeInteger(bytes: number[], field: number, value: number | bigint): void {
  bytes.push(field * 8 + varintWire);
  writeVarint(bytes, BigInt(value));
}

function writeBytes(bytes: number[], field: number, value: ArrayLike<number>): void {
  bytes.push(field * 8 + bytesWire);
  writeVarint(bytes, BigInt(value.length));
  for (let index = 0; index < value.length; index++) bytes.push(value[index] ?? 0);
}

function writeVarint(bytes: number[], value: bigint): void {
  let rest = BigInt.asUintN(64, value);
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) + 0x80);
  bytes.push(Number(rest));
}

type FieldValue = bigint | Uint8Array;

/** Calls back for every field of the two wire types in use; fields of other types are skipped. */
function readFields(bytes: Uint8Array, callback: (field: number, value: FieldValue) => void): void {
  if (bytes.length > confChangeSizeLimitBytes) malformed('it is too long');
  let offset = 0;
  const skip = (length: number): number => {
    const from = offset;
    if (length > bytes.length - from) malformed('it ends early');
    offset += length;
    return from;
  };
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[skip(1)] ?? 0;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    return malformed('a number has more than ten bytes');
  };
  while (offset < bytes.length) {
    const tag = varint();
    const field = Number(tag >> 3n);
    const wire = Number(tag & 7n);
    if (field === 0 || field >= 2 ** 29) malformed('a field number is out of range');
    if (wire === varintWire) {
      callback(field, varint());
    } else if (wire === bytesWire) {
      const from = skip(Number(varint()));
      callback(field, bytes.subarray(from, offset));
    } else if (wire === 1 || wire === 5) {
      skip(wire === 1 ? 8 : 4);
    } else {
      malformed('a field has an unknown wire type');
    }
  }
}

function integer(value: FieldValue): bigint {
  return typeof value === 'bigint' ? value : malformed('a number was expected');
}

function lengthDelimited(value: FieldValue): Uint8Array {
  return typeof value === 'bigint' ? malformed('bytes were expected') : value;
}

function enumValue<Value extends number>(
  known: Readonly<Record<string, Value>>,
  value: FieldValue,
): Value {
  const number = Number(integer(value));
  const found = Object.values(known).find((each) => each === number);
  // A change that we do not understand must stop the member: others may have applied it.
  return found ?? malformed(`${number} has no meaning`);
}

function malformed(why: string): never {
  throw new ConfChangeError(`cannot read a change of membership: ${why}`);
}
