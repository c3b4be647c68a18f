/**
 * The language of the transcripts in test/scripts/raft. Members are named by number; a command
 * without output prints `ok`.
 *
 * - `members <count> [voters=(1,2)] [learners=(3)] [index=10] [options]`: more members, started
 *   from a snapshot at `index` or from nothing. Options: `pre-vote`, `check-quorum`,
 *   `lease-reads`, `step-down`, `no-forwarding`, `window=<messages>`, `apply-limit=<bytes>`,
 *   `append-limit=<bytes>`, and `slow-disk`: writes and applying wait for `write` and `apply`.
 * - `quiet`, `loud`: stop and resume printing.
 * - `campaign <m>`, `tick <m> [count]`, `timeout <m> <ticks>` (from its next role or term on)
 * - `propose <m> <text>`; `change <m> [joint | joint-until-left]` with changes such as
 *   `v4 l5 r1 u2` as input, none to leave a joint configuration
 * - `ready <m>...`: take one Ready and do what it says. `write <m>...`, `apply <m>...`: finish
 *   the oldest waiting piece of a slow disk.
 * - `deliver <m>... [type=<message>] [lose=(<m>,...)]`, `settle [<m>...] [quiet]`
 * - `transfer <m> to=<m>`, `unreachable <m> to=<m>`, `forget-leader <m>`, `read <m> <context>`
 * - `snapshot <m> to=<m>`: the host sends its snapshot unasked
 * - `compact <m> <index>`, `restart <m>`
 * - `roles`, `progress <m>`, `log <m>`, `state <m>`, `config <m>`: what is the case
 */
import {
  ConfChangeError,
  ConfChangeTransition,
  ConfChangeType,
  noConfState,
  type ConfChangeSingle,
  type MemberId,
  type Message,
} from '../../src/raft/index.ts';
import { formatProgress } from '../../src/raft/tracker/tracker.ts';
import type { TranscriptCommand } from './datadriven.ts';
import { RaftCluster, type MemberOptions } from './raft-cluster.ts';
import {
  formatConfState,
  formatEntry,
  formatMessage,
  formatReady,
  formatSnapshot,
  formatWrite,
} from './raft-format.ts';

type Handler = (command: TranscriptCommand) => string[];

