/** A request of the gateway and its answer: what calls with one message and with streams share. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock, Timer } from '../../base/clock.ts';
import { StatusCode, StatusError } from '../../base/errors.ts';
import type { StatusObject } from '../../grpc/call.ts';
import type { SessionMemory } from '../grpc/connection-memory.ts';
import type { AnswerTime } from '../http/answer.ts';
import { timeoutMsOf } from './call-headers.ts';
import { errorBody, httpStatusOf } from './error-answer.ts';
import type { MethodTypes } from './message-type.ts';

/** What a call is made of. */
export interface ExchangeOptions {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly types: MethodTypes;
  readonly memory: SessionMemory;
  readonly time: AnswerTime;
  readonly clock: Clock;
}

/** A call that the gateway has open. */
export interface Exchange {
  /** Ends the call with a refusal, if it is open. */
  refuse(status: StatusObject): void;
}

/** A status in the body of an answer that has not begun. */
export function respondWithError(response: ServerResponse, status: StatusObject): void {
  if (response.destroyed || response.headersSent) return;
  const { code, details } = status;
  const body = Buffer.from(errorBody(status));
  const headers: Record<string, string | number> = {
    'content-type': 'application/json',
    'content-length': body.length,
  };
  if (code === StatusCode.unauthenticated) headers['www-authenticate'] = headerText(details);
  response.writeHead(httpStatusOf(code), headers);
  response.end(body);
}

/** Without what a header cannot hold. */
function headerText(text: string): string {
  return text.replaceAll(/[^ -~]/g, '?');
}

/** The status of an error that is a refusal of ours. */
export function statusObject({ code, message }: StatusError): StatusObject {
  return { code, details: message };
}

/** Ends a call when the time is over that its headers give it. */
export class Deadline {
  readonly #timer: Timer | undefined;

  /** @throws StatusError if the header is malformed */
  constructor(request: IncomingMessage, clock: Clock, over: () => void) {
    const timeoutMs = timeoutMsOf(request);
    if (timeoutMs === undefined) {
      const text = `invalid grpc-timeout: ${String(request.headers['grpc-timeout'])}`;
      throw new StatusError(StatusCode.invalidArgument, text);
    }
    if (timeoutMs !== Infinity) this.#timer = clock.after(timeoutMs, over);
  }

  cancel(): void {
    this.#timer?.cancel();
  }
}
