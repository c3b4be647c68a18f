/** Standing for election and voting (Raft 5.2, 5.4.1; pre-vote: dissertation 9.6). */
import { tellCommitted } from './committed.ts';
import type { Core } from './core.ts';
import type { VoteMessage } from './message.ts';
import { EntryKind, noMember, type MemberId } from './types.ts';

/** `transfer`: the leader asked for it, so other members vote in spite of its lease. */
export type CampaignKind = 'preElection' | 'election' | 'transfer';

/** Stands for election unless something forbids it. */
export function tryCampaign(core: Core, kind: CampaignKind): void {
  if (core.role === 'leader') return;
  if (!core.promotable()) {
    core.config.trace('notPromotable', { term: core.term });
    return;
  }
  // Its own configuration would be out of date: it could elect itself by a majority that is none.
  if (hasUnappliedConfChange(core)) {
    core.config.trace('campaignDeferred', { term: core.term });
    return;
  }
  campaign(core, kind);
}

function campaign(core: Core, kind: CampaignKind): void {
  const pre = kind === 'preElection';
  if (pre) core.becomePreCandidate();
  else core.becomeCandidate();
  const last = core.log.lastPosition();
  for (const member of core.tracker.voterIds()) {
    if (member === core.id) continue;
    const message: VoteMessage = {
      type: pre ? 'preVote' : 'vote',
      from: core.id,
      to: member,
      // A pre-vote is about the term that would be started.
      term: pre ? core.term + 1 : core.term,
      index: last.index,
      logTerm: last.term,
      transfer: kind === 'transfer',
    };
    // A candidate that forgets its term in a crash could lead twice in it, with different logs:
    // others would grant again what they granted before. So its own vote is durable first.
    if (pre) core.send(message);
    else core.sendAfterPersist(message);
  }
  // A pre-vote binds nobody; a candidate's own vote counts once it is durable.
  if (pre) countVote(core, core.id, true);
}

/** Takes a vote and, if it decides, its consequence. */
export function countVote(core: Core, member: MemberId, granted: boolean): void {
  core.tracker.recordVote(member, granted);
  switch (core.tracker.voteResult()) {
    case 'won':
      if (core.role === 'preCandidate') tryCampaign(core, 'election');
      else core.becomeLeader();
      return;
    case 'lost':
      core.becomeFollower(core.term, noMember);
      return;
    case 'pending':
  }
}

/** The hard state of `term` is durable here, and with it a candidate's vote for itself. */
export function ownVoteDurable(core: Core, term: number): void {
  if (core.role === 'candidate' && core.term === term) countVote(core, core.id, true);
}

/**
 * Answers a vote or pre-vote of at least the own term. Learners vote too: a learner may have been
 * made a voter without knowing it yet, and its vote may be needed to tell it.
 */
export function handleVote(core: Core, message: VoteMessage): void {
  const pre = message.type === 'preVote';
  const free =
    core.vote === message.from ||
    (core.vote === noMember && core.leader === noMember) ||
    (pre && message.term > core.term);
  const complete = core.log.isUpToDate({ index: message.index, term: message.logTerm });
  const granted = free && complete && !core.abstains();
  core.config.trace('voteAnswered', {
    kind: message.type,
    candidate: message.from,
    term: message.term,
    granted,
  });
  answerVote(core, message, granted);
  // A member that was removed may hold entries that others lost before they were durable, so it
  // refuses those that do not know yet of its removal, and cannot lead itself: they would stand
  // still for ever.
  if (!granted) tellCommitted(core, message.from, Math.min(core.log.committed, message.index));
  if (granted && !pre) {
    core.electionElapsed = 0;
    core.vote = message.from;
  }
}

/** A grant carries the term asked about, a refusal the own one, from which the candidate learns. */
export function answerVote(core: Core, message: VoteMessage, granted: boolean): void {
  core.sendAfterPersist({
    type: message.type === 'preVote' ? 'preVoteResponse' : 'voteResponse',
    from: core.id,
    to: message.from,
    term: granted ? message.term : core.term,
    reject: !granted,
  });
}

/** Followers and candidates: campaign when nobody has led for long enough. */
export function tickElection(core: Core): void {
  core.electionElapsed++;
  core.dropOldForwardedReads();
  if (core.electionElapsed < core.randomizedElectionTicks || !core.promotable()) return;
  core.electionElapsed = 0;
  tryCampaign(core, core.config.preVote ? 'preElection' : 'election');
}

function hasUnappliedConfChange(core: Core): boolean {
  const { log } = core;
  const pageBytes = core.config.committedSizeLimitBytes;
  for (let low = log.applied + 1; low <= log.committed;) {
    const page = log.slice(low, log.committed + 1, pageBytes);
    // What is compacted is applied, so this cannot be; but to campaign would be the wrong guess.
    if (typeof page === 'symbol') return true;
    if (page.some((entry) => entry.kind === EntryKind.confChange)) return true;
    low += page.length;
  }
  return false;
}
