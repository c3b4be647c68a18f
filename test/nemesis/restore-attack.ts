/**
 * A snapshot is saved from the cluster while it is under attack, and another cluster is made of it,
 * as after the loss of a data centre. Clients that turn to that one must find all that they were
 * told before the snapshot was asked for, and must never see a revision go back.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { utf8 } from '../../src/base/bytes.ts';
import {
  PutRequest,
  RangeRequest,
  type RangeResponse,
  WatchCreateRequest,
} from '../../src/gen/rpc.ts';
import { KV, Watch } from '../../src/gen/services.ts';
import type { ClusterProcess, MemberProcess } from '../support/cluster-process.ts';
import { runCommand } from '../support/command.ts';
import { CallError, GrpcClient } from '../support/grpc.ts';
import { kvctlPath, startQuorate } from '../support/quorate.ts';
import { type Attack, disturbed } from './attacks.ts';
import type { Battlefield } from './battlefield.ts';
import { eagerDialling } from './callers.ts';

/** More than a cluster makes in a run: whatever came after the snapshot is passed by. */
const bumpRevisions = 1_000_000;
const triesMost = 30;
const restMs = 300;
const all = { key: utf8('\0'), rangeEnd: utf8('\0') };

export const restoreElsewhere: Attack = async (field) => {
  const base = join(field.cluster.directory, `restored-${field.restored.length + 1}`);
  const file = `${base}.db`;
  const acknowledged = await disturbed(field, () => save(field, file));
  const { revision } = JSON.parse(await kvctl('snapshot', 'status', file, '-w', 'json')) as {
    revision: number;
  };
  const other = await startFrom(field, file, base);
  try {
    const firstRevision = revision + bumpRevisions;
    const { kvs } = await rangeAt(memberOf(other, 0), firstRevision);
    field.restored.push({ acknowledged, revision, firstRevision, kvs });
    await goesOn(other, revision, firstRevision);
    field.strike('restored', `another cluster begins at ${firstRevision}, as ${revision} was here`);
  } finally {
    await other.stop();
  }
  await field.peace();
};

/** Saves from any member that can; what was acknowledged before. */
async function save(field: Battlefield, file: string): Promise<number> {
  for (let tries = 1; ; tries++) {
    const member = field.pick(field.running.length > 0 ? field.running : field.members);
    try {
      // Then this member has applied what anybody was told before.
      const { header } = await rangeAt(member, 0);
      await kvctl('--endpoints', member.address, 'snapshot', 'save', file);
      field.note(`a snapshot is saved from ${member.name}`);
      return header?.revision ?? 0;
    } catch (error) {
      if (tries === triesMost) throw error;
      await delay(restMs);
    }
  }
}

/** One member may begin with nothing: it gets from the others what they have. */
async function startFrom(field: Battlefield, file: string, base: string): Promise<ClusterProcess> {
  const empty = field.random.below(2) === 0 ? 'm2' : undefined;
  return startQuorate({
    members: 3,
    dataDir: (name) => join(base, name),
    advertise: async (urls) => {
      const cluster = urls.map((url, i) => `m${i + 1}=${url}`).join(',');
      for (const [i, url] of urls.entries()) {
        const name = `m${i + 1}`;
        if (name === empty) continue;
        await kvctl(
          ...['snapshot', 'restore', file, '--name', name, '--data-dir', join(base, name)],
          ...['--initial-cluster', cluster, '--initial-advertise-peer-urls', url],
          ...['--bump-revision', String(bumpRevisions), '--mark-compacted'],
        );
      }
      return urls;
    },
  });
}

/** A watcher of the old cluster is told to look again, and then sees newer revisions only. */
async function goesOn(
  other: ClusterProcess,
  knownRevision: number,
  firstRevision: number,
): Promise<void> {
  const client = new GrpcClient(memberOf(other, 1).address, eagerDialling);
  try {
    const told = await firstOf(client, knownRevision + 1);
    if (!told.canceled || told.compactRevision !== firstRevision) {
      throw new Error(`a watcher was not told that ${firstRevision} is compacted`);
    }
    const put = PutRequest.create({ key: utf8('restored'), value: utf8('here') });
    const { header } = await client.unary(KV.methods.put, put);
    const { events } = await firstOf(client, firstRevision + 1);
    const revisions = events.map(({ kv }) => kv?.modRevision ?? 0);
    if (!revisions.every((each) => each > firstRevision) || revisions.length === 0) {
      throw new Error(
        `a watcher was told revisions ${revisions.join(', ')} after ${firstRevision}`,
      );
    }
    if ((header?.revision ?? 0) <= firstRevision) {
      throw new Error(`a write made revision ${header?.revision} after ${firstRevision}`);
    }
  } finally {
    client.close();
  }
}

/** What a watcher from a revision on is told first, after that it is one. */
async function firstOf(client: GrpcClient, startRevision: number) {
  const stream = client.bidirectional(Watch.methods.watch);
  try {
    const value = WatchCreateRequest.create({ ...all, startRevision });
    stream.send({ requestUnion: { case: 'createRequest', value } });
    for (;;) {
      const answer = await stream.next();
      if (answer === undefined) throw new Error('the stream of a watcher ended');
      if (answer.canceled || answer.events.length > 0) return answer;
    }
  } finally {
    stream.cancel();
  }
}

function memberOf({ members }: ClusterProcess, place: number): MemberProcess {
  const member = members[place];
  if (member === undefined) throw new Error('too few members');
  return member;
}

/** @param revision 0 for the present, through the leader */
async function rangeAt(member: MemberProcess, revision: number): Promise<RangeResponse> {
  const client = new GrpcClient(member.address, eagerDialling);
  try {
    const request = RangeRequest.create({ ...all, revision });
    return await client.unary(KV.methods.range, request, { timeoutMs: 5000 });
  } finally {
    client.close();
  }
}

/** @throws CallError with what it says if it fails */
async function kvctl(...operands: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand(process.execPath, [kvctlPath, ...operands]);
  if (code !== 0) throw new CallError(Number(code), stderr);
  return stdout.toString();
}
