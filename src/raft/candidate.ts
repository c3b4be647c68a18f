/** How candidates and pre-candidates act on messages of their own term. */
import type { Core } from './core.ts';
import { countVote } from './election.ts';
import { stepFollower } from './follower.ts';
import type { Message } from './message.ts';

export function stepCandidate(core: Core, message: Message): void {
  switch (message.type) {
    case 'append':
    case 'heartbeat':
    case 'snapshot':
      // Somebody else won this term.
      core.becomeFollower(message.term, message.from);
      stepFollower(core, message);
      return;
    case 'voteResponse':
      if (core.role === 'candidate') countVote(core, message.from, !message.reject);
      return;
    case 'preVoteResponse':
      // Answers to an earlier pre-campaign, of another term, count for nothing.
      if (core.role !== 'preCandidate') return;
      if (!message.reject && message.term !== core.term + 1) return;
      countVote(core, message.from, !message.reject);
      return;
    default:
      // Without a leader there is nobody to pass proposals and reads on to; their senders retry.
      return;
  }
}
