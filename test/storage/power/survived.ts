/** Whether a member that starts on what a power cut left has kept its promises. */
import type { Random } from '../../../src/base/random.ts';
import { asError } from '../../../src/storage/errors.ts';
import { promisedBefore, type Recording } from './recording.ts';
import { contentsOf, type FoundKey, restartAlone } from './restarted-member.ts';
import { type ExpectedKey, stateAt } from './workload.ts';

/** Past revisions that are read besides the newest. */
const pastRevisions = 2;
const probeKey = 'written after the cut';

/** What is wrong; nothing if all is well. */
export async function brokenPromises(
  recording: Recording,
  moment: number,
  path: string,
  random: Random,
): Promise<string[]> {
  try {
    const problems = await heldAfter(recording, moment, path, random);
    // Another start must find the same, and what has been written since.
    if (problems.length === 0) problems.push(...(await heldAgain(recording, path)));
    return problems;
  } catch (thrown) {
    const error = asError(thrown);
    return [`it does not start: ${error.name}: ${error.message}`];
  }
}

async function heldAfter(
  recording: Recording,
  moment: number,
  path: string,
  random: Random,
): Promise<string[]> {
  const member = await restartAlone(path, recording.founding);
  try {
    const { store } = member;
    const { revision, compactedRevision } = store;
    const problems: string[] = [];
    const least = promisedBefore(recording, moment);
    const most = recording.promised.at(-1)?.revision ?? 1;
    if (revision < least) problems.push(`revision ${least} was promised, ${revision} is there`);
    if (revision > most) problems.push(`revision ${revision} is there, ${most} was written`);
    if (compactedRevision > recording.compacted) {
      problems.push(`compacted to ${compactedRevision}, ${recording.compacted} was asked for`);
    }
    const check = (at: number): void => {
      const expected = stateAt(recording.promised, at);
      problems.push(...differences(contentsOf(store, at), expected, at));
    };
    check(revision);
    const oldest = Math.max(compactedRevision, 1);
    for (let i = 0; i < pastRevisions && oldest < revision; i++) {
      check(oldest + random.below(revision - oldest));
    }
    await member.put(probeKey, String(revision + 1));
    if (store.revision !== revision + 1) problems.push('a new write got a strange revision');
    return problems;
  } finally {
    await member.stop();
  }
}

async function heldAgain(recording: Recording, path: string): Promise<string[]> {
  const member = await restartAlone(path, recording.founding);
  try {
    const { revision } = member.store;
    const found = new Map(contentsOf(member.store));
    const probe = found.get(probeKey);
    found.delete(probeKey);
    const problems = differences(found, stateAt(recording.promised, revision - 1), revision - 1);
    if (probe?.value !== String(revision)) problems.push('what was written since is lost');
    return problems.map((problem) => `at the second start: ${problem}`);
  } finally {
    await member.stop();
  }
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
