/** The check of the state (`state-check.ts`) as a part of a member. */
import { encodeCommand } from '../apply/request.ts';
import type { MemberId } from '../raft/index.ts';
import { markDeviation } from './deviation-mark.ts';
import type { MemberOptions } from './member-options.ts';
import type { RaftDriver } from './raft-driver.ts';
import { RequestIds } from './request-id.ts';
import { type State, stateDigestOf } from './state.ts';
import { StateCheck } from './state-check.ts';

export function stateCheckOf(
  options: MemberOptions,
  driver: RaftDriver,
  state: () => State,
): StateCheck {
  const { directory, memberId, random, transport } = options;
  const voters = (): readonly MemberId[] => directory.backend.confState.voters;
  let ids: RequestIds | undefined;
  let attempts = 0;
  const check = new StateCheck({
    ...options,
    hash: () => stateDigestOf(state()),
    voters,
    leader: () => driver.leader,
    term: () => driver.term,
    alarms: () => state().alarms,
    propose: (term, command) => {
      ids ??= new RequestIds(random);
      return driver.proposeInTerm(term, [encodeCommand(ids.next(), command)]);
    },
    sendNote: (to, note) => transport.sendNote(to, note),
    handOver: (trusted) => {
      const others = voters().filter((each) => each !== memberId && transport.connected(each));
      // The first may be unable to take over.
      const isFirst = attempts === 0 && trusted !== undefined && others.includes(trusted);
      const to = isFirst ? trusted : others[attempts % others.length];
      attempts += 1;
      if (to !== undefined) driver.transferLeader(to);
    },
    marker: () => {
      const { backend } = directory;
      return (deviation) => {
        // The state that is taking its place comes from others.
        if (directory.backend === backend) markDeviation(backend, deviation);
      };
    },
  });
  // One that joins has no state to compare before it has a snapshot.
  const { flushedIndex, confState } = directory.backend;
  if (confState.voters.length > 0) check.restarted(flushedIndex);
  return check;
}
