/**
 * From the wire to JSON, as protojson writes it with `UseProtoNames`: fields without a value are
 * left out, 64-bit integers stand in quotes, bytes are base64, enums are names.
 */
import { buffer } from '../../base/bytes.ts';
import { AssertionFailure } from '../../base/assert.ts';
import { Reader } from '../../base/wire.ts';
import { JsonText } from './json-text.ts';
import type { FieldType, MessageType } from './message-type.ts';

const lengthDelimited = 2;
/** Longer messages are written piece by piece; shorter ones at once, which is faster. */
const largeBytes = 64 * 1024;

/**
 * The JSON of an encoded message in pieces, each made when it is asked for.
 * @param message made by the codecs of this project, which write the values of a field together
 */
export function* jsonPieces(
  message: Uint8Array,
  type: MessageType,
  before = '',
  after = '',
): Generator<Buffer, void, undefined> {
  const text = new JsonText();
  text.ascii(before);
  const reader = new Reader(message);
  if (message.length < largeBytes) writeMessage(reader, type, text);
  else yield* largeMessage(reader, type, text);
  text.ascii(after);
  yield* text.finish();
}

/** The JSON of an encoded message in one piece. */
export function jsonOf(
  message: Uint8Array,
  type: MessageType,
  before?: string,
  after?: string,
): Buffer {
  const pieces = [...jsonPieces(message, type, before, after)];
  const [only] = pieces;
  return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces);
}

/** What stands between the fields of an object, and the list that is open, if one is. */
class ObjectText {
  readonly #text: JsonText;
  #isFirst = true;
  #list: FieldType | undefined;

  constructor(text: JsonText) {
    this.#text = text;
    text.ascii('{');
  }

  /** Makes ready for a value of the field. */
  begin(field: FieldType): void {
    if (this.#list === field) {
      this.#text.ascii(',');
      return;
    }
    this.#closeList();
    this.#text.ascii(this.#isFirst ? `"${field.name}":` : `,"${field.name}":`);
    this.#isFirst = false;
    if (!field.isRepeated) return;
    this.#text.ascii('[');
    this.#list = field;
  }

  end(): void {
    this.#closeList();
    this.#text.ascii('}');
  }

  #closeList(): void {
    if (this.#list !== undefined) this.#text.ascii(']');
    this.#list = undefined;
  }
}

function* largeMessage(
  reader: Reader,
  type: MessageType,
  text: JsonText,
): Generator<Buffer, void, undefined> {
  const object = new ObjectText(text);
  while (reader.at < reader.end) {
    const tag = reader.tag();
    const field = type.fields.get(tag >>> 3);
    if (field?.message === undefined) {
      writeField(reader, tag, field, object, text);
    } else {
      object.begin(field);
      const outer = reader.enter();
      if (reader.end - reader.at < largeBytes) writeMessage(reader, field.message, text);
      else yield* largeMessage(reader, field.message, text);
      reader.leave(outer);
    }
    if (text.isFull) yield* text.take();
  }
  object.end();
}

function writeMessage(reader: Reader, type: MessageType, text: JsonText): void {
  const object = new ObjectText(text);
  while (reader.at < reader.end) {
    const tag = reader.tag();
    writeField(reader, tag, type.fields.get(tag >>> 3), object, text);
  }
  object.end();
}

function writeField(
  reader: Reader,
  tag: number,
  field: FieldType | undefined,
  object: ObjectText,
  text: JsonText,
): void {
  if (field === undefined) {
    reader.skip(tag);
    return;
  }
  if (field.message !== undefined) {
    object.begin(field);
    const outer = reader.enter();
    writeMessage(reader, field.message, text);
    reader.leave(outer);
    return;
  }
  const isPacked =
    (tag & 7) === lengthDelimited && field.kind !== 'bytes' && field.kind !== 'string';
  if (!isPacked) {
    object.begin(field);
    writeScalar(reader, field, text);
    return;
  }
  const outer = reader.enter();
  while (reader.at < reader.end) {
    object.begin(field);
    writeScalar(reader, field, text);
  }
  reader.leave(outer);
}

function writeScalar(reader: Reader, field: FieldType, text: JsonText): void {
  switch (field.kind) {
    case 'bool':
      text.ascii(reader.bool() ? 'true' : 'false');
      break;
    case 'bytes':
      text.ascii(`"${buffer(reader.bytes()).toString('base64')}"`);
      break;
    case 'string':
      text.string(reader.string());
      break;
    case 'int32':
      text.ascii(String(reader.int32()));
      break;
    case 'uint32':
      text.ascii(String(reader.uint32()));
      break;
    case 'int64':
      text.ascii(`"${reader.int64()}"`);
      break;
    case 'uint64':
      text.ascii(`"${reader.uint64()}"`);
      break;
    case 'enum': {
      const value = reader.int32();
      const name = field.enumeration?.names.get(value);
      text.ascii(name === undefined ? String(value) : `"${name}"`);
      break;
    }
    case 'message':
      throw new AssertionFailure('a message is not a scalar');
  }
}
