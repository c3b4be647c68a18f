/**
 * Changes the members while a run goes on, as an operator does: asks any member, does not know what
 * became of a request without an answer, and starts what was added on an empty disk.
 */
import {
  MemberAddRequest,
  MemberAddResponse,
  MemberListRequest,
  MemberListResponse,
  MemberPromoteRequest,
  MemberPromoteResponse,
  MemberRemoveRequest,
  MemberRemoveResponse,
  MemberUpdateRequest,
  MemberUpdateResponse,
} from '../../src/gen/rpc.ts';
import type { ClusterService } from '../../src/api/cluster.ts';
import type { MemberChange } from '../../src/cluster/member-change.ts';
import { type Chance, streamOf } from './chance.ts';
import type { Cluster } from './cluster.ts';
import type { Fault } from './fault-plan.ts';
import type { SimMember } from './member.ts';
import { type Listed, type MemberLedger } from './member-ledger.ts';
import { membersMax, type MembershipFault, type MembershipPlan } from './membership-plan.ts';
import { peerUrl } from './network.ts';
import { nothing, type Undo } from './network-faults.ts';
import { clientOwner, type Ending, type Port } from './port.ts';

const timeoutMs = 8_000;
/** Mean time between two looks at the members. */
const lookMs = 300;
/** Tries to promote a learner, or to remove a member, that come to nothing. */
const tries = 12;

interface Answer {
  readonly members: readonly Listed[];
}

/** A request, what happens once it has ended, and what its answer must show. */
interface Question {
  readonly invoke: (members: ClusterService) => Promise<Answer>;
  readonly done: () => void;
  /** Absent: it asks for no change. */
  readonly shows?: (member: (id: bigint) => Listed | undefined, all: readonly Listed[]) => boolean;
}

export interface OperatorOptions {
  readonly cluster: Cluster;
  readonly plan: MembershipPlan;
  readonly ledger: MemberLedger;
  readonly port: Port;
  /** Makes another fault happen now. */
  readonly strike: (fault: Fault, forMs: number) => void;
}

export class Operator {
  readonly #options: OperatorOptions;
  readonly #chance: Chance;
  /** The number in the name of the member that comes next. */
  #number: number;
  #updates = 0;
  #underWay = 0;
  #stopped = false;
  /** Answers that said which members there are, and were held to the log. */
  lists = 0;

  constructor(options: OperatorOptions) {
    this.#options = options;
    const { plan, founders } = options.cluster;
    this.#chance = streamOf(plan.seed, 'operator');
    this.#number = founders.length;
    options.ledger.onChange = (change) => this.#changed(change);
    options.cluster.onUnprovable = ({ id }) => this.#removeSurely(id);
  }

  /** Requests are under way. */
  get busy(): boolean {
    return this.#underWay > 0;
  }

  start(): void {
    this.#later(lookMs, () => this.#look());
  }

  /** Asks for no more changes; goes on looking, and starts what was added. */
  stop(): void {
    this.#stopped = true;
  }

  begin(fault: MembershipFault): Undo | undefined {
    switch (fault.kind) {
      case 'add-members':
        for (let i = 0; i < fault.count; i++) this.#add(fault.learner);
        return nothing;
      case 'remove-member':
        return this.#removeAfter(fault);
      case 'replace-member':
        return this.#replace(fault);
      case 'update-member':
        return this.#update(fault.target);
    }
  }

