/** Types of messages, linked so that a field leads to the type of its value. */
import { assert } from '../../base/assert.ts';
import type { FieldKind, FieldSchema } from '../../base/schema.ts';
import { schemas } from '../../gen/schemas.ts';

export interface EnumType {
  readonly numbers: ReadonlyMap<string, number>;
  readonly names: ReadonlyMap<number, string>;
}

export interface FieldType {
  /** As in proto/, and as answers show it. */
  readonly name: string;
  /** The other name that requests may use, e.g. `createRevision`. */
  readonly jsonName: string;
  readonly number: number;
  readonly kind: FieldKind;
  readonly isRepeated: boolean;
  readonly oneof: string | undefined;
  /** The type of a field of kind message. */
  readonly message: MessageType | undefined;
  /** The type of a field of kind enum. */
  readonly enumeration: EnumType | undefined;
}

export class MessageType {
  readonly fields = new Map<number, FieldType>();
  /** Under both names. */
  readonly fieldsByName = new Map<string, FieldType>();
}

/** Request and answer of a method. */
export interface MethodTypes {
  readonly request: MessageType;
  readonly response: MessageType;
}

const messages = new Map<string, MessageType>();
const enums = new Map<string, EnumType>();

/** The name that protoc gives a field in JSON. */
function jsonNameOf(name: string): string {
  return name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function fieldOf(schema: FieldSchema): FieldType {
  const { name, number, kind, type = '' } = schema;
  return {
    name,
    jsonName: jsonNameOf(name),
    number,
    kind,
    isRepeated: schema.repeated ?? false,
    oneof: schema.oneof,
    message: kind === 'message' ? messageType(type) : undefined,
    enumeration: kind === 'enum' ? enumType(type) : undefined,
  };
}

function enumType(name: string): EnumType {
  const found = enums.get(name);
  if (found !== undefined) return found;
  const values = schemas.enums[name];
  assert(values !== undefined, `no enum ${name}`);
  const numbers = new Map(Object.entries(values));
  const names = new Map([...numbers].map(([key, value]) => [value, key]));
  const made = { numbers, names };
  enums.set(name, made);
  return made;
}

/** The type with a full name such as `etcdserverpb.PutRequest`. */
export function messageType(name: string): MessageType {
  const found = messages.get(name);
  if (found !== undefined) return found;
  const fields = schemas.messages[name];
  assert(fields !== undefined, `no message ${name}`);
  const made = new MessageType();
  // Before its fields: messages contain themselves.
  messages.set(name, made);
  for (const field of fields.map(fieldOf)) {
    made.fields.set(field.number, field);
    made.fieldsByName.set(field.name, field);
    made.fieldsByName.set(field.jsonName, field);
  }
  return made;
}

/** The types of the method at a path such as `/etcdserverpb.KV/Put`. */
export function methodTypes(path: string): MethodTypes {
  const types = schemas.methods[path];
  assert(types !== undefined, `no method ${path}`);
  const [request, response] = types;
  return { request: messageType(request), response: messageType(response) };
}