export class RaftScript {
  readonly cluster = new RaftCluster();
  readonly #slow = new Set<MemberId>();
  #isQuiet = false;
  readonly #handlers: Readonly<Record<string, Handler>> = {
    members: (command) => this.#addMembers(command),
    quiet: () => this.#setQuiet(true),
    loud: () => this.#setQuiet(false),
    campaign: (command) => this.#act(() => this.cluster.node(first(command)).campaign()),
    tick: (command) => this.#act(() => this.#tick(command)),
    timeout: (command) =>
      this.#act(() => (this.cluster.member(first(command)).electionTimeout = number(command, 1))),
    propose: (command) => this.#propose(command),
    change: (command) => this.#proposeChange(command),
    ready: (command) => this.#each(command, (id) => this.#ready(id)),
    write: (command) => this.#each(command, (id) => this.#write(id)),
    apply: (command) => this.#each(command, (id) => this.#apply(id)),
    deliver: (command) => this.#deliver(command),
    settle: (command) => this.#settle(command),
    transfer: (command) =>
      this.#act(() => this.cluster.node(first(command)).transferLeader(target(command))),
    unreachable: (command) =>
      this.#act(() => this.cluster.node(first(command)).reportUnreachable(target(command))),
    'forget-leader': (command) => this.#act(() => this.cluster.node(first(command)).forgetLeader()),
    read: (command) =>
      this.#act(() => this.cluster.node(first(command)).readIndex(BigInt(word(command, 1)))),
    snapshot: (command) => this.#sendSnapshot(command),
    compact: (command) => this.#compact(command),
    restart: (command) => this.#act(() => this.cluster.member(first(command)).restart()),
    roles: () => this.#roles(),
    progress: (command) => this.#progress(first(command)),
    log: (command) => this.#log(first(command)),
    state: (command) => this.#state(first(command)),
    config: (command) => [formatConfState(this.cluster.node(first(command)).status().confState)],
  };

  /** Carries out a command and returns what it printed. */
  run(command: TranscriptCommand): string {
    const handler = this.#handlers[command.name];
    if (handler === undefined) throw new Error(`line ${command.lineNumber}: unknown command`);
    const lines = handler(command);
    return this.#isQuiet || lines.length === 0 ? 'ok' : lines.join('\n');
  }

  #setQuiet(quiet: boolean): string[] {
    this.#isQuiet = quiet;
    return [];
  }

  #act(action: () => unknown): string[] {
    action();
    return [];
  }

  #addMembers(command: TranscriptCommand): string[] {
    const index = Number(option(command, 'index') ?? 0);
    const confState = {
      ...noConfState,
      voters: members(command, 'voters'),
      learners: members(command, 'learners'),
    };
    const added = this.cluster.add(
      number(command, 0),
      { index, term: 1, confState },
      {
        ...flags(command),
        ...limits(command),
      },
    );
    if (has(command, 'slow-disk')) for (const id of added) this.#slow.add(id);
    return [];
  }

  #tick(command: TranscriptCommand): void {
    const count = command.arguments[1] === undefined ? 1 : number(command, 1);
    this.cluster.tick(first(command), count);
  }

  #propose(command: TranscriptCommand): string[] {
    const node = this.cluster.node(first(command));
    const refusal = node.propose([Buffer.from(word(command, 1))]);
    return refusal === undefined ? [] : [`refused: ${refusal}`];
  }

  #proposeChange(command: TranscriptCommand): string[] {
    const { auto, jointImplicit, jointExplicit } = ConfChangeTransition;
    const joint = has(command, 'joint-until-left') ? jointExplicit : jointImplicit;
    const isJoint = has(command, 'joint') || has(command, 'joint-until-left');
    const refusal = this.cluster.node(first(command)).proposeConfChange({
      transition: isJoint ? joint : auto,
      changes: command.input.split(/\s+/).filter(Boolean).map(parseChange),
      context: new Uint8Array(0),
    });
    return refusal === undefined ? [] : [`refused: ${refusal}`];
  }

  /** Runs for every member named; with several, each one's output is headed by its number. */
  #each(command: TranscriptCommand, action: (id: MemberId) => string[]): string[] {
    const ids = named(command);
    if (ids.length === 1) return action(ids[0] ?? 0n);
    return ids.flatMap((id) => [`${id}:`, ...indent(action(id))]);
  }

  #ready(id: MemberId): string[] {
    if (!this.cluster.node(id).hasReady()) return ['(nothing to do)'];
    const ready = this.#slow.has(id) ? this.cluster.takeReady(id) : this.cluster.handleReady(id);
    return formatReady(ready);
  }

  #write(id: MemberId): string[] {
    const persist = this.cluster.finishWrite(id);
    if (persist === undefined) return ['(nothing to write)'];
    const sent = persist.messages.map((message) => `send ${formatMessage(message)}`);
    return [...formatWrite(persist), ...sent];
  }

  #apply(id: MemberId): string[] {
    const entries = this.cluster.finishApply(id);
    if (entries === undefined) return ['(nothing to apply)'];
    return entries.map((entry) => `apply ${formatEntry(entry)}`);
  }

  #deliver(command: TranscriptCommand): string[] {
    const type = option(command, 'type') as Message['type'] | undefined;
    const filter = type === undefined ? {} : { type };
    const lines: string[] = [];
    for (const id of named(command)) {
      for (const message of this.cluster.take({ ...filter, to: id })) {
        lines.push(formatMessage(message));
        this.cluster.node(id).step(message);
      }
    }
    for (const id of members(command, 'lose')) {
      const lost = this.cluster.take({ ...filter, to: id });
      lines.push(...lost.map((message) => `lost: ${formatMessage(message)}`));
    }
    return lines.length === 0 ? ['(no messages)'] : lines;
  }

  /** Lets the members named, or all, work and talk until they come to rest. */
  #settle(command: TranscriptCommand): string[] {
    const given = named(command);
    const ids = given.length > 0 ? given : [...this.cluster.members.keys()];
    const lines: string[] = [];
    for (let before = -1; before !== lines.length;) {
      before = lines.length;
      for (const id of ids) {
        if (this.cluster.node(id).hasReady()) lines.push(`${id}:`, ...indent(this.#ready(id)));
      }
      for (const id of ids) {
        const received = this.cluster.take({ to: id });
        if (received.length > 0) lines.push(`${id} receives:`);
        for (const message of received) {
          lines.push(`  ${formatMessage(message)}`);
          this.cluster.node(id).step(message);
        }
      }
      for (const id of ids) {
        while (this.cluster.member(id).writes.length > 0) {
          lines.push(`${id} finishes a write:`, ...indent(this.#write(id)));
        }
      }
      for (const id of ids) {
        while (this.cluster.member(id).applies.length > 0) {
          lines.push(`${id} applies:`, ...indent(this.#apply(id)));
        }
      }
      if (lines.length > settleLinesLimit) throw new Error('the cluster does not come to rest');
    }
    return has(command, 'quiet') ? [] : lines;
  }

  #sendSnapshot(command: TranscriptCommand): string[] {
    const from = first(command);
    const snapshot = this.cluster.member(from).storage.snapshot();
    if (typeof snapshot === 'symbol') return ['there is none'];
    const { term } = this.cluster.node(from).status();
    const to = target(command);
    this.cluster.network.push({ type: 'snapshot', from, to, term, snapshot });
    return [`${from}->${to} ${formatSnapshot(snapshot)}`];
  }

  #compact(command: TranscriptCommand): string[] {
    this.cluster.member(first(command)).storage.compact(number(command, 1));
    return this.#log(first(command));
  }

  #roles(): string[] {
    return [...this.cluster.members.values()].map(({ id, node }) => {
      const status = node.status();
      const { voters, votersOutgoing } = status.confState;
      const votes = voters.includes(id) || votersOutgoing.includes(id);
      const leader = status.leader === 0n ? 'unknown' : status.leader;
      const role = votes ? status.role : `${status.role} (no voter)`;
      return `${id}: ${role} term=${status.term} leader=${leader} committed=${status.committed}`;
    });
  }

  #progress(id: MemberId): string[] {
    return formatProgress(this.cluster.node(id).core.tracker.progress).trimEnd().split('\n');
  }

  #state(id: MemberId): string[] {
    const { term, vote, lastIndex, durable, committed, applied } = this.cluster.node(id).status();
    const logFacts = `last=${lastIndex} durable=${durable} committed=${committed}`;
    return [`term=${term} vote=${vote} ${logFacts} applied=${applied}`];
  }

  #log(id: MemberId): string[] {
    const member = this.cluster.member(id);
    const entries = member.log();
    if (entries.length > 0) return entries.map(formatEntry);
    return [`(empty, first index would be ${member.storage.firstIndex()})`];
  }
}

