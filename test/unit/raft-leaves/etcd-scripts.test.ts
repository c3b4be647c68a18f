/** Replays etcd-io/raft's own scripts of quorums and membership changes, to the letter. */
import { describe, expect, test } from 'vitest';
import { Changer } from '../../../src/raft/confchange/changer.ts';
import { ConfChangeError } from '../../../src/raft/confchange/error.ts';
import * as joint from '../../../src/raft/quorum/joint.ts';
import * as majority from '../../../src/raft/quorum/majority.ts';
import { formatConfig, formatProgress, Tracker } from '../../../src/raft/tracker/tracker.ts';
import { ConfChangeType, type ConfChangeSingle, type MemberId } from '../../../src/raft/types.ts';
import { parseTranscript, type TranscriptCommand } from '../../support/datadriven.ts';
import { readSharedFolder } from '../../support/shared-files.ts';

function replay(folder: string, start: () => (command: TranscriptCommand) => string): void {
  const files = readSharedFolder(`raft-scripts/${folder}`);
  describe(`etcd-io/raft's ${folder} scripts`, () => {
    if (files === undefined) {
      test.skip(`are not replayed: ../shared/raft-scripts/${folder} is absent`);
      return;
    }
    test.each(files.map((file) => [file.name, file] as const))('%s', (_name, file) => {
      const { commands } = parseTranscript(file.text);
      expect(commands.length).toBeGreaterThan(0);
      const run = start();
      for (const command of commands) {
        const output = run(command).replace(/\n$/, '');
        expect(output, `${file.name}:${command.lineNumber} ${command.line}`).toBe(command.output);
      }
    });
  });
}

replay('confchange', () => {
  const tracker = new Tracker({ messages: 10, bytes: 0 });
  let lastIndex = 0;
  return (command) => {
    const changer = new Changer(tracker, lastIndex++);
    try {
      tracker.install(change(changer, command));
    } catch (error) {
      if (error instanceof ConfChangeError) return error.message;
      throw error;
    }
    return `${formatConfig(tracker.config)}\n${formatProgress(tracker.progress)}`;
  };
});

function change(changer: Changer, command: TranscriptCommand): ReturnType<Changer['leaveJoint']> {
  const changes = command.input.split(/\s+/).filter(Boolean).map(parseChange);
  switch (command.name) {
    case 'simple':
      return changer.simple(changes);
    case 'enter-joint':
      return changer.enterJoint(
        command.arguments.some(({ key, values }) => key === 'autoleave' && values[0] === 'true'),
        changes,
      );
    case 'leave-joint':
      expect(changes).toEqual([]);
      return changer.leaveJoint();
    default:
      throw new Error(`unknown command ${command.name}`);
  }
}

function parseChange(word: string): ConfChangeSingle {
  const types = new Map([
    ['v', ConfChangeType.addVoter],
    ['l', ConfChangeType.addLearner],
    ['r', ConfChangeType.remove],
    ['u', ConfChangeType.update],
  ]);
  const type = types.get(word.slice(0, 1));
  if (type === undefined) throw new Error(`unknown change ${word}`);
  return { type, member: BigInt(word.slice(1)) };
}

replay('quorum', () => (command) => {
  const values = (key: string): readonly string[] =>
    command.arguments.find((argument) => argument.key === key)?.values ?? [];
  const isJoint = command.arguments.some(({ key }) => key === 'cfgj');
  const ids = (key: string): MemberId[] =>
    values(key)
      .filter((value) => value !== 'zero')
      .map((value) => BigInt(value));
  const incoming = new Set(ids('cfg'));
  const outgoing = new Set(ids('cfgj'));
  // Values belong to members in the order in which these are first named.
  const members = [...new Set([...incoming, ...outgoing])];
  const given = values(command.name === 'vote' ? 'votes' : 'idx');
  expect(given.length, 'one value for each voter').toBe(members.length);
  const known = new Map(
    members.flatMap((member, position) => {
      const value = given[position];
      return value === undefined || value === '_' ? [] : [[member, value] as const];
    }),
  );
  const voters = { incoming, outgoing };
  const mirrored = { incoming: outgoing, outgoing: incoming };

  if (command.name === 'vote') {
    const votes = new Map([...known].map(([member, value]) => [member, value === 'y']));
    const result = isJoint ? joint.voteResult(voters, votes) : majority.voteResult(incoming, votes);
    expect(joint.voteResult(mirrored, votes), 'the halves are interchangeable').toBe(result);
    return { won: 'VoteWon', lost: 'VoteLost', pending: 'VotePending' }[result];
  }

  expect(command.name).toBe('committed');
  const acked = (member: MemberId): number | undefined => {
    const value = known.get(member);
    return value === undefined ? undefined : Number(value);
  };
  const index = isJoint
    ? joint.committedIndex(voters, acked)
    : majority.committedIndex(incoming, acked);
  expect(joint.committedIndex(mirrored, acked), 'the halves are interchangeable').toBe(index);
  const picture = isJoint ? joint.describe(voters, acked) : majority.describe(incoming, acked);
  return `${picture}${index === Infinity ? '∞' : index}`;
});
