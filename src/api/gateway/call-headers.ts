/** What a request's headers say of the call (grpc-gateway: runtime/context.go). */
import type { IncomingMessage } from 'node:http';
import { MAX_TIMER_MS, unitMs } from '../grpc/deadline.ts';

/** HTTP headers that begin so are the call's metadata. */
const metadataPrefix = 'grpc-metadata-';

/** Printable ASCII: other values cannot be metadata, and are left out. */
const isText = (value: string): boolean => /^[ -~]*$/.test(value);

/** The metadata that a call over gRPC would have. */
export class HeaderMetadata {
  readonly #headers: NodeJS.Dict<string[]>;

  constructor({ headersDistinct }: IncomingMessage) {
    this.#headers = headersDistinct;
  }

  /** The first value of that name. */
  first(name: string): string | undefined {
    const key = name.toLowerCase();
    const plain = key === 'authorization' ? (this.#headers[key] ?? []) : [];
    return [...plain, ...(this.#headers[metadataPrefix + key] ?? [])].find(isText);
  }
}

/**
 * Milliseconds until the deadline that the header Grpc-Timeout sets; Infinity if there is none, or
 * one too far to matter; undefined if the header is malformed.
 */
export function timeoutMsOf({ headers }: IncomingMessage): number | undefined {
  const header = headers['grpc-timeout'];
  if (header === undefined || header === '') return Infinity;
  const match = typeof header === 'string' ? /^([+-]?\d+)([HMSmun])$/.exec(header) : null;
  if (match === null) return undefined;
  const ms = Number(match[1]) * (unitMs[match[2] ?? ''] ?? NaN);
  if (ms === 0 || ms > MAX_TIMER_MS) return Infinity;
  return Math.max(ms, 0);
}
