/** What a command reads and writes: standard streams and the environment. */
import { bytesOf } from './byte-text.ts';

/** Output is handed on when this much has gathered: one write for many small lines. */
const chunkSizeBytes = 64 * 1024;

/** Far more than any server takes as one value; keeps endless input from filling memory. */
const inputMaxBytes = 256 * 1024 * 1024;

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where output goes; resolves when it is out. */
export type Write = (bytes: Uint8Array) => Promise<void>;

class InputTooLarge extends Error {
  override readonly name = 'InputTooLarge';
}

export class Terminal {
  readonly environment: Environment;
  /** Name servers to ask, as `address:port`; those of the system if undefined. */
  readonly nameServers: readonly string[] | undefined;
  readonly #input: AsyncIterator<Uint8Array>;
  /** Input that was read and not used yet. */
  #rest: Uint8Array = new Uint8Array();
  readonly #write: Write;
  readonly #warn: (text: string) => void;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #flushed: Promise<void> = Promise.resolve();

  constructor(parts: {
    readonly environment: Environment;
    readonly nameServers?: readonly string[];
    readonly input: AsyncIterable<Uint8Array>;
    readonly write: Write;
    readonly warn: (text: string) => void;
  }) {
    this.environment = parts.environment;
    this.nameServers = parts.nameServers;
    this.#input = parts.input[Symbol.asyncIterator]();
    this.#write = parts.write;
    this.#warn = parts.warn;
  }

  bytes(bytes: Uint8Array): void {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes >= chunkSizeBytes) void this.flush();
  }

  line(text = ''): void {
    this.bytes(bytesOf(`${text}\n`));
  }

  /** A line on standard error. */
  warn = (text: string): void => this.#warn(`${text}\n`);

  /** Text on standard error without an end of line. */
  prompt(text: string): void {
    this.#warn(text);
  }

  /** Resolves when all output so far is out. */
  flush(): Promise<void> {
    if (this.#waitingBytes > 0) {
      const bytes = Buffer.concat(this.#waiting);
      this.#waiting = [];
      this.#waitingBytes = 0;
      this.#flushed = this.#flushed.then(() => this.#write(bytes));
      // Whoever waits for the flush learns of a failure; nobody may be waiting yet.
      this.#flushed.catch(() => undefined);
    }
    return this.#flushed;
  }

  /** All input that is left. */
  async readAll(): Promise<Uint8Array> {
    const parts = [this.#rest];
    let sizeBytes = this.#rest.length;
    this.#rest = new Uint8Array();
    for (;;) {
      const next = await this.#input.next();
      if (next.done === true) return Buffer.concat(parts);
      sizeBytes += next.value.length;
      if (sizeBytes > inputMaxBytes) throw new InputTooLarge('standard input is too large');
      parts.push(next.value);
    }
  }

  /**
   * The next line without its end, undefined if there is none: what follows the last end is not a
   * line, and etcdctl's neither. {@link readAll} has it.
   */
  async readLine(): Promise<Uint8Array | undefined> {
    const parts: Uint8Array[] = [];
    let sizeBytes = 0;
    for (let part = this.#rest; ;) {
      const end = part.indexOf(10);
      if (end >= 0) {
        this.#rest = part.subarray(end + 1);
        return Buffer.concat([...parts, part.subarray(0, end)]);
      }
      parts.push(part);
      sizeBytes += part.length;
      if (sizeBytes > inputMaxBytes) throw new InputTooLarge('a line of input is too long');
      const next = await this.#input.next();
      if (next.done === true) {
        this.#rest = Buffer.concat(parts);
        return undefined;
      }
      part = next.value;
    }
  }

  async *lines(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const line = await this.readLine();
      if (line === undefined) return;
      yield line;
    }
  }
}
