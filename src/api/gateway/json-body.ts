/** The JSON values of a request's body, one after the other, out of limited memory. */
import { StatusCode, StatusError } from '../../base/errors.ts';
import type { ConnectionMemory } from '../grpc/connection-memory.ts';
import { PartialMessage, tooManyIncomplete } from '../grpc/partial-message.ts';
import { JsonMessageError } from './json-cursor.ts';
import { isSpace } from './json-bytes.ts';
import { JsonScanner, JsonSyntaxError } from './json-scanner.ts';
import { encodeJson } from './json-to-wire.ts';
import type { MessageType } from './message-type.ts';

/**
 * Bytes of JSON for each byte of the largest message: base64 takes a third more, and the rest is
 * for names, spaces and fields that are not known.
 */
const jsonBytesPerByte = 2;

/** The largest value as JSON, by the largest message on the wire. */
export function maxJsonBytes(maxMessageBytes: number): number {
  return jsonBytesPerByte * maxMessageBytes;
}

export interface JsonBodyOptions {
  readonly memory: ConnectionMemory;
  readonly type: MessageType;
  /** The largest message on the wire. */
  readonly maxMessageBytes: number;
}

export class JsonBody {
  readonly #options: JsonBodyOptions;
  readonly #scanner = new JsonScanner();
  /** What has come of a value. */
  readonly #partial: PartialMessage;
  #chunk: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(options: JsonBodyOptions) {
    this.#options = options;
    this.#partial = new PartialMessage(options.memory);
  }

  /** Adds bytes; those before them have been read. */
  push(chunk: Buffer): void {
    this.#chunk = this.#chunk.subarray(this.#at);
    this.#chunk = this.#chunk.length === 0 ? chunk : Buffer.concat([this.#chunk, chunk]);
    this.#at = 0;
  }

  /**
   * The next value as a message on the wire, undefined if it has not come whole.
   * @throws StatusError `invalidArgument` for what is no such message, `resourceExhausted` for what
   *   is too large
   */
  next(): Buffer | undefined {
    return this.#refusing(() => {
      this.#skipSpace();
      const end = this.#scanner.scan(this.#chunk, this.#at);
      const piece = this.#chunk.subarray(this.#at, end);
      this.#at = end ?? this.#chunk.length;
      this.#checkSize(this.#partial.length + piece.length, this.#jsonBytesMax);
      if (end !== undefined && this.#partial.length === 0) return this.#encode(piece);
      if (end !== undefined || this.#scanner.isInside) this.#keep(piece);
      return end === undefined ? undefined : this.#encode(this.#partial.take());
    });
  }

  /** The value that ends with the body, undefined if there is none. Throws as {@link next} does. */
  end(): Buffer | undefined {
    return this.#refusing(() => {
      return this.#scanner.end() ? this.#encode(this.#partial.take()) : undefined;
    });
  }

  /** Forgets what has come. */
  clear(): void {
    this.#partial.clear();
    this.#chunk = Buffer.alloc(0);
    this.#at = 0;
  }

  /** Places in refusals are counted from where the value begins. */
  #skipSpace(): void {
    if (this.#scanner.isInside) return;
    while (isSpace(this.#chunk[this.#at] ?? 0)) this.#at++;
  }

  get #jsonBytesMax(): number {
    return maxJsonBytes(this.#options.maxMessageBytes);
  }

  #keep(piece: Buffer): void {
    if (this.#partial.append(piece)) return;
    throw new StatusError(tooManyIncomplete.code, tooManyIncomplete.details);
  }

  #encode(json: Buffer): Buffer {
    const message = encodeJson(json, this.#options.type);
    this.#checkSize(message.length, this.#options.maxMessageBytes);
    return message;
  }

  #checkSize(bytes: number, max: number): void {
    if (bytes <= max) return;
    const text = `grpc: received message larger than max (${bytes} vs. ${max})`;
    throw new StatusError(StatusCode.resourceExhausted, text);
  }

  #refusing<Result>(read: () => Result): Result {
    try {
      return read();
    } catch (error) {
      if (error instanceof JsonSyntaxError || error instanceof JsonMessageError) {
        throw new StatusError(StatusCode.invalidArgument, error.message);
      }
      throw error;
    }
  }
}
