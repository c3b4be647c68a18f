/**
 * What must hold of a member between any two calls. Run after every step in tests and simulation.
 */
import { RaftFailure } from './check.ts';
import { checkInvariants as checkConfiguration } from './confchange/invariants.ts';
import type { Core } from './core.ts';
import type { RawNode } from './raw-node.ts';
import { noMember } from './types.ts';

/** Facts that may only grow, as of the last check. */
interface Watermark {
  term: number;
  vote: bigint;
  committed: number;
  applying: number;
  applied: number;
}

/** The message is made only when it is needed: these checks run after every step. */
function check(condition: boolean, message: () => string): void {
  if (!condition) throw new RaftFailure(message());
}

/** Checks one member over its life; make a new one when the member restarts. */
export class InvariantChecker {
  readonly #core: Core;
  readonly #last: Watermark;

  constructor(node: RawNode) {
    this.#core = node.core;
    const { term, vote, log } = this.#core;
    const { committed, applying, applied } = log;
    this.#last = { term, vote, committed, applying, applied };
  }

  /** Throws `RaftFailure` with the first promise that is broken. */
  check(): void {
    checkLog(this.#core);
    checkRole(this.#core);
    checkConfiguration(this.#core.tracker);
    if (this.#core.role === 'leader') checkLeader(this.#core);
    this.#checkGrowth();
  }

  #checkGrowth(): void {
    const { term, vote, log } = this.#core;
    const last = this.#last;
    check(term >= last.term, () => `term fell from ${last.term} to ${term}`);
    if (term === last.term && last.vote !== noMember) {
      check(vote === last.vote, () => `vote in term ${term} changed from ${last.vote} to ${vote}`);
    }
    check(
      log.committed >= last.committed,
      () => `commit fell from ${last.committed} to ${log.committed}`,
    );
    check(log.applying >= last.applying, () => `applying fell to ${log.applying}`);
    check(log.applied >= last.applied, () => `applied fell to ${log.applied}`);
    last.term = term;
    last.vote = vote;
    last.committed = log.committed;
    last.applying = log.applying;
    last.applied = log.applied;
  }
}

function checkLog({ log, term }: Core): void {
  const { lastIndex, durable, committed, applying, applied, tail } = log;
  check(applied <= applying, () => `applied ${applied} of ${applying} handed out`);
  check(committed <= lastIndex, () => `committed ${committed} past the end ${lastIndex}`);
  check(durable <= lastIndex, () => `durable ${durable} past the end ${lastIndex}`);
  check(
    tail.end() === lastIndex + 1,
    () => `the tail ends at ${tail.end()}, the log at ${lastIndex}`,
  );
  check(
    tail.offset <= tail.handedOut && tail.handedOut <= tail.end(),
    () => 'the tail is out of order',
  );
  check(
    durable < tail.handedOut || tail.snapshot !== undefined,
    () => 'durable, yet never handed out',
  );
  if (tail.snapshot === undefined) {
    check(applying <= durable, () => `handed out ${applying}, durable only ${durable}`);
    check(durable >= tail.offset - 1, () => `entries before ${tail.offset} were let go undurable`);
  } else {
    check(tail.snapshot.index <= committed, () => 'a snapshot of uncommitted state');
    check(tail.snapshot.index + 1 >= log.firstIndex(), () => 'entries before the snapshot remain');
  }
  check(applying <= committed, () => `handed out ${applying}, committed only ${committed}`);
  check(log.termOrZero(lastIndex) <= term, () => 'the log is ahead of the term');
  let previous = log.termOrZero(tail.offset - 1);
  for (let index = tail.offset; index <= lastIndex; index++) {
    const own = log.termOrZero(index);
    check(own >= previous && own > 0, () => `terms fall at ${index} from ${previous} to ${own}`);
    previous = own;
  }
}

function checkRole(core: Core): void {
  const { role, leader, id, term, vote, tracker, config } = core;
  if (role === 'leader') check(leader === id, () => 'a leader follows somebody');
  else check(leader !== id, () => `a ${role} believes to lead`);
  if (core.abstains()) check(role === 'follower', () => `a ${role} that abstains`);
  if (role === 'candidate' || role === 'preCandidate') {
    check(leader === noMember, () => 'a candidate with a leader');
    check(tracker.isVoter(id), () => 'a candidate that is no voter');
  }
  if (role === 'candidate' || role === 'leader') {
    check(vote === id, () => 'a candidate that voted for somebody else');
    check(term > 0, () => 'an election in term 0');
  }
  if (role !== 'leader') {
    check(core.transferee === noMember, () => 'only a leader hands over');
    check(core.uncommittedBytes === 0, () => 'only a leader counts uncommitted bytes');
    check(core.reads.waitingCount === 0, () => 'only a leader keeps reads waiting');
  }
  check(
    core.randomizedElectionTicks >= config.electionTicks &&
      core.randomizedElectionTicks < 2 * config.electionTicks,
    () => `election timeout of ${core.randomizedElectionTicks} ticks`,
  );
  for (const message of [...core.messages, ...core.messagesAfterPersist]) {
    check(message.from !== noMember && message.to !== id, () => `a ${message.type} to nobody else`);
    const passedOn = message.type === 'propose' || message.type === 'readIndex';
    check(passedOn === (message.term === 0), () => `a ${message.type} of term ${message.term}`);
  }
}

function checkLeader(core: Core): void {
  const { log, tracker, term, config } = core;
  check(log.termOrZero(log.lastIndex) === term, () => 'a leader without an entry of its term');
  check(log.tail.snapshot === undefined, () => 'a leader that awaits a snapshot');
  check(core.uncommittedBytes >= 0, () => 'a negative count of uncommitted bytes');
  check(core.pendingConfIndex <= log.lastIndex, () => 'a pending change past the end');
  const own = tracker.progress.get(core.id);
  if (own !== undefined)
    check(own.match <= log.durable, () => 'a leader counts what is not durable');
  tracker.visit((member, progress) => {
    const name = (): string => `progress of ${member} (${progress.toString()})`;
    check(progress.match < progress.next, () => `${name()}: match is not below next`);
    check(progress.match <= log.lastIndex, () => `${name()}: match is past the log's end`);
    check(
      progress.isLearner === tracker.isLearner(member),
      () => `${name()}: not what it is marked as`,
    );
    check(
      progress.inflights.count <= config.inflightMessagesLimit,
      () => `${name()}: window overflows`,
    );
    check(
      progress.state === 'snapshot' || progress.pendingSnapshot === 0,
      () => `${name()}: a pending snapshot in the wrong state`,
    );
    if (progress.state !== 'snapshot') {
      check(progress.next <= log.lastIndex + 1, () => `${name()}: next is past the log's end`);
    }
  });
}
