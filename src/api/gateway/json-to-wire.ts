/**
 * From JSON to the wire, as protojson reads it (protobuf-go: encoding/protojson/decode.go) with
 * unknown fields discarded. Written by hand over the project's own codec: what JSON libraries make
 * of a message loses integers beyond 2^53 and forgives what protojson refuses.
 */
import { nestingMax, sharedWriter, type Writer } from '../../base/wire.ts';
import { JsonCursor, JsonMessageError } from './json-cursor.ts';
import { integerRanges, integerWithin } from './json-integer.ts';
import type { FieldType, MessageType } from './message-type.ts';

/** Wire types (protobuf.dev: encoding). */
const varint = 0;
const lengthDelimited = 2;

/**
 * Encodes one JSON value as a message.
 * @param json a whole value that a scanner has passed
 * @throws JsonMessageError
 */
export function encodeJson(json: Buffer, type: MessageType): Buffer {
  // A copy, because the writer's results share memory, and parts of a request are kept for long.
  return Buffer.from(new Encoding(json).encode(type));
}

class Encoding {
  readonly #json: JsonCursor;
  readonly #writer: Writer = sharedWriter.reset();
  #depth = 0;

  constructor(json: Buffer) {
    this.#json = new JsonCursor(json);
  }

  encode(type: MessageType): Uint8Array {
    this.#message(type);
    return this.#writer.finish();
  }

  #message(type: MessageType): void {
    const json = this.#json;
    if (++this.#depth > nestingMax) throw new JsonMessageError('exceeded max recursion depth');
    const { kind, at } = json.peek();
    if (kind !== 'object') throw json.unexpected(at);
    json.open();
    const seen = new Set<FieldType | string>();
    while (json.next()) {
      const name = json.peek();
      const field = type.fieldsByName.get(json.name());
      if (field === undefined) {
        json.skip();
        continue;
      }
      if (seen.has(field)) {
        throw json.error(name.at, `duplicate field ${json.shown(name.at)}`);
      }
      seen.add(field);
      if (json.peek().kind === 'null') {
        json.skip();
        continue;
      }
      const { oneof } = field;
      if (oneof !== undefined && seen.has(oneof)) {
        const shown = json.shown(name.at);
        throw json.error(name.at, `error parsing ${shown}, oneof ${oneof} is already set`);
      }
      if (oneof !== undefined) seen.add(oneof);
      if (field.isRepeated) this.#list(field);
      else this.#value(field);
    }
    this.#depth--;
  }

  #list(field: FieldType): void {
    const json = this.#json;
    const { kind, at } = json.peek();
    if (kind !== 'array') throw json.unexpected(at);
    json.open();
    while (json.next()) this.#value(field);
  }

  #value(field: FieldType): void {
    const { message, number } = field;
    if (message === undefined) {
      this.#scalar(field);
      return;
    }
    const opened = this.#writer.open(number * 8 + lengthDelimited);
    this.#message(message);
    this.#writer.close(opened);
  }

  #scalar(field: FieldType): void {
    const { at } = this.#json.peek();
    const isTaken = this.#take(field);
    if (isTaken) return;
    const { kind, jsonName } = field;
    const shown = this.#json.shown(at);
    throw this.#json.error(at, `invalid value for ${kind} field ${jsonName}: ${shown}`);
  }

  /** Writes the next value if it fits the field. */
  #take(field: FieldType): boolean {
    const json = this.#json;
    const { kind } = json.peek();
    const tag = field.number * 8;
    switch (field.kind) {
      case 'bool':
        if (kind !== 'true' && kind !== 'false') return false;
        json.skip();
        this.#writer.bool(tag + varint, kind === 'true');
        return true;
      case 'string':
        if (kind !== 'string') return false;
        this.#writer.string(tag + lengthDelimited, json.string());
        return true;
      case 'bytes': {
        const bytes = kind === 'string' ? base64Bytes(json.string()) : undefined;
        if (bytes === undefined) return false;
        this.#writer.bytes(tag + lengthDelimited, bytes);
        return true;
      }
      case 'enum':
        return this.#enum(field, tag + varint);
      case 'message':
        return false;
      case 'int32':
      case 'int64':
      case 'uint32':
      case 'uint64': {
        const text = this.#numberText();
        const value = text === undefined ? text : integerWithin(text, integerRanges[field.kind]);
        if (value === undefined) return false;
        this.#writer.bigint(tag + varint, value);
        return true;
      }
    }
  }

  /** The text of a number, which may stand in quotes. */
  #numberText(): string | undefined {
    const { kind } = this.#json.peek();
    if (kind === 'number') return this.#json.number();
    return kind === 'string' ? this.#json.string() : undefined;
  }

  /** A name that is not known counts as no value, as unknown fields do. */
  #enum({ enumeration }: FieldType, tag: number): boolean {
    const json = this.#json;
    const { kind } = json.peek();
    if (kind === 'string') {
      const value = enumeration?.numbers.get(json.string());
      if (value !== undefined) this.#writer.number(tag, value);
      return true;
    }
    const value = kind === 'number' ? integerWithin(json.number(), integerRanges.int32) : undefined;
    if (value === undefined) return false;
    this.#writer.number(tag, Number(value));
    return true;
  }
}

/** Base64 of either alphabet, with padding or without; undefined if it is neither. */
function base64Bytes(text: string): Buffer | undefined {
  const digits = text.replaceAll(/[\r\n]/g, '');
  const isUrl = /[-_]/.test(digits);
  const pattern = isUrl ? /^[\w-]*={0,2}$/ : /^[A-Za-z0-9+/]*={0,2}$/;
  if (!pattern.test(digits)) return undefined;
  const padding = digits.length - digits.replace(/=+$/, '').length;
  if (padding > 0 ? digits.length % 4 !== 0 : digits.length % 4 === 1) return undefined;
  return Buffer.from(digits, isUrl ? 'base64url' : 'base64');
}
