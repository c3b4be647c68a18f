/** Mistakes in elections, in moving the log and in what is durable when. */
import type { PlantedBug } from './bug.ts';

const elections: readonly PlantedBug[] = [
  {
    id: 'vote-not-stored',
    mistake: 4,
    title: 'the vote is never written: a member that restarts votes again',
    caughtBy: 'election-safety',
    edits: [
      {
        file: 'src/storage/raft-log.ts',
        find: 'encodeHardState(this.#hardState)',
        replace: 'encodeHardState({ ...this.#hardState, vote: 0n })',
      },
    ],
  },
  {
    id: 'term-and-vote-in-two-writes',
    mistake: 4,
    title: 'the term is synced, the vote follows in a write of its own',
    caughtBy: 'election-safety',
    edits: [
      {
        file: 'src/storage/raft-log.ts',
        find: 'encodeHardState(this.#hardState)));',
        replace: 'encodeHardState({ ...this.#hardState, vote: 0n })));',
      },
      {
        file: 'src/storage/raft-log.ts',
        find: 'done(error);\n    });\n  }\n',
        replace:
          'done(error);\n    });\n' +
          'const vote = put(logKeys.hardState, encodeHardState(this.#hardState));\n' +
          'this.#engine.write([vote], false, () => {});\n  }\n',
      },
    ],
  },
  {
    id: 'vote-without-sync',
    mistake: 4,
    title: 'a vote alone is no reason to sync',
    caughtBy: 'election-safety',
    edits: [
      {
        file: 'src/raft/output.ts',
        find: ' || core.vote !== this.#hardState.vote;',
        replace: ';',
      },
    ],
  },
  {
    id: 'vote-answered-before-durable',
    mistake: 4,
    title: 'a vote is sent while it is being written',
    caughtBy: 'election-safety',
    edits: [
      {
        file: 'src/raft/election.ts',
        find: "core.sendAfterPersist({\n    type: message.type === 'preVote'",
        replace: "core.send({\n    type: message.type === 'preVote'",
      },
    ],
  },
  {
    id: 'candidate-asks-before-durable',
    mistake: 4,
    title: 'a candidate asks for votes before its own term is durable, and may lead twice in it',
    caughtBy: 'election-safety',
    edits: [
      {
        file: 'src/raft/election.ts',
        find: 'else core.sendAfterPersist(message);',
        replace: 'else core.send(message);',
      },
    ],
  },
  {
    id: 'votes-twice',
    mistake: 'raft',
    title: 'a vote is granted although another had it in this term',
    caughtBy: 'election-safety',
    edits: [
      {
        file: 'src/raft/election.ts',
        find: '(core.vote === noMember && core.leader === noMember) ||',
        replace: 'core.leader === noMember ||',
      },
    ],
  },
  {
    id: 'votes-for-shorter-logs',
    mistake: 'raft',
    title: "a candidate's log is not compared with the voter's",
    caughtBy: 'leader-completeness',
    edits: [
      {
        file: 'src/raft/election.ts',
        find: 'const granted = free && complete && ',
        replace: 'const granted = free && ',
      },
    ],
  },
  {
    id: 'pre-votes-count-as-votes',
    mistake: 17,
    title: 'late grants of a pre-vote are counted as votes of the election',
    caughtBy: 'election-safety',
    edits: [
      {
        file: 'src/raft/candidate.ts',
        find: "if (core.role !== 'preCandidate') return;",
        replace: "if (core.role === 'candidate') return countVote(core, message.from, true);",
      },
    ],
  },
  {
    id: 'pre-vote-takes-vote',
    mistake: 17,
    title: 'a granted pre-vote is noted as the vote of the current term',
    caughtBy: 'crashed (vote changed within a term)',
    edits: [
      {
        file: 'src/raft/election.ts',
        find: 'if (granted && !pre) {',
        replace: 'if (granted) {',
      },
    ],
  },
  {
    id: 'pre-vote-refusal-ignored',
    mistake: 17,
    title: 'a pre-candidate never adopts the newer term that a refusal tells',
    caughtBy: 'progress or convergence',
    edits: [
      {
        file: 'src/raft/step.ts',
        find: 'if (message.reject) return enterTermOfRefusal(core, message);',
        replace: '',
      },
      {
        file: 'src/raft/step.ts',
        find: 'if (!checkQuorum && !preVote && !core.abstains()) return;',
        replace: 'return;',
      },
    ],
  },
  {
    id: 'no-pre-vote',
    mistake: 18,
    title: 'a member that was cut off comes back with a higher term and deposes the leader',
    caughtBy: 'pre-vote',
    edits: [
      {
        file: 'src/raft/election.ts',
        find: "tryCampaign(core, core.config.preVote ? 'preElection' : 'election');",
        replace: "tryCampaign(core, 'election');",
      },
    ],
  },
  {
    id: 'no-check-quorum',
    mistake: 18,
    title: 'a leader that hears from nobody leads on',
    caughtBy: 'check-quorum',
    edits: [
      {
        file: 'src/raft/leader.ts',
        find: 'if (!core.tracker.quorumActive()) {',
        replace: 'if (Date.now() === 0) {',
      },
    ],
  },
  {
    id: 'told-commit-not-compared',
    mistake: 'raft',
    title: 'what is told to be committed is taken for it without a look at the own entry',
    caughtBy: 'state-machine-safety or crashed',
    edits: [
      {
        file: 'src/raft/committed.ts',
        find: 'if (core.log.matches({ index, term: logTerm })) core.log.commitTo(index);',
        replace: 'if (index <= core.log.lastIndex) core.log.commitTo(index);',
      },
    ],
  },
];

