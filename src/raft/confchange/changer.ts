/** Works out the configuration that follows a change of membership (dissertation chapter 4). */
import { Inflights } from '../tracker/inflights.ts';
import { Progress } from '../tracker/progress.ts';
import type { TrackedConfig, Tracker, TrackerConfig } from '../tracker/tracker.ts';
import {
  ConfChangeType,
  noMember,
  type ConfChange,
  type ConfChangeSingle,
  type MemberId,
} from '../types.ts';
import { ConfChangeError } from './error.ts';
import { checkInvariants } from './invariants.ts';
import { leavesByItself, transitionKind } from './transition.ts';

/** A configuration in the making. */
interface Draft {
  readonly incoming: Set<MemberId>;
  readonly outgoing: Set<MemberId>;
  readonly learners: Set<MemberId>;
  readonly learnersNext: Set<MemberId>;
  readonly progress: Map<MemberId, Progress>;
}

/**
 * Every method leaves the tracker as it is and returns what to install, or throws a
 * {@link ConfChangeError} if the change is not allowed.
 */
export class Changer {
  readonly #tracker: Tracker;
  readonly #lastIndex: number;

  /** New members are first probed at `lastIndex`. */
  constructor(tracker: Tracker, lastIndex: number) {
    this.#tracker = tracker;
    this.#lastIndex = lastIndex;
  }

  /** Carries out a change in the way it asks for. */
  apply(change: ConfChange): TrackedConfig {
    switch (transitionKind(change)) {
      case 'simple':
        return this.simple(change.changes);
      case 'enterJoint':
        return this.enterJoint(leavesByItself(change), change.changes);
      case 'leaveJoint':
        return this.leaveJoint();
    }
  }

  /** From `C_old` to `C_old,new`: from here on both majorities must agree. */
  enterJoint(autoLeave: boolean, changes: readonly ConfChangeSingle[]): TrackedConfig {
    const draft = this.#draft();
    if (draft.outgoing.size > 0) throw new ConfChangeError('config is already joint');
    if (draft.incoming.size === 0) {
      throw new ConfChangeError("can't make a zero-voter config joint");
    }
    for (const member of draft.incoming) draft.outgoing.add(member);
    this.#applyAll(draft, changes);
    return finish(draft, autoLeave);
  }

  /** From `C_old,new` to `C_new`: the outgoing half is dropped, waiting learners become ones. */
  leaveJoint(): TrackedConfig {
    const draft = this.#draft();
    if (draft.outgoing.size === 0) throw new ConfChangeError("can't leave a non-joint config");
    for (const member of draft.learnersNext) {
      draft.learners.add(member);
      const progress = draft.progress.get(member);
      if (progress !== undefined) progress.isLearner = true;
    }
    draft.learnersNext.clear();
    for (const member of draft.outgoing) {
      if (!draft.incoming.has(member) && !draft.learners.has(member)) draft.progress.delete(member);
    }
    draft.outgoing.clear();
    return finish(draft, false);
  }

  /**
   * Changes at most one voter in one step (dissertation 4.1): then the majorities before and
   * after overlap by themselves. Any number of learners may change along.
   */
  simple(changes: readonly ConfChangeSingle[]): TrackedConfig {
    const draft = this.#draft();
    if (draft.outgoing.size > 0) {
      throw new ConfChangeError("can't apply simple config change in joint config");
    }
    this.#applyAll(draft, changes);
    if (differences(this.#tracker.config.voters.incoming, draft.incoming) > 1) {
      throw new ConfChangeError('more than one voter changed without entering joint config');
    }
    return finish(draft, false);
  }

  #draft(): Draft {
    const { config, progress } = this.#tracker;
    checkInvariants({ config, progress });
    return {
      incoming: new Set(config.voters.incoming),
      outgoing: new Set(config.voters.outgoing),
      learners: new Set(config.learners),
      learnersNext: new Set(config.learnersNext),
      progress: new Map([...progress].map(([member, each]) => [member, each.clone()])),
    };
  }

  #applyAll(draft: Draft, changes: readonly ConfChangeSingle[]): void {
    for (const { type, member } of changes) {
      // A host that rejects a committed change applies it with no member instead.
      if (member === noMember) continue;
      switch (type) {
        case ConfChangeType.addVoter:
          this.#makeVoter(draft, member);
          break;
        case ConfChangeType.addLearner:
          this.#makeLearner(draft, member);
          break;
        case ConfChangeType.remove:
          remove(draft, member);
          break;
        case ConfChangeType.update:
          break;
      }
    }
    if (draft.incoming.size === 0) throw new ConfChangeError('removed all voters');
  }

  #makeVoter(draft: Draft, member: MemberId): void {
    this.#progressOf(draft, member).isLearner = false;
    draft.learners.delete(member);
    draft.learnersNext.delete(member);
    draft.incoming.add(member);
  }

  #makeLearner(draft: Draft, member: MemberId): void {
    const progress = this.#progressOf(draft, member);
    draft.incoming.delete(member);
    // A voter of the outgoing half keeps its vote until that half is dropped.
    if (draft.outgoing.has(member)) {
      draft.learnersNext.add(member);
    } else {
      progress.isLearner = true;
      draft.learners.add(member);
    }
  }

  /** The member's progress, which outlives a change of its standing, or a new one. */
  #progressOf(draft: Draft, member: MemberId): Progress {
    const present = draft.progress.get(member);
    if (present !== undefined) return present;
    const added = new Progress({
      match: 0,
      next: Math.max(this.#lastIndex, 1),
      inflights: new Inflights(this.#tracker.limits),
      isLearner: false,
      // Else a check of the quorum could depose the leader before the member had a chance to speak.
      recentActive: true,
    });
    draft.progress.set(member, added);
    return added;
  }
}

function remove(draft: Draft, member: MemberId): void {
  draft.incoming.delete(member);
  draft.learners.delete(member);
  draft.learnersNext.delete(member);
  // The outgoing half still counts on the member.
  if (!draft.outgoing.has(member)) draft.progress.delete(member);
}

function finish(draft: Draft, autoLeave: boolean): TrackedConfig {
  const config: TrackerConfig = {
    voters: { incoming: draft.incoming, outgoing: draft.outgoing },
    learners: draft.learners,
    learnersNext: draft.learnersNext,
    autoLeave,
  };
  const tracked: TrackedConfig = { config, progress: draft.progress };
  checkInvariants(tracked);
  return tracked;
}

function differences(before: ReadonlySet<MemberId>, after: ReadonlySet<MemberId>): number {
  let count = 0;
  for (const member of before) if (!after.has(member)) count++;
  for (const member of after) if (!before.has(member)) count++;
  return count;
}