/** More output than any transcript has; past it, members talk in circles. */
const settleLinesLimit = 20_000;

function parseChange(text: string): ConfChangeSingle {
  const types: Readonly<Record<string, ConfChangeType>> = {
    v: ConfChangeType.addVoter,
    l: ConfChangeType.addLearner,
    r: ConfChangeType.remove,
    u: ConfChangeType.update,
  };
  const type = types[text.slice(0, 1)];
  if (type === undefined) throw new ConfChangeError(`unknown change ${text}`);
  return { type, member: BigInt(text.slice(1)) };
}

function flags(command: TranscriptCommand): MemberOptions {
  return {
    preVote: has(command, 'pre-vote'),
    checkQuorum: has(command, 'check-quorum'),
    leaseReads: has(command, 'lease-reads'),
    stepDownOnRemoval: has(command, 'step-down'),
    disableProposalForwarding: has(command, 'no-forwarding'),
  };
}

function limits(command: TranscriptCommand): MemberOptions {
  const names = {
    window: 'inflightMessagesLimit',
    'apply-limit': 'committedSizeLimitBytes',
    'append-limit': 'appendSizeLimitBytes',
  } as const;
  const given = Object.entries(names).flatMap(([key, name]) => {
    const value = option(command, key);
    return value === undefined ? [] : [[name, Number(value)] as const];
  });
  return Object.fromEntries(given);
}

function option(command: TranscriptCommand, key: string): string | undefined {
  return command.arguments.find((argument) => argument.key === key)?.values[0];
}

function has(command: TranscriptCommand, flag: string): boolean {
  return command.arguments.some(({ key, values }) => key === flag && values.length === 0);
}

function members(command: TranscriptCommand, key: string): MemberId[] {
  const argument = command.arguments.find((each) => each.key === key);
  return (argument?.values ?? []).map((value) => BigInt(value));
}

/** All members named by bare numbers. */
function named(command: TranscriptCommand): MemberId[] {
  const numbers = command.arguments.filter(({ key }) => /^\d+$/.test(key));
  return numbers.map(({ key }) => BigInt(key));
}

function target(command: TranscriptCommand): MemberId {
  return BigInt(option(command, 'to') ?? '0');
}

function first(command: TranscriptCommand): MemberId {
  return BigInt(word(command, 0));
}

function number(command: TranscriptCommand, position: number): number {
  return Number(word(command, position));
}

function word(command: TranscriptCommand, position: number): string {
  const argument = command.arguments[position];
  if (argument === undefined) throw new Error(`line ${command.lineNumber}: too few arguments`);
  return argument.key;
}

function indent(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}
