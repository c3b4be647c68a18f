/**
 * What a cluster begins with that was made from a snapshot of the one that the history is about.
 *
 * Rules: `restore-durable` (the snapshot is older than what was acknowledged before it was asked
 * for), `restore-state` (it is not what the keys were at its revision), `restore-revision` (clients
 * of the old cluster know revisions that the new one has yet to come to).
 */
import { latin1 } from '../../src/base/bytes.ts';
import { keyValueDifference } from './differences.ts';
import { quoted } from './describe.ts';
import type { History, Restored, Violation } from './history.ts';
import type { Model } from './model.ts';

const everything = { low: '\0', end: '\0' };

export function checkRestored({ restored = [] }: History, model: Model): Violation[] {
  return restored.flatMap((each): Violation[] => {
    const { acknowledged, revision, firstRevision } = each;
    const operations: readonly number[] = [];
    if (revision < acknowledged) {
      const text = `the snapshot has revision ${revision}, and ${acknowledged} was acknowledged`;
      return [{ rule: 'restore-durable', text, operations }];
    }
    if (firstRevision <= model.revision) {
      const old = model.revision;
      const text = `the new cluster begins at ${firstRevision}, the old one is at ${old}`;
      return [{ rule: 'restore-revision', text, operations }];
    }
    const text = stateDifference(each, model);
    return text === undefined ? [] : [{ rule: 'restore-state', text, operations }];
  });
}

function stateDifference({ revision, kvs }: Restored, model: Model): string | undefined {
  if (revision > model.revision) return `revision ${revision} never was`;
  const found = new Map(kvs.map((kv) => [latin1(kv.key), kv]));
  for (const key of new Set([...model.keysIn(everything), ...found.keys()])) {
    const expected = model.valueAt(key, revision);
    const difference = keyValueDifference(quoted(key), found.get(key), expected);
    if (difference !== undefined) return `at revision ${revision}: ${difference}`;
  }
  return undefined;
}
