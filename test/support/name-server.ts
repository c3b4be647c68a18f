/** A name server on loopback that knows SRV records and nothing else. */
import { type RemoteInfo, type Socket, createSocket } from 'node:dgram';

export interface ServiceRecord {
  readonly target: string;
  readonly port: number;
  readonly priority?: number;
  readonly weight?: number;
}

/** Response codes (RFC 1035 4.1.1). */
export const ResponseCode = { ok: 0, serverFailure: 2, noSuchName: 3, refused: 5 } as const;

const typeSrv = 33;
const headerBytes = 12;
/** Seconds for which nobody has to ask again. */
const timeToLiveS = 1;

function encodeName(name: string): Buffer {
  const labels = name.split('.').filter((label) => label !== '');
  return Buffer.concat([
    ...labels.map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label)])),
    Buffer.of(0),
  ]);
}

/** The name asked for, in lower case, and the bytes of the whole question. */
function questionOf(message: Buffer): { readonly name: string; readonly bytes: Buffer } {
  const labels: string[] = [];
  let at = headerBytes;
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  // The end of the name, the type and the class.
  return { name: labels.join('.').toLowerCase(), bytes: message.subarray(headerBytes, at + 5) };
}

function encodeRecord({ target, port, priority = 0, weight = 0 }: ServiceRecord): Buffer {
  const name = encodeName(target);
  const record = Buffer.alloc(18);
  // The owner is the name of the question, which begins after the header.
  record.writeUInt16BE(0xc000 | headerBytes, 0);
  record.writeUInt16BE(typeSrv, 2);
  record.writeUInt16BE(1, 4);
  record.writeUInt32BE(timeToLiveS, 6);
  record.writeUInt16BE(6 + name.length, 10);
  record.writeUInt16BE(priority, 12);
  record.writeUInt16BE(weight, 14);
  record.writeUInt16BE(port, 16);
  return Buffer.concat([record, name]);
}

export class NameServer {
  /** Records by name; a name with none is known, one that is missing is not. */
  readonly records = new Map<string, readonly ServiceRecord[]>();
  /** What is answered to names that are missing. */
  missing: number = ResponseCode.noSuchName;
  /** Names asked for. */
  readonly asked: string[] = [];
  readonly #socket: Socket = createSocket('udp4');

  async listen(): Promise<void> {
    this.#socket.on('message', (message, from) => this.#answer(message, from));
    await new Promise<void>((resolve) => this.#socket.bind(0, '127.0.0.1', resolve));
  }

  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.close(resolve));
  }

  #answer(message: Buffer, from: RemoteInfo): void {
    const { name, bytes } = questionOf(message);
    this.asked.push(name);
    const records = this.records.get(name);
    const header = Buffer.alloc(headerBytes);
    message.copy(header, 0, 0, 2);
    // An answer that has authority, to a question that wanted recursion, which is available.
    header.writeUInt16BE(0x8580 | (records === undefined ? this.missing : ResponseCode.ok), 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records?.length ?? 0, 6);
    const answer = Buffer.concat([header, bytes, ...(records ?? []).map(encodeRecord)]);
    this.#socket.send(answer, from.port, from.address);
  }
}
