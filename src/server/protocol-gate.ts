/**
 * When the log may hold kinds of entries that older members do not know: never while one of them is
 * heard of. Before the first such entry the leader logs that all members speak the protocol that
 * brought it. Older members that were down meanwhile stop at that entry, as they do not know it
 * either, instead of making something else of what follows; and once it is applied, they are not
 * talked to any more.
 */
import { encodeCommand } from '../apply/request.ts';
import { PEER_PROTOCOL } from '../base/versions.ts';
import type { MemberId } from '../raft/index.ts';

export interface ProtocolGateOptions {
  /** What the members have agreed on, as far as it is applied here. */
  readonly agreed: () => number;
  readonly others: () => readonly MemberId[];
  readonly protocolOf: (member: MemberId) => number | undefined;
  readonly term: () => number;
  /** False if this member does not lead in that term, or cannot take it now. */
  readonly propose: (term: number, data: Uint8Array) => boolean;
  readonly nextRequest: () => bigint;
}

export class ProtocolGate {
  readonly #options: ProtocolGateOptions;
  /** The term in which the agreement was logged: it is lost with that term only. */
  #loggedTerm = 0;

  constructor(options: ProtocolGateOptions) {
    this.#options = options;
  }

  /** Asked by the leader, which then waits until the agreement is applied if it must. */
  pass(): 'open' | 'waiting' | 'shut' {
    const { agreed, others, protocolOf, term, propose, nextRequest } = this.#options;
    if (agreed() >= PEER_PROTOCOL) return 'open';
    if (others().some((member) => (protocolOf(member) ?? PEER_PROTOCOL) < PEER_PROTOCOL)) {
      return 'shut';
    }
    const current = term();
    if (this.#loggedTerm === current) return 'waiting';
    const value = { protocol: PEER_PROTOCOL };
    const data = encodeCommand(nextRequest(), { case: 'clusterProtocolSet', value });
    if (propose(current, data)) this.#loggedTerm = current;
    return 'waiting';
  }
}
