/** The way of a message: first the terms are compared, then the role acts. */
import { acknowledge } from './acknowledge.ts';
import { stepCandidate } from './candidate.ts';
import type { Core } from './core.ts';
import { learnCommitted } from './committed.ts';
import { answerVote, handleVote, tickElection } from './election.ts';
import { stepFollower } from './follower.ts';
import { stepLeader, tickLeader } from './leader.ts';
import type { Message } from './message.ts';
import { noMember } from './types.ts';

export function step(core: Core, message: Message): void {
  if (message.to !== core.id || message.from === core.id) {
    core.config.trace('misdirected', { type: message.type, from: message.from, to: message.to });
    return;
  }
  // Proposals and reads are passed on whatever the terms: they are requests, not Raft's own.
  if (message.type !== 'propose' && message.type !== 'readIndex') {
    if (message.term < core.term) {
      handleOlderTerm(core, message);
      return;
    }
    if (message.term > core.term && !enterNewerTerm(core, message)) return;
  }
  if (message.type === 'vote' || message.type === 'preVote') handleVote(core, message);
  else if (message.type === 'committed') learnCommitted(core, message);
  else if (core.role === 'leader') stepLeader(core, message);
  else if (core.role === 'follower') stepFollower(core, message);
  else stepCandidate(core, message);
}

export function tick(core: Core): void {
  core.now++;
  if (core.role === 'leader') tickLeader(core);
  else tickElection(core);
}

/** Takes over the newer term. Returns false if the message is to be ignored. */
function enterNewerTerm(core: Core, message: Message): boolean {
  switch (message.type) {
    case 'vote':
    case 'preVote':
      if (!message.transfer && core.inLease()) {
        core.config.trace('voteIgnored', { candidate: message.from, term: message.term });
        return false;
      }
      // A pre-vote asks about a term that nobody has started.
      if (message.type === 'vote') core.becomeFollower(message.term, noMember);
      return true;
    case 'preVoteResponse':
      // A grant names the term asked about; only a refusal names the term of its sender.
      if (message.reject) return enterTermOfRefusal(core, message);
      return true;
    case 'voteResponse':
    case 'committed':
      return enterTermOfRefusal(core, message);
    case 'append':
    case 'heartbeat':
    case 'snapshot':
      core.becomeFollower(message.term, message.from);
      return true;
    default:
      core.becomeFollower(message.term, noMember);
      return true;
  }
}

/** Late answers to an own campaign must not end what a lease of the leader's reads rests on. */
function enterTermOfRefusal(core: Core, message: Message): boolean {
  if (core.config.leaseReads && core.inLease()) return false;
  core.becomeFollower(message.term, noMember);
  return true;
}

function handleOlderTerm(core: Core, message: Message): void {
  const { checkQuorum, preVote } = core.config;
  if (message.type === 'append' || message.type === 'heartbeat') {
    // A leader with an older term may be all there is: this member's own campaigns are ignored by
    // voters in their lease, so it must show its term to be taken back in.
    // One that abstains has no campaigns by which its term would become known otherwise.
    if (!checkQuorum && !preVote && !core.abstains()) return;
    acknowledge(core, message.from, 0);
  } else if (message.type === 'preVote' || (message.type === 'vote' && !core.inLease())) {
    // Silence could leave a candidate of an older term behind for ever: it has no other way to hear
    // of the newer one from a member that does not know it yet (Raft figure 2, RequestVote, 1).
    // Where there is a leader, that one takes it back in.
    answerVote(core, message, false);
  } else if (message.type === 'committed') {
    // Who refuses a pre-vote may be of an older term; what is committed stays so in later ones.
    learnCommitted(core, message);
  }
}
