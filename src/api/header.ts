/** The header of answers: who answered, at which revision and term (etcd: api/v3rpc/header.go). */
import type { ResponseHeader } from '../gen/rpc.ts';

export interface HeaderSource {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  /** Of the store. */
  readonly revision: number;
  readonly term: number;
}

/** A header of the store's current revision, or of `revision` if given. */
export function header(source: HeaderSource, revision?: number): ResponseHeader {
  return {
    clusterId: source.clusterId,
    memberId: source.memberId,
    revision: revision === undefined || revision === 0 ? source.revision : revision,
    raftTerm: source.term,
  };
}
