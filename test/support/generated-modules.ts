/** The generated code by the packages of its messages, and the descriptors it was made from. */
import protobuf from 'protobufjs';
import * as auth from '../../src/gen/auth.ts';
import descriptors from '../../src/gen/descriptors.json' with { type: 'json' };
import * as election from '../../src/gen/election.ts';
import * as health from '../../src/gen/health.ts';
import * as kv from '../../src/gen/kv.ts';
import * as lease from '../../src/gen/lease.ts';
import * as lock from '../../src/gen/lock.ts';
import * as raftInternal from '../../src/gen/raft-internal.ts';
import * as rpc from '../../src/gen/rpc.ts';

/** A message as an object with fields. */
export type Plain = Record<string, unknown>;

/** Modules by the package whose messages they hold. */
export const modules: readonly (readonly [string, Plain])[] = [
  ['authpb', auth],
  ['v3electionpb', election],
  ['grpc.health.v1', health],
  ['mvccpb', kv],
  ['leasepb', lease],
  ['v3lockpb', lock],
  ['etcdserverpb', raftInternal],
  ['etcdserverpb', rpc],
];

export const root = protobuf.Root.fromJSON(descriptors as protobuf.INamespace);
root.resolveAll();
