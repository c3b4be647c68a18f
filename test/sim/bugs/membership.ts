/** Mistakes with changes of membership. */
import type { PlantedBug } from './bug.ts';

export const membershipBugs: readonly PlantedBug[] = [
  {
    id: 'change-before-own-commit',
    mistake: 2,
    title: 'a change of membership before an entry of the own term is committed',
    caughtBy: 'change-too-early',
    edits: [
      {
        file: 'src/raft/core.ts',
        find: 'this.pendingConfIndex = this.log.lastIndex;',
        replace: '',
      },
    ],
  },
  {
    id: 'campaign-with-unapplied-change',
    mistake: 3,
    title: 'a campaign with a committed change of membership that is not applied',
    caughtBy: 'campaign-too-early',
    edits: [
      {
        file: 'src/raft/election.ts',
        find: 'if (page.some((entry) => entry.kind === EntryKind.confChange)) return true;',
        replace: '',
      },
    ],
  },
  {
    id: 'refused-change-counts',
    mistake: 16,
    title: 'the quorum takes a change that the list of members refuses',
    caughtBy: 'membership',
    edits: [
      {
        file: 'src/server/member-changes.ts',
        find: 'return { effective: withoutEffect(change), settle };',
        replace: 'return { effective: change, settle };',
      },
    ],
  },
  {
    id: 'quorum-not-persisted',
    mistake: 16,
    title: 'the list of members is persisted, the quorum that goes with it is not',
    caughtBy: 'membership',
    edits: [
      {
        file: 'src/server/member.ts',
        find: 'this.#options.directory.backend.setConfState(confState);',
        replace: '',
      },
    ],
  },
  {
    id: 'update-promotes-learner',
    mistake: 19,
    title: 'an update of the peer URLs of a learner makes a voter of it',
    caughtBy: 'membership',
    edits: [
      {
        file: 'src/cluster/membership.ts',
        find: "if (kind === 'update') this.#set({ ...member, peerUrls: change.peerUrls });",
        replace:
          "if (kind === 'update') " +
          'this.#set({ ...member, peerUrls: change.peerUrls, isLearner: false });',
      },
    ],
  },
  {
    id: 'addition-needs-all',
    mistake: 19,
    title: 'an addition is refused while a member is down',
    caughtBy: 'change-progress',
    edits: [
      {
        file: 'src/server/member-changes.ts',
        find: "if (!isQuorumWithOneMore(active, voters)) throw new EtcdError('unhealthy');",
        replace: "if (active < voters) throw new EtcdError('unhealthy');",
      },
    ],
  },
  {
    // Nobody is demoted by requests: who does not know yet that it is a learner is who has joined.
    id: 'learner-refuses-snapshot',
    mistake: 23,
    title: 'one that does not know that it is a learner refuses the snapshot that it needs',
    caughtBy: 'convergence',
    edits: [
      {
        file: 'src/raft/snapshot.ts',
        find: 'const restored = tryRestore(core, message.snapshot);',
        replace:
          'const learns = message.snapshot.confState.learners.includes(core.id);\n' +
          '  if (learns && !core.isSelfLearner()) return;\n' +
          '  const restored = tryRestore(core, message.snapshot);',
      },
    ],
  },
];