  /** Adds a learner if there may be one, else a voter, again and again until it is agreed on. */
  addSurely(done: () => void): void {
    const { ledger, plan } = this.#options;
    const learners = [...ledger.latest.members.values()].filter(({ isLearner }) => isLearner);
    const isLearner = learners.length < plan.settings.learnersMax;
    const peerUrls = [peerUrl(this.#nextName())];
    const before = ledger.changes.add;
    const again = (): void => {
      if (ledger.changes.add > before) done();
      else this.#askToAdd(peerUrls, isLearner, () => this.#later(lookMs, again));
    };
    again();
  }

  #add(isLearner: boolean): void {
    if (this.#options.ledger.latest.members.size >= membersMax) return;
    this.#askToAdd([peerUrl(this.#nextName())], isLearner, () => {});
  }

  #askToAdd(peerUrls: string[], isLearner: boolean, done: () => void): void {
    this.#ask({
      invoke: async (members) => {
        const request = MemberAddRequest.encode({ peerUrls, isLearner });
        const answer = await members.memberAdd(MemberAddRequest.decode(request));
        return MemberAddResponse.decode(MemberAddResponse.encode(answer));
      },
      done,
      shows: (_, all) =>
        all.some((each) => each.peerUrls[0] === peerUrls[0] && each.isLearner === isLearner),
    });
  }

  #nextName(): string {
    return `m${++this.#number}`;
  }

  #removeAfter(fault: Extract<MembershipFault, { kind: 'remove-member' }>): Undo | undefined {
    const { cluster, strike } = this.#options;
    const member = this.#present(fault.target);
    if (member === undefined) return undefined;
    const { position } = member;
    const forMs = this.#chance.octaves(100, 6_400);
    if (fault.first === 'crash') strike({ kind: 'crash', target: position, power: true }, forMs);
    else if (fault.first !== 'nothing') strike({ kind: fault.first, target: position }, forMs);
    cluster.scheduler.after(this.#chance.between(0, 300), clientOwner, () => {
      this.#remove(member.id, 1, () => {});
    });
    return nothing;
  }

  #replace(fault: Extract<MembershipFault, { kind: 'replace-member' }>): Undo | undefined {
    const member = this.#present(fault.target);
    if (member?.process === undefined) return undefined;
    member.crash(1e9, true);
    this.#remove(member.id, tries, () => this.#add(fault.learner));
    return () => member.start();
  }

  /** @param removed called once the log says so */
  #remove(id: bigint, left: number, removed: () => void): void {
    const { ledger } = this.#options;
    if (ledger.isRemoved(id)) {
      removed();
      return;
    }
    if (left === 0 || this.#stopped) return;
    this.#askToRemove(id, () => {
      this.#later(lookMs, () => this.#remove(id, left - 1, removed));
    });
  }

  /** Removes a member that can never take part: the others may need its place in the quorum. */
  #removeSurely(id: bigint): void {
    if (this.#options.ledger.isRemoved(id)) return;
    this.#askToRemove(id, () => this.#later(lookMs, () => this.#removeSurely(id)));
  }

  #askToRemove(id: bigint, done: () => void): void {
    this.#ask({
      invoke: async (members) => {
        const request = MemberRemoveRequest.decode(MemberRemoveRequest.encode({ id }));
        const answer = await members.memberRemove(request);
        return MemberRemoveResponse.decode(MemberRemoveResponse.encode(answer));
      },
      done,
      shows: (member) => member(id) === undefined,
    });
  }

  #update(target: Extract<MembershipFault, { kind: 'update-member' }>['target']): Undo | undefined {
    const { cluster, ledger } = this.#options;
    const newest = cluster.members.findLast(({ id }) => ledger.latest.members.has(id));
    const member = target === 'newest' ? newest : this.#present(target);
    if (member === undefined) return undefined;
    const { id, name } = member;
    const peerUrls = [peerUrl(`${name}-${++this.#updates}`)];
    this.#ask({
      invoke: async (members) => {
        const request = MemberUpdateRequest.encode({ id, peerUrls });
        const answer = await members.memberUpdate(MemberUpdateRequest.decode(request));
        return MemberUpdateResponse.decode(MemberUpdateResponse.encode(answer));
      },
      done: () => {},
      shows: (listed) => listed(id)?.peerUrls[0] === peerUrls[0],
    });
    return nothing;
  }

  #promote(id: bigint, left: number): void {
    const { ledger } = this.#options;
    if (left === 0 || this.#stopped || ledger.latest.members.get(id)?.isLearner !== true) return;
    this.#ask({
      invoke: async (members) => {
        const request = MemberPromoteRequest.decode(MemberPromoteRequest.encode({ id }));
        const answer = await members.memberPromote(request);
        return MemberPromoteResponse.decode(MemberPromoteResponse.encode(answer));
      },
      done: () => this.#later(3 * lookMs, () => this.#promote(id, left - 1)),
      shows: (member) => member(id)?.isLearner === false,
    });
  }

  /** The operator sees what came of a request, and goes on from there. */
  #changed(change: MemberChange): void {
    if (change.kind !== 'add') return;
    const { plan, cluster } = this.#options;
    const member = cluster.join(change.member, nameIn(change.peerUrls));
    this.#later(plan.restMs, () => member.start());
    if (!change.isLearner || plan.settings.learnerAutoPromote) return;
    this.#later(2 * plan.restMs, () => this.#promote(change.member, tries));
  }

  #look(): void {
    this.#ask({
      invoke: async (members) => {
        const request = MemberListRequest.encode({ linearizable: true });
        const answer = await members.memberList(MemberListRequest.decode(request));
        return MemberListResponse.decode(MemberListResponse.encode(answer));
      },
      done: () => this.#later(lookMs, () => this.#look()),
    });
  }

  /** One request to any member; its answer must tell of all that anybody was told before. */
  #ask(question: Question): void {
    const { cluster, port, ledger } = this.#options;
    const member = this.#chance.pick(cluster.wanted);
    const since = ledger.told;
    const changes = question.shows !== undefined;
    if (changes) this.#underWay++;
    port.call(
      member,
      timeoutMs,
      ({ members }) => question.invoke(members),
      (ending) => {
        if (changes) this.#underWay--;
        this.#told(question, member, since, ending);
        question.done();
      },
    );
  }

  #told({ shows }: Question, member: SimMember, since: number, ending: Ending<Answer>): void {
    const { cluster, ledger } = this.#options;
    if (ending.kind === 'error') cluster.trace.say('operator', ending.message);
    if (ending.kind !== 'answered') return;
    this.lists++;
    const { members } = ending.answer;
    const wrong = ledger.listed(members, since);
    if (wrong !== undefined) cluster.broken('member-list', `${member.name}: ${wrong}`);
    const listed = (id: bigint): Listed | undefined => members.find((each) => each.id === id);
    if (shows?.(listed, members) === false) {
      cluster.broken('member-list', `${member.name} answers a change that its answer lacks`);
    }
  }

  #later(ms: number, callback: () => void): void {
    this.#options.cluster.scheduler.after(this.#chance.between(0, 2 * ms), clientOwner, callback);
  }

  /** A member that the cluster has. */
  #present(target: Parameters<Cluster['member']>[0]): SimMember | undefined {
    const { cluster, ledger } = this.#options;
    const member = cluster.member(target);
    return member !== undefined && ledger.latest.members.has(member.id) ? member : undefined;
  }
}

function nameIn(peerUrls: readonly string[]): string {
  const [, name] = /^http:\/\/(m\d+)/.exec(peerUrls[0] ?? '') ?? [];
  if (name === undefined) throw new Error(`a member without a name: ${peerUrls.join(', ')}`);
  return name;
}
