/** A member's state as a database of etcd. */
import { SnapshotRequest, type SnapshotResponse } from '../gen/rpc.ts';
import { Maintenance } from '../gen/services.ts';
import { answers } from './answers.ts';
import type { Caller } from './caller.ts';
import { ClientError } from './errors.ts';
import type { CallOptions } from './options.ts';

/** Asked of one endpoint and once only: another attempt would begin with another state. */
export async function* snapshotStream(
  caller: Caller,
  options: CallOptions,
): AsyncGenerator<SnapshotResponse, undefined, undefined> {
  // The first answer may take as long as reading the whole state does.
  const scope = caller.scope({ ...options, timeoutMs: options.timeoutMs ?? Infinity });
  try {
    const method = Maintenance.methods.snapshot;
    const request = SnapshotRequest.create();
    const open = await caller.serverStream(method, request, scope, options.hasLeader);
    try {
      yield* answers(open.stream, scope.signal);
      return undefined;
    } catch (error) {
      if (!scope.signal.aborted && error instanceof ClientError) caller.streamFailed(open, error);
      throw error;
    }
  } finally {
    scope.end();
  }
}
