/** How the adapter serves a method with streams, whoever carries them: HTTP/2 or the gateway. */
import type { StatusObject } from '../../grpc/call.ts';
import type { CancellableCall } from './call-context.ts';
import type { ConnectionMemory } from './connection-memory.ts';
import type { WritableCall } from './response-writer.ts';

/** A call as its method sees it. */
export interface StreamCall extends CancellableCall, WritableCall {
  on(event: 'sent', listener: (messages: number, bytes: number) => void): unknown;
  on(event: 'data', listener: (request: unknown) => void): unknown;
  on(event: 'end', listener: () => void): unknown;
  /** It was ended for a reason of its own, with this status; `cancelled` follows. */
  once(event: 'refused', listener: (status: StatusObject) => void): unknown;
  /** Nobody listens any more; nothing of what was written is left. */
  once(event: 'cancelled' | 'closed', listener: () => void): unknown;
  pause(): unknown;
  resume(): unknown;
}

export interface StreamMethod {
  /** Whether requests come as `data` of the call; else the only one is given with it. */
  readonly requestStream: boolean;
  readonly maxMessageBytes: number;
  /** What {@link serve} takes for a message, even for a malformed one. */
  decode(message: Buffer): unknown;
  /** Resolves when nobody works on it any more. */
  serve(call: StreamCall, memory: ConnectionMemory, request?: unknown): Promise<void>;
}
