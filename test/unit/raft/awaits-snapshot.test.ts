/** A member whose state does not begin where the log does: it begins with a snapshot. */
import { expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import {
  EntryKind,
  MemoryStorage,
  type Message,
  noConfState,
  RawNode,
} from '../../../src/raft/index.ts';
import { raftConfig } from '../../../src/server/raft-options.ts';

function nodeOf(id: bigint, storage: MemoryStorage, awaitsSnapshot: boolean): RawNode {
  return new RawNode(
    raftConfig({
      memberId: id,
      storage,
      applied: 0,
      awaitsSnapshot,
      heartbeatMs: 100,
      electionMs: 1000,
      preVote: true,
      random: new SeededRandom(1),
      logger: silentLogger,
    }),
  );
}

/** Makes durable what the node asks for, and returns all that it sends. */
function sentBy(node: RawNode, storage: MemoryStorage): Message[] {
  const sent: Message[] = [];
  while (node.hasReady()) {
    const { messages, persist, committedEntries } = node.ready();
    sent.push(...messages);
    if (persist !== undefined) {
      if (persist.hardState !== undefined) storage.setHardState(persist.hardState);
      storage.append(persist.entries);
      sent.push(...persist.messages);
      node.persisted(persist.ack);
    }
    const last = committedEntries.at(-1);
    if (last !== undefined) node.applied(last.index);
  }
  return sent;
}

const entry = { index: 1, term: 1, kind: EntryKind.normal, data: new Uint8Array(1) };
const append = (index: number): Message => ({
  type: 'append',
  from: 1n,
  to: 2n,
  term: 1,
  index,
  logTerm: index === 0 ? 0 : 1,
  entries: [{ ...entry, index: index + 1 }],
  commit: 0,
});

test.each([0, 7])('it refuses what follows index %i, and says that it has nothing', (index) => {
  const storage = new MemoryStorage(noConfState);
  const node = nodeOf(2n, storage, true);
  node.step(append(index));
  expect(sentBy(node, storage)).toEqual([
    expect.objectContaining({ type: 'appendResponse', reject: true, index, rejectHint: 0 }),
  ]);
  expect(node.status().lastIndex).toBe(0);
});

test('another takes the log from its beginning', () => {
  const storage = new MemoryStorage({ ...noConfState, voters: [1n, 2n] });
  const node = nodeOf(2n, storage, false);
  node.step(append(0));
  expect(sentBy(node, storage)).toEqual([
    expect.objectContaining({ type: 'appendResponse', reject: false, index: 1 }),
  ]);
});
