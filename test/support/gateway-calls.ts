/** Requests to the gateway, as programs without gRPC make them. */
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';

export interface JsonAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
  readonly headers: Headers;
}

/** Asks for one answer. A body that is no text is written as JSON. */
export async function post(
  url: string,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<JsonAnswer> {
  const response = await fetch(url + path, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers,
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: JSON.parse(text) as JsonAnswer['body'],
  };
}

export const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** An answer in lines, read one at a time, and a request that may go on. */
export class JsonStream {
  readonly request: ClientRequest;
  readonly #response: Promise<IncomingMessage>;
  #lines: AsyncIterator<string> | undefined;

  constructor(url: string, path: string, headers: Record<string, string> = {}) {
    this.request = httpRequest(url + path, { method: 'POST', headers, agent: false });
    this.#response = new Promise((resolve, reject) => {
      this.request.on('response', resolve);
      this.request.on('error', reject);
    });
    this.#response.catch(() => undefined);
  }

  send(message: unknown): this {
    this.request.write(typeof message === 'string' ? message : JSON.stringify(message));
    return this;
  }

  end(): this {
    this.request.end();
    return this;
  }

  /** The head of the answer: it comes with the first line. */
  async status(): Promise<number | undefined> {
    return (await this.#response).statusCode;
  }

  /** The next line, undefined at the end. */
  async next(): Promise<Readonly<Record<string, unknown>> | undefined> {
    this.#lines ??= linesOf(await this.#response);
    const { value, done } = await this.#lines.next();
    return done === true ? undefined : (JSON.parse(value) as Record<string, unknown>);
  }

  close(): void {
    this.request.destroy();
  }
}

async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  let rest = '';
  response.setEncoding('utf8');
  for await (const chunk of response as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  if (rest !== '') throw new Error(`an answer ended within a line: ${rest}`);
}
