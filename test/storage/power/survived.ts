/** Whether a member that starts on what a power cut left has kept its promises. */
import { rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { fromUtf8, utf8 } from '../../../src/base/bytes.ts';
import type { Random } from '../../../src/base/random.ts';
import { RangeRequest } from '../../../src/gen/rpc.ts';
import { KV } from '../../../src/gen/services.ts';
import type { Store } from '../../../src/mvcc/store.ts';
import { asError } from '../../../src/storage/errors.ts';
import type { MemberProcess } from '../../support/cluster-process.ts';
import { GrpcClient } from '../../support/grpc.ts';
import { memberHashes } from '../../support/writers.ts';
import { type DirectoryImage, writeImage } from './power-cut.ts';
import type { Recording } from './recording.ts';
import { contentsOf, type FoundKey, replayLog, restartAlone } from './restarted-member.ts';
import { type ExpectedKey, stateAt } from './workload.ts';

/** Past revisions that are read besides the newest. */
const pastRevisions = 2;
const probeKey = 'written after the cut';
const refusalTimeoutMs = 20_000;
const nothing: DirectoryImage = { kind: 'directory', entries: new Map() };

/** A start on what a cut left. */
export interface Start {
  readonly recording: Recording;
  readonly moment: number;
  /** The data directory. */
  readonly path: string;
  readonly random: Random;
}

async function orRefusal(problems: () => Promise<string[]>): Promise<string[]> {
  try {
    return await problems();
  } catch (thrown) {
    const error = asError(thrown);
    return [`it does not start: ${error.name}: ${error.message}`];
  }
}

/** A member alone: it starts, holds what it should, takes a write, and starts again with it. */
export function brokenAlone(start: Start): Promise<string[]> {
  const { recording, path } = start;
  return orRefusal(async () => {
    const member = await restartAlone(path, recording.founding);
    let problems: string[];
    try {
      const { revision } = member.store;
      problems = storeProblems(member.store, start);
      await member.put(probeKey, String(revision + 1));
      if (member.store.revision !== revision + 1) problems.push('a strange revision for a write');
    } finally {
      await member.stop();
    }
    return problems.length > 0 ? problems : heldAgain(recording, path);
  });
}

async function heldAgain(recording: Recording, path: string): Promise<string[]> {
  const member = await restartAlone(path, recording.founding);
  try {
    const { revision } = member.store;
    const found = new Map(contentsOf(member.store));
    const probe = found.get(probeKey);
    found.delete(probeKey);
    const expected = stateAt(recording.promised, revision - 1);
    const problems = differences(found, expected, revision - 1);
    if (probe?.value !== String(revision)) problems.push('what was written since is lost');
    return problems.map((problem) => `at the second start: ${problem}`);
  } finally {
    await member.stop();
  }
}

/** A follower cannot commit alone, but all that it acknowledged must be in its state and log. */
export function brokenFollower(start: Start): Promise<string[]> {
  return orRefusal(() =>
    replayLog(start.path, start.recording.founding, (store) => storeProblems(store, start)),
  );
}

function storeProblems(store: Store, { recording, moment, random }: Start): string[] {
  const { revision, compactedRevision } = store;
  const { promised, workload } = recording;
  const problems: string[] = [];
  const least = recording.promisedBefore(moment);
  const most = promised.at(-1)?.revision ?? 1;
  if (revision < least) problems.push(`revision ${least} was promised, ${revision} is there`);
  if (revision > most) problems.push(`revision ${revision} is there, ${most} was written`);
  if (compactedRevision > workload.compacted) {
    problems.push(`compacted to ${compactedRevision}, not to ${workload.compacted}`);
  }
  const check = (at: number): void => {
    problems.push(...differences(contentsOf(store, at), stateAt(promised, at), at));
  };
  check(revision);
  const oldest = Math.max(compactedRevision, 1);
  for (let i = 0; i < pastRevisions && oldest < revision; i++) {
    check(oldest + random.below(revision - oldest));
  }
  return problems;
}

function differences(
  found: ReadonlyMap<string, FoundKey>,
  expected: ReadonlyMap<string, ExpectedKey>,
  revision: number,
): string[] {
  const problems: string[] = [];
  for (const [key, { value, modRevision }] of expected) {
    const there = found.get(key);
    if (there === undefined) problems.push(`${key}@${modRevision} is lost`);
    else if (there.modRevision !== modRevision) {
      problems.push(`${key} is of revision ${there.modRevision} instead of ${modRevision}`);
    } else if (there.value !== value) problems.push(`${key}@${modRevision} has another value`);
  }
  for (const key of found.keys()) {
    if (!expected.has(key)) problems.push(`${key} should not be there`);
  }
  return problems.map((problem) => `at revision ${revision}, ${problem}`);
}

/**
 * Real processes: all members start, the recorded one on what the cut left, and agree. The others
 * hold what they held in the end: where the cut came before the recorded member took part, it must
 * be refused, as they have agreed on its part.
 */
export function brokenProcesses(
  recording: Recording,
  moment: number,
  image: DirectoryImage,
): Promise<string[]> {
  const { cluster, member, dataName } = recording;
  return orRefusal(async () => {
    try {
      await Promise.all(cluster.members.map((each) => each.kill()));
      rmSync(member.dataDir, { recursive: true, force: true });
      const entry = image.entries.get(dataName);
      const data = entry?.kind === 'directory' ? entry : nothing;
      writeImage(data, member.dataDir);
      for (const each of cluster.members) await each.start();
      const others = cluster.members.filter((each) => each !== member);
      const isRefused = others.length > 0 && recording.tookNoPart(moment, data);
      if (isRefused) await refused(member);
      const working = isRefused ? others : cluster.members;
      await Promise.all(working.map((each) => each.ready()));
      const { revision, found } = await readAll((isRefused ? others[0] : member)?.address ?? '');
      const problems = differences(found, stateAt(recording.promised, revision), revision);
      const least = recording.promisedBefore(moment);
      if (revision < least) problems.push(`revision ${least} was promised, ${revision} is there`);
      const hashes = await memberHashes(working);
      if (new Set(hashes.map(({ kv, state }) => `${kv} ${state}`)).size > 1) {
        problems.push('the members hold different states');
      }
      return problems;
    } finally {
      await Promise.all(cluster.members.map((each) => each.kill()));
    }
  });
}

/** @throws Error unless the member ends, and says why */
async function refused(member: MemberProcess): Promise<void> {
  const untilMs = performance.now() + refusalTimeoutMs;
  while (member.process !== undefined) {
    if (performance.now() > untilMs) throw new Error('a member that nobody knows takes part');
    await delay(20);
  }
  const log = await readFile(member.logPath, 'utf8');
  const end = log.slice(log.lastIndexOf('the data directory is new'));
  if (!end.includes('has already been bootstrapped')) throw new Error(`refused otherwise: ${end}`);
}

async function readAll(address: string): Promise<{
  readonly revision: number;
  readonly found: ReadonlyMap<string, FoundKey>;
}> {
  const client = new GrpcClient(address);
  try {
    const zero = utf8('\0');
    const request = RangeRequest.create({ key: zero, rangeEnd: zero });
    const { kvs, header } = await client.unary(KV.methods.range, request);
    const found = new Map(
      kvs.map(({ key, value, modRevision }) => {
        return [fromUtf8(key), { value: fromUtf8(value), modRevision }];
      }),
    );
    return { revision: header?.revision ?? 0, found };
  } finally {
    client.close();
  }
}
