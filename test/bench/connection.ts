/** A gRPC client over Node's HTTP/2 with as little in between as there can be. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
} from 'node:http2';
import type { Codec, MethodDefinition } from '../../src/base/wire.ts';
import { encoded, frameHeaderBytes, framed } from './requests.ts';

/** Room for answers under way: the default of 64 KiB would make servers wait. */
const windowBytes = 16 * 1024 * 1024;

const headersOf = (path: string): Record<string, string> => ({
  ':method': 'POST',
  ':path': path,
  'content-type': 'application/grpc',
  te: 'trailers',
});

/** Takes messages out of a stream of frames. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  *read(chunk: Buffer): Generator<Buffer> {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= frameHeaderBytes) {
      const end = frameHeaderBytes + bytes.readUInt32BE(1);
      if (bytes.length < end) break;
      yield bytes.subarray(frameHeaderBytes, end);
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes;
  }
}

/** Both sides' messages of one streaming call. */
export interface Duplex<Request> {
  send(request: Partial<Request>): void;
}

export class Connection {
  readonly #session: ClientHttp2Session;
  #failure: Error | undefined;
  /** By us. */
  #closed = false;

  private constructor(session: ClientHttp2Session) {
    this.#session = session;
    session.on('error', (error: Error) => {
      this.#failure = error;
    });
  }

  static async open(address: string): Promise<Connection> {
    const session = connect(`http://${address}`, { settings: { initialWindowSize: windowBytes } });
    const connection = new Connection(session);
    await new Promise<void>((resolve, reject) => {
      // Not before the server has said how many streams it takes.
      session.once('remoteSettings', () => resolve());
      session.once('error', reject);
    });
    session.setLocalWindowSize(windowBytes);
    return connection;
  }

  /** @throws Error unless the answer is one message with grpc-status 0 */
  async unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Partial<Request>,
  ): Promise<Response> {
    return method.response.decode(await this.call(method.path, framedOf(method.request, request)));
  }

  /** As `unary`, of bytes: the request in its frame, the answer out of it. */
  call(path: string, frame: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      const stream = this.#session.request(headersOf(path));
      const chunks: Buffer[] = [];
      const outcome = statusOf(stream);
      let ended = false;
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', reject);
      // A connection that is lost ends its streams without a word.
      stream.on('close', () => {
        if (!ended) reject(new Error(`${path}: the connection was lost`));
      });
      stream.on('end', () => {
        ended = true;
        const status = outcome();
        const bytes = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
        const [message, ...more] = new FrameReader().read(bytes);
        if (/^0( |$)/.test(status) && message !== undefined && more.length === 0) resolve(message);
        else reject(new Error(`${path}: grpc-status ${status}, ${bytes.length} bytes`));
      });
      stream.end(frame);
    });
  }

  /** A streaming call; `failed` is told when it ends before the connection is closed. */
  duplex<Request, Response>(
    method: MethodDefinition<Request, Response>,
    receive: (response: Response) => void,
    failed: (error: Error) => void,
  ): Duplex<Request> {
    const stream = this.#session.request(headersOf(method.path));
    const reader = new FrameReader();
    const outcome = statusOf(stream);
    stream.on('data', (chunk: Buffer) => {
      for (const message of reader.read(chunk)) receive(method.response.decode(message));
    });
    stream.on('error', failed);
    stream.on('close', () => {
      if (!this.#closed) failed(new Error(`${method.path}: ended, grpc-status ${outcome()}`));
    });
    return { send: (request) => void stream.write(framedOf(method.request, request)) };
  }

  close(): void {
    this.#closed = true;
    this.#session.destroy();
  }
}

function framedOf<T>(codec: Codec<T>, message: Partial<T>): Buffer {
  return framed(encoded(codec, message));
}

/** What is asked when the stream has ended: its grpc-status and its message. */
function statusOf(stream: ClientHttp2Stream): () => string {
  let status = 'missing';
  const note = (headers: IncomingHttpHeaders): void => {
    const code = headers['grpc-status'];
    if (code === undefined) return;
    const text = headers['grpc-message'];
    status = typeof text === 'string' && text !== '' ? `${String(code)} ${text}` : String(code);
  };
  stream.on('response', note);
  stream.on('trailers', note);
  return () => status;
}
