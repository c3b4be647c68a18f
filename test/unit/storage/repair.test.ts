/** What is kept of a damaged directory, what is set aside, and what is refused before that. */
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { result } from '../../../src/base/completion.ts';
import { fromLatin1 } from '../../../src/base/bytes.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { openDataDirectory, type DataDirectory } from '../../../src/storage/data-directory.ts';
import type { DataDirectoryOptions } from '../../../src/storage/directory-options.ts';
import { CorruptionError } from '../../../src/storage/errors.ts';
import { encodeFlushRecord } from '../../../src/storage/flush-record.ts';
import { sealedText } from '../../../src/storage/identity.ts';
import { logKeys, stateKeys } from '../../../src/storage/keyspace.ts';
import { encodeLogMark } from '../../../src/storage/log-state.ts';
import { MemoryDirectory } from '../../../src/storage/memory-directory.ts';
import { RecordWriter } from '../../../src/storage/record.ts';
import { decodeTermBound } from '../../../src/storage/term-file.ts';
import { advanceDirectory, closeDirectory, refusalOf } from '../../support/directories.ts';
import { put, realClock } from '../../support/engines.ts';

const identity = { memberId: 1n, clusterId: 7n };
const confState = { voters: [1n, 2n, 3n], votersOutgoing: [], learners: [], learnersNext: [] };

function open(
  memory: MemoryDirectory,
  options: Partial<DataDirectoryOptions> = {},
): Promise<DataDirectory> {
  const clock = realClock;
  const founders = (): readonly bigint[] => confState.voters;
  return result((done) =>
    openDataDirectory(
      { memory, clock, logger: silentLogger, identity, founders, ...options },
      done,
    ),
  );
}

/** Appends, applies and flushes entries up to `to`. */
async function advance(directory: DataDirectory, to: number): Promise<void> {
  await advanceDirectory(directory, to, () => {
    directory.backend.put('r', Buffer.from(`${to}`));
    directory.backend.setConfState({ ...confState, autoLeave: false });
  });
}

/** A member that has applied ten entries, and is down. */
async function lived(): Promise<MemoryDirectory> {
  const memory = new MemoryDirectory();
  const directory = await open(memory);
  await advance(directory, 10);
  await closeDirectory(directory);
  return memory;
}

function rot(memory: MemoryDirectory, name: string, key: string): void {
  memory.disk(name).rot(fromLatin1(key), (value) => value.fill(0xff));
}

const damagedNames = ({ names }: MemoryDirectory): string[] =>
  names.filter((name) => name.startsWith('damaged-')).sort();

describe('where there are several states', () => {
  const flushOf = (index: number): Uint8Array =>
    encodeFlushRecord({ number: 1, index, term: 9, confState: { ...confState, autoLeave: false } });
  const markKey = Buffer.concat([
    fromLatin1(stateKeys.flushMark),
    Buffer.from('0000000000000001', 'hex'),
  ]);

  function addState(memory: MemoryDirectory, name: string, index: number, marked: boolean): void {
    const flushMark = new RecordWriter(1).u64(1).u64(index).finish();
    const pairs = [
      put(stateKeys.flush, flushOf(index)),
      { type: 'put' as const, key: markKey, value: flushMark },
    ];
    const mark = { memberId: 1n, writes: 1, index, chain: 5 };
    if (marked) pairs.push(put(stateKeys.logMark, encodeLogMark(mark)));
    memory.disk(name).add(pairs, true);
  }

  test('the sound one is kept beside one that is half received', async () => {
    const memory = await lived();
    addState(memory, 'state-90-9', 90, false);
    rot(memory, 'log', logKeys.tail);
    const directory = await open(memory);
    expect(directory.raftLog.anchor).toMatchObject({ index: 10, term: 2 });
    expect(directory.backend.get('r')?.toString()).toBe('10');
    expect(damagedNames(memory)).toEqual(['damaged-log-1', 'damaged-state-90-9-1']);
    await closeDirectory(directory);
  });

  test('the newer one is kept if both were this member’s', async () => {
    const memory = await lived();
    addState(memory, 'state-90-9', 90, true);
    rot(memory, 'log', logKeys.tail);
    const directory = await open(memory);
    expect(directory.raftLog.anchor).toEqual({ index: 90, term: 9, chain: 5 });
    expect(damagedNames(memory)).toEqual(['damaged-log-1', 'damaged-state-0-0-1']);
    await closeDirectory(directory);
  });

  test('the older one is kept if the newer one is damaged', async () => {
    const memory = await lived();
    addState(memory, 'state-90-9', 90, true);
    rot(memory, 'state-90-9', stateKeys.flush);
    rot(memory, 'log', logKeys.tail);
    const directory = await open(memory);
    expect(directory.raftLog.anchor.index).toBe(10);
    expect(damagedNames(memory)).toEqual(['damaged-log-1', 'damaged-state-90-9-1']);
    await closeDirectory(directory);
  });

  test('none is removed before it is known that the log is no older one', async () => {
    const memory = await lived();
    const old = new Map(memory.disk('log').tree.entries());
    const directory = await open(memory);
    await advance(directory, 20);
    await closeDirectory(directory);
    addState(memory, 'state-90-9', 90, true);
    memory.removeDisk('log');
    const pairs = [...old].map(([key, value]) => put(key, value));
    memory.disk('log').add(pairs, true);
    const repaired = await open(memory);
    expect(repaired.raftLog.anchor.index).toBe(90);
    await closeDirectory(repaired);
  });

  test('an empty one that an earlier repair made is not kept', async () => {
    const memory = await lived();
    memory.disk('state-0-256');
    rot(memory, 'state-0-0', stateKeys.flush);
    const directory = await open(memory);
    expect(damagedNames(memory)).toEqual(['damaged-log-1', 'damaged-state-0-0-1']);
    expect(memory.names.filter((name) => name.startsWith('state-'))).toHaveLength(1);
    await closeDirectory(directory);
  });
});

