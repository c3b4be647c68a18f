/** Mistakes with the time of leases. */
import type { PlantedBug } from './bug.ts';

export const leaseBugs: readonly PlantedBug[] = [
  {
    id: 'old-leader-revokes',
    mistake: 11,
    title: 'a leader lets leases expire unconfirmed, and whoever leads takes its word for it',
    caughtBy: 'lease-early',
    edits: [
      {
        file: 'src/server/lease-keeper.ts',
        find: 'const term = this.#term;\n    this.#options.confirm(',
        replace: 'const term = this.#term;\n    ((done: any) => done(undefined))(',
      },
      {
        file: 'src/server/raft-driver.ts',
        find: 'if (this.#stopped || this.#node.proposeInTerm(term, datas) !== undefined) return',
        replace:
          'for (const data of datas) this.#proposals.add({ id: -1n, data });\n' +
          '    if (this.#stopped) return',
      },
      {
        file: 'src/server/waiting-proposals.ts',
        find: 'if (!this.#isAwaited(id)) continue;',
        replace: 'if (id !== -1n && !this.#isAwaited(id)) continue;',
      },
    ],
  },
  {
    id: 'renewals-unconfirmed',
    mistake: 11,
    title: 'whoever believes to lead renews leases at once',
    caughtBy: 'lease-undead, lease-lost or lease-early',
    edits: [
      {
        file: 'src/server/lease-keeper.ts',
        find: 'this.#options.confirm((refusal) => {\n      if (refusal !== undefined ||',
        replace:
          '((done: any) => done(undefined))((refusal: any) => {\n' +
          '      if (refusal !== undefined ||',
      },
    ],
  },
  {
    id: 'checkpoints-stop-after-change',
    mistake: 11,
    title: 'checkpoints are made by the first leader of a lease only',
    caughtBy: 'lease-progress',
    edits: [
      {
        file: 'src/server/lease-keeper.ts',
        find: '    this.#checkpoints.schedule(kept);\n  }\n\n  #leftMs',
        replace:
          '    if (forMs === lease.ttlSeconds * 1000) this.#checkpoints.schedule(kept);\n' +
          '  }\n\n  #leftMs',
      },
    ],
  },
  {
    id: 'lease-time-begins-anew',
    mistake: 11,
    title: 'a new leader grants every lease its whole time again',
    caughtBy: 'lease-progress',
    edits: [
      {
        file: 'src/lease/lease.ts',
        find: 'return remainingSeconds > 0 ? remainingSeconds : ttlSeconds;',
        replace: 'return ttlSeconds;',
      },
    ],
  },
  {
    id: 'checkpoint-outlives-renewal',
    mistake: 11,
    title: 'a renewal is answered while the log still says that little is left',
    caughtBy: 'lease-early',
    edits: [
      {
        file: 'src/server/lease-keeper.ts',
        find: 'if (lease.remainingSeconds > 0 || kept.checkpointsUnderWay > 0) {',
        replace: 'if (kept.gone) {',
      },
    ],
  },
  {
    id: 'revoke-answered-before-applied',
    mistake: 'state',
    title: 'a revocation is answered and the lease stays',
    caughtBy: 'lease-undead',
    edits: [
      {
        file: 'src/apply/applier.ts',
        find: '    this.#lessor.revoke(id);\n',
        replace: '    if (grant !== 0n) this.#lessor.revoke(id);\n',
      },
    ],
  },
  {
    id: 'lease-keys-one-by-one',
    mistake: 'state',
    title: 'the keys of a lease go in a revision each',
    caughtBy: 'kv-once, kv-answer or any rule of revisions',
    edits: [
      {
        file: 'src/apply/applier.ts',
        find:
          '    this.#write((txn) => {\n' +
          '      for (const key of keys) txn.deleteRange(key, undefined);\n' +
          '    });\n' +
          '    this.#lessor.revoke(id);',
        replace:
          '    for (const key of keys) this.#write((txn) => txn.deleteRange(key, undefined));\n' +
          '    this.#lessor.revoke(id);',
      },
    ],
  },
  {
    id: 'lease-leaves-key',
    mistake: 'state',
    title: 'the last key of a lease stays when the lease ends',
    caughtBy: 'crashed, as it cannot be read at the next start, or kv-answer',
    edits: [
      {
        file: 'src/apply/applier.ts',
        find: 'for (const key of keys) txn.deleteRange(key, undefined);',
        replace: 'for (const key of keys.slice(0, -1)) txn.deleteRange(key, undefined);',
      },
      {
        file: 'src/lease/lessor.ts',
        find: "assert(lease.keys.size === 0, 'a lease is revoked before its keys are deleted');",
        replace:
          'assert(lease.keys.size < 2);\n' +
          '    for (const key of lease.keys) this.#leaseOfKey.delete(key);',
      },
    ],
  },
  {
    id: 'key-stays-with-old-lease',
    mistake: 'state',
    title: 'a key that was moved to another lease goes with the one before it',
    caughtBy: 'equal-states, once a member was restarted, or kv-answer',
    edits: [
      {
        file: 'src/lease/lessor.ts',
        find: 'before.keys.delete(key);',
        replace: 'if (id === noLease) before.keys.delete(key);',
      },
      {
        file: 'src/lease/lessor.ts',
        find: "assert(lease.keys.size === 0, 'a lease is revoked before its keys are deleted');",
        replace: 'assert(lease.keys.size >= 0);',
      },
    ],
  },
  {
    id: 'leases-not-in-snapshot',
    mistake: 13,
    title: 'after a snapshot the leases are still those from before',
    caughtBy: 'equal-states, crashed or lease-lost',
    edits: [
      {
        file: 'src/server/state-machine.ts',
        find: 'this.#state = state;\n    this.#applier.restore(state);',
        replace:
          'state = { ...state, lessor: this.#state.lessor };\n' +
          '    this.#state = state;\n    this.#applier.restore(state);',
      },
    ],
  },
];
