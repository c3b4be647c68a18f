/** What a learner serves (etcd: v3rpc/util.go, isRPCSupportedForLearner). */
import type { RangeRequest } from '../gen/rpc.ts';
import { KV, Maintenance } from '../gen/services.ts';

/** @param request the message; undefined for a stream, which is refused before the first one */
export function isForLearners(path: string, request: unknown): boolean {
  const { status, snapshot } = Maintenance.methods;
  if (path === status.path || path === snapshot.path) return true;
  return path === KV.methods.range.path && (request as RangeRequest).serializable;
}