const replication: readonly PlantedBug[] = [
  {
    id: 'commits-older-terms',
    mistake: 1,
    title: 'replicas of entries of older terms are counted (figure 8)',
    caughtBy: 'leader-completeness',
    edits: [
      {
        file: 'src/raft/log/raft-log.ts',
        find: ' || this.termOrZero(index) !== term) return false;',
        replace: ') return false;',
      },
    ],
  },
  {
    id: 'minority-commits',
    mistake: 'raft',
    title: 'one member less than a majority commits',
    caughtBy: 'leader-completeness',
    edits: [
      {
        file: 'src/raft/quorum/majority.ts',
        find: 'return at(sorted, majorityOf(size) - 1);',
        replace: 'return at(sorted, Math.max(0, majorityOf(size) - 2));',
      },
    ],
  },
  {
    id: 'heartbeat-commits-unmatched',
    mistake: 'raft',
    title: "a heartbeat carries the leader's commit index to followers that do not match it",
    caughtBy: 'state-machine-safety or crashed',
    edits: [
      {
        file: 'src/raft/heartbeat.ts',
        find: 'Math.min(progress.match, core.log.committed)',
        replace: 'core.log.committed',
      },
    ],
  },
  {
    id: 'append-commits-own-tail',
    mistake: 'raft',
    // Harmless by itself: a leader's first append to each follower has an entry of its own term,
    // which replaces what differs before anything is committed. So probes carry nothing here.
    title: 'an append commits beyond the entries that it proved to match, and probes are empty',
    caughtBy: 'state-machine-safety',
    edits: [
      {
        file: 'src/raft/log/raft-log.ts',
        find: 'this.commitTo(Math.min(commit, lastNew));',
        replace: 'this.commitTo(Math.min(commit, this.#lastIndex));',
      },
      {
        file: 'src/raft/replication.ts',
        find: "const full = progress.state === 'replicate' && progress",
        replace: "const full = progress.state === 'probe' || progress",
      },
    ],
  },
  {
    id: 'conflict-not-truncated',
    mistake: 'raft',
    title: 'entries that conflict with the leader are kept',
    caughtBy: 'state-machine-safety or crashed',
    edits: [
      {
        file: 'src/raft/log/raft-log.ts',
        find: 'if (conflict <= this.#lastIndex) this.#truncateFrom(conflict);\n',
        replace: 'if (conflict <= this.#lastIndex) return lastNew;\n',
      },
    ],
  },
  {
    id: 'truncation-keeps-durable',
    mistake: 20,
    title: 'what was overwritten still counts as durable',
    caughtBy: 'crashed or leader-completeness',
    edits: [
      {
        file: 'src/raft/log/raft-log.ts',
        find: 'this.#durable = Math.min(this.#durable, index - 1);',
        replace: '',
      },
    ],
  },
  {
    id: 'ack-of-overwritten-entry',
    mistake: 20,
    title: 'the write of an entry that was replaced meanwhile vouches for its successor',
    caughtBy: 'crashed or leader-completeness',
    edits: [
      {
        file: 'src/raft/log/write-queue.ts',
        find: 'write.validIndex = Math.min(write.validIndex, index - 1);',
        replace: 'void [write, index];',
      },
    ],
  },
  {
    id: 'follower-acks-before-sync',
    mistake: 5,
    title: 'a follower acknowledges an append before it is synced',
    caughtBy: 'leader-completeness',
    edits: [
      {
        file: 'src/raft/acknowledge.ts',
        find: 'core.sendAfterPersist({',
        replace: 'core.send({',
      },
    ],
  },
  {
    id: 'leader-counts-unsynced',
    mistake: 5,
    title: 'a leader, or the only member, counts its own entries before they are synced',
    caughtBy: 'crashed (a leader counts what is not durable) or leader-completeness',
    edits: [
      {
        file: 'src/raft/replication.ts',
        find: 'self?.maybeUpdate(core.log.durable) === true',
        replace: 'self?.maybeUpdate(core.log.lastIndex) === true',
      },
    ],
  },
  {
    id: 'stale-snapshot-accepted',
    mistake: 13,
    title: 'an older snapshot replaces a newer log',
    caughtBy: 'crashed (commit fell)',
    edits: [
      {
        file: 'src/raft/snapshot.ts',
        find: 'if (snapshot.index <= log.committed) return false;',
        replace: '',
      },
      {
        file: 'src/raft/snapshot.ts',
        find: 'if (log.matches(snapshot)) {',
        replace: 'if (log.lastIndex < 0) {',
      },
    ],
  },
  {
    id: 'uncommitted-without-limit',
    mistake: 22,
    title: 'a leader without a quorum takes proposals until memory is full',
    caughtBy: 'uncommitted-limit',
    edits: [
      {
        file: 'src/raft/proposal.ts',
        find: 'uncommittedBytes + payload > config.uncommittedSizeLimitBytes',
        replace: 'uncommittedBytes + payload > config.uncommittedSizeLimitBytes * 1e6',
      },
    ],
  },
];

export const consensusBugs: readonly PlantedBug[] = [...elections, ...replication];
