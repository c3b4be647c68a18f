/** What it takes to serve a generated service: a handler for each method, by the method's kind. */
import type { Codec } from '../../base/wire.ts';
import type { BidiHandler, ServerStreamHandler, UnaryHandler } from '../handler.ts';

/** A method as src/gen/services.ts describes it. */
export interface AnyMethod {
  readonly name: string;
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly request: Codec<never>;
  readonly response: Codec<never>;
}

export interface AnyService {
  readonly name: string;
  readonly methods: Readonly<Record<string, object>>;
}

type HandlerOf<M> = M extends {
  readonly requestStream: infer RequestStream;
  readonly responseStream: infer ResponseStream;
  readonly request: Codec<infer Request>;
  readonly response: Codec<infer Response>;
}
  ? RequestStream extends true
    ? BidiHandler<Request, Response>
    : ResponseStream extends true
      ? ServerStreamHandler<Request, Response>
      : UnaryHandler<Request, Response>
  : never;

/** Handlers of a service's methods. A method without one is answered with UNIMPLEMENTED. */
export type ServiceHandlers<Service extends AnyService> = {
  readonly [Name in keyof Service['methods']]?: HandlerOf<Service['methods'][Name]>;
};
