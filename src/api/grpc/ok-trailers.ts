/**
 * Trailers of calls that went well, which is what nearly all get. Node keeps trailers off nghttp2's
 * stack and sends them a turn later, in a packet of their own: with that packet, and what it costs
 * the client to take it, a call is half as expensive again. nghttp2 takes them while it asks for
 * the last bytes (its documentation of `nghttp2_submit_trailer`), which is when Node tells of it.
 *
 * So those of the first call go Node's way; what Node's JavaScript hands to its binding for them is
 * kept, and handed to it without delay from then on. A version of Node that looks different inside
 * goes its way with all.
 */
import type { OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';

export const okTrailers: OutgoingHttpHeaders = { 'grpc-status': '0' };

/** The part of an HTTP/2 stream that is not JavaScript. */
interface StreamBinding {
  /** A negative result is an error of nghttp2's. */
  trailers(encoded: unknown): number;
}

/** The name that Node gives to the key of a stream's binding. */
const bindingName = 'kHandle';

export class OkTrailersSender {
  /** Undefined until a stream was looked at, and in a Node that has no such key. */
  #bindingKey: symbol | undefined;
  #encoded: unknown;

  /** To be called when a stream emits `wantTrailers`, and at no other time. */
  send(stream: ServerHttp2Stream): void {
    const binding = this.#bindingOf(stream);
    if (binding === undefined) {
      stream.sendTrailers(okTrailers);
    } else if (this.#encoded === undefined) {
      this.#observe(binding);
      stream.sendTrailers(okTrailers);
    } else if (binding.trailers(this.#encoded) < 0) {
      // Node's way tells of the failure.
      stream.sendTrailers(okTrailers);
    }
  }

  #bindingOf(stream: ServerHttp2Stream): StreamBinding | undefined {
    this.#bindingKey ??= Object.getOwnPropertySymbols(stream).find(
      ({ description }) => description === bindingName,
    );
    if (this.#bindingKey === undefined) return undefined;
    const binding = (stream as unknown as Record<symbol, Partial<StreamBinding> | undefined>)[
      this.#bindingKey
    ];
    return typeof binding?.trailers === 'function' ? (binding as StreamBinding) : undefined;
  }

  /** Notes what this stream's binding is given, once. */
  #observe(binding: StreamBinding): void {
    const trailers = binding.trailers.bind(binding);
    binding.trailers = (encoded) => {
      binding.trailers = trailers;
      this.#encoded = encoded;
      return trailers(encoded);
    };
  }
}
