/** Messages of every type of the generated code, from its own descriptors. */
import fc from 'fast-check';
import protobuf from 'protobufjs';
import type { Codec } from '../../src/base/wire.ts';
import { modules, type Plain, root } from '../support/generated-modules.ts';

/** Messages within messages end here: deeper ones are tried by hand. */
const depthMax = 4;

const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(0n, 1n, -1n, 2n ** 31n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)),
  fc.bigInt({ min: 0n, max: 300n }),
);
const scalars: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  bytes: fc.uint8Array({ maxLength: 40 }),
  string: fc.string({ unit: 'grapheme', maxLength: 12 }),
  bool: fc.boolean(),
  uint32: fc.nat(0xffff_ffff),
  int32: fc.integer(),
  int64: int64.map(String),
  uint64: int64.map((value) => BigInt.asUintN(64, value).toString()),
};

function valueOf(field: protobuf.Field, depth: number): fc.Arbitrary<unknown> {
  const type = field.resolvedType;
  if (type instanceof protobuf.Type) return objectOf(type, depth + 1);
  if (type instanceof protobuf.Enum) return fc.constantFrom(0, 1, 2, 77);
  const found = scalars[field.type];
  if (found === undefined) throw new Error(`no values for fields of type ${field.type}`);
  return found;
}

/** Objects as protobufjs takes them. */
function objectOf(type: protobuf.Type, depth: number): fc.Arbitrary<Plain> {
  const parts: Record<string, fc.Arbitrary<unknown>> = {};
  for (const field of type.fieldsArray) {
    if (depth >= depthMax && field.resolvedType instanceof protobuf.Type) continue;
    const value = valueOf(field, depth);
    if (field.partOf === null) parts[field.name] = field.repeated ? lists(value) : value;
  }
  const plain = fc.record(parts, { requiredKeys: [] });
  const choices = type.oneofsArray.map((oneof) =>
    fc.oneof(
      fc.constant({}),
      ...oneof.fieldsArray
        .filter((field) => depth < depthMax || !(field.resolvedType instanceof protobuf.Type))
        .map((field) => valueOf(field, depth).map((value) => ({ [field.name]: value }))),
    ),
  );
  return fc.tuple(plain, ...choices).map((all) => Object.assign({}, ...all) as Plain);
}

function lists(value: fc.Arbitrary<unknown>): fc.Arbitrary<unknown[]> {
  return fc.array(value, { maxLength: 3 });
}

export interface MessageType {
  readonly name: string;
  readonly codec: Codec<unknown>;
  /** Encoded by protobufjs, so that the codec under test meets another's bytes. */
  readonly bytes: fc.Arbitrary<Uint8Array>;
}

function codecOf(name: string): Codec<unknown> {
  for (const [packageName, module] of modules) {
    const short = name.slice(packageName.length + 1);
    const found = name.startsWith(`${packageName}.`) ? module[short] : undefined;
    if (found !== undefined) return found as Codec<unknown>;
  }
  throw new Error(`no codec for ${name}`);
}

function typesIn(namespace: protobuf.NamespaceBase): protobuf.Type[] {
  const types: protobuf.Type[] = namespace instanceof protobuf.Type ? [namespace] : [];
  for (const object of namespace.nestedArray) {
    if (object instanceof protobuf.Namespace) types.push(...typesIn(object));
  }
  return types;
}

export const messageTypes: readonly MessageType[] = typesIn(root).map((type) => {
  const name = type.fullName.slice(1);
  const bytes = objectOf(type, 0).map((object) => type.encode(type.fromObject(object)).finish());
  return { name, codec: codecOf(name), bytes };
});