test('a state whose values are damaged is not kept if the log is damaged too', async () => {
  const memory = await lived();
  rot(memory, 'log', logKeys.tail);
  const directory = await open(memory, { stateDamage: new CorruptionError('a value') });
  expect(directory.fresh).toBe(true);
  expect(damagedNames(memory)).toEqual(['damaged-log-1', 'damaged-state-0-0-1']);
  await closeDirectory(directory);
});

describe('the term of the log', () => {
  test('bounds the terms if the state shows that the log is whole', async () => {
    const memory = await lived();
    memory.termBound = undefined;
    const directory = await open(memory, { stateDamage: new CorruptionError('a value') });
    expect(directory.raftLog.hardState.term).toBe(3);
    await closeDirectory(directory);
  });

  test('bounds nothing if no state shows that the log is no older one', async () => {
    const memory = await lived();
    rot(memory, 'state-0-0', stateKeys.flush);
    memory.termBound = undefined;
    expect(await refusalOf(open(memory))).toMatch(/in which terms this one has voted/);
  });
});

test('a refusal that is certain comes before anything is set aside', async () => {
  const memory = await lived();
  rot(memory, 'state-0-0', stateKeys.flush);
  const names = [...memory.names];
  const founders = (): never => {
    throw new Error('the flags are of another cluster');
  };
  expect(await refusalOf(open(memory, { founders }))).toMatch(/nothing tells who they are/);
  expect(memory.names).toEqual(names);
});

describe('what a newer version wrote is refused and left alone', () => {
  const later = 2;

  async function refused(memory: MemoryDirectory, expected: RegExp): Promise<void> {
    const before = memory.names.map((name) => [name, [...memory.disk(name).tree.entries()]]);
    expect(await refusalOf(open(memory))).toMatch(expected);
    expect(memory.names.map((name) => [name, [...memory.disk(name).tree.entries()]])).toEqual(
      before,
    );
  }

  const newerRecord = (): Uint8Array => new RecordWriter(later).text('of a later time').finish();
  const singles = Object.entries(logKeys).filter(([, key]) => key !== logKeys.entries);

  test.each(singles)('in the log: %s', async (_name, key) => {
    const memory = await lived();
    memory.disk('log').add([put(key, newerRecord())], true);
    await refused(
      memory,
      /^newerVersion: .*was written by a newer version.*format version 2, known/,
    );
  });

  test.each([
    ['the flush record', stateKeys.flush],
    ['the mark of the log', stateKeys.logMark],
  ])('in the state: %s, also beside a damaged log', async (_name, key) => {
    const memory = await lived();
    memory.disk('state-0-0').add([put(key, newerRecord())], true);
    await refused(memory, /^newerVersion: /);
    rot(memory, 'log', logKeys.tail);
    await refused(memory, /^newerVersion: /);
  });

  test('a record of entries', async () => {
    const memory = await lived();
    const key = [...memory.disk('log').tree.keys()].find((each) => each.startsWith('\x10')) ?? '';
    const change = (how: (value: Buffer) => void): void =>
      memory.disk('log').rot(fromLatin1(key), (value) => {
        how(Buffer.from(value.buffer, value.byteOffset, value.length));
        return value;
      });
    change((value) => {
      value.writeUInt32LE(later, 0);
      value.writeUInt32LE(crc32(value.subarray(8, 44), later - 1), 4);
    });
    await refused(memory, /^newerVersion: .*the log record of index 1 has format version 2/);
  });

  test.each([0, 2, 3, 257])(
    'but a record of entries whose version rots to %i is damage',
    async (to) => {
      const memory = await lived();
      const key = [...memory.disk('log').tree.keys()].find((each) => each.startsWith('\x10')) ?? '';
      memory.disk('log').rot(fromLatin1(key), (value) => {
        Buffer.from(value.buffer, value.byteOffset, value.length).writeUInt32LE(to, 0);
        return value;
      });
      const directory = await open(memory);
      expect(damagedNames(memory)).toEqual(['damaged-log-1']);
      await closeDirectory(directory);
    },
  );

  test('the bound on the term', () => {
    const text = sealedText({ format: later, memberId: '1', term: 300 });
    expect(() => decodeTermBound(text, 1n)).toThrow('the bound on the term has format version 2');
    expect(decodeTermBound(text.replace('300', '301'), 1n)).toBeUndefined();
    expect(decodeTermBound(sealedText({ format: 0, memberId: '1', term: 1 }), 1n)).toBeUndefined();
  });
});
