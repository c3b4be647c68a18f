/**
 * Changes of membership: what is asked of this member, what the log brings of them, and what
 * becomes of one that is removed (etcd: etcdserver.AddMember and its kin).
 */
import type { Clock } from '../base/clock.ts';
import { EtcdError, type EtcdErrorName } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Metrics } from '../base/metrics.ts';
import type { Random } from '../base/random.ts';
import { memberIdOf } from '../cluster/identity.ts';
import {
  decodeMemberChange,
  encodeMemberChange,
  type LoggedMemberChange,
  type MemberChange,
  withoutEffect,
} from '../cluster/member-change.ts';
import type { Member, Membership } from '../cluster/membership.ts';
import { parsePeerUrls } from '../cluster/peer-urls.ts';
import {
  isQuorumWithOneMore,
  mayAddVoter,
  mayPromote,
  mayRemoveVoter,
} from '../cluster/quorum-check.ts';
import type { ConfChange, Entry, MemberId, RaftStatus } from '../raft/index.ts';
import type { ChangeNote, ChangeRefusal } from '../transport/change-notes.ts';
import type { Transport } from '../transport/transport.ts';
import { ConfChangeQueue } from './conf-change-queue.ts';
import { ProtocolGate } from './protocol-gate.ts';
import { createPromotionMetrics, type PromotionMetrics } from './promotion-metrics.ts';
import type { RaftDriver } from './raft-driver.ts';
import { Removal } from './removal.ts';
import { RequestIds } from './request-id.ts';
import { memberHex, type Server } from './server.ts';
import { bestSuccessor } from './successor.ts';
import { WaitList } from './wait.ts';

/** A member that was connected for less than this is not counted on (etcd: HealthInterval). */
const healthIntervalMs = 5000;
/** What a learner must have of the leader's log (etcd: readyPercent). */
const learnerReadyShare = 0.9;
/** How often a leader looks whether a learner can be promoted. */
const promoteEveryMs = 1000;

/** The member was removed: it must not come back under its id. */
export class MemberRemovedError extends Error {
  override readonly name = 'MemberRemovedError';

  constructor() {
    super('the member has been permanently removed from the cluster');
  }
}

/** How a cluster may change, by the settings of the member that is asked. */
export interface ReconfigurationSettings {
  readonly strictReconfigCheck: boolean;
  readonly learnersMax: number;
  readonly learnerAutoPromote: boolean;
}

/** etcd's defaults. */
export const defaultReconfiguration: ReconfigurationSettings = {
  strictReconfigCheck: true,
  learnersMax: 1,
  learnerAutoPromote: false,
};

export interface MemberChangesOptions {
  readonly self: MemberId;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly settings: ReconfigurationSettings;
  readonly membership: () => Membership;
  readonly status: () => Pick<RaftStatus, 'id' | 'role' | 'progress'>;
  readonly driver: Pick<
    RaftDriver,
    'leader' | 'term' | 'proposeConfChange' | 'proposeInTerm' | 'transferLeader' | 'wake'
  >;
  readonly server: Pick<Server, 'requestTimeoutMs' | 'connectedSince' | 'timeoutCause'>;
  readonly transport: Pick<Transport, 'connected' | 'protocolOf' | 'sendNote'>;
  /** The members, or their addresses, are others now. */
  readonly changed: () => void;
  /** This member was removed and must end. */
  readonly removed: (error: MemberRemovedError) => void;
}

interface Outcome {
  readonly error?: EtcdErrorName;
  readonly members?: readonly Member[];
}

export interface AddedMember {
  readonly member: Member;
  readonly members: readonly Member[];
}

export class MemberChanges {
  readonly #options: MemberChangesOptions;
  readonly #requestIds: RequestIds;
  readonly #waiting: WaitList<Outcome>;
  readonly #queue: ConfChangeQueue;
  readonly #removal: Removal;
  readonly #promotions: PromotionMetrics;
  #promoteMs = Number.NEGATIVE_INFINITY;
  /** Index of the newest change that was applied; 0 if there was none in this life. */
  #newestIndex = 0;
  #stopped = false;

  constructor(options: MemberChangesOptions) {
    this.#options = options;
    this.#promotions = createPromotionMetrics(options.metrics);
    this.#requestIds = new RequestIds(options.random);
    this.#waiting = new WaitList(options.clock, options.server.requestTimeoutMs);
    const { self, clock, driver, transport, status, membership } = options;
    const connected = (member: MemberId): boolean => transport.connected(member);
    this.#removal = new Removal({
      clock,
      voters: () => this.#voters().flatMap(({ id }) => (id === self ? [] : id)),
      end: () => options.removed(new MemberRemovedError()),
    });
    const gate = new ProtocolGate({
      agreed: () => membership().protocol,
      others: () =>
        membership()
          .list()
          .flatMap(({ id }) => (id === self ? [] : id)),
      protocolOf: (member) => transport.protocolOf(member),
      term: () => driver.term,
      propose: (term, data) => driver.proposeInTerm(term, [data]),
      nextRequest: () => this.#requestIds.next(),
    });
    this.#queue = new ConfChangeQueue({
      self,
      clock,
      connected,
      leader: () => driver.leader,
      propose: (change) => driver.proposeConfChange(change),
      transferLeader: (to) => driver.transferLeader(to),
      successor: () => bestSuccessor(status(), connected),
      awaited: (request) => this.#waiting.has(request),
      gate: () => gate.pass(),
      refusalOf: (change) => this.#refusalOf(change),
      refused: (from, request, reason) => this.#refused(from, request, reason),
    });
  }

  /** @throws EtcdError in etcd's words, as all requests here */
  async add(peerUrls: readonly string[], isLearner: boolean): Promise<AddedMember> {
    const urls = parsePeerUrls(peerUrls);
    if (urls === undefined) throw new EtcdError('badMemberUrls');
    this.#checkAdd(isLearner);
    const { learnersMax } = this.#options.settings;
    const member = this.#newId(urls);
    const members = await this.#agreeOn({
      kind: 'add',
      member,
      peerUrls: urls,
      isLearner,
      learnersMax,
    });
    return { member: { id: member, name: '', peerUrls: urls, clientUrls: [], isLearner }, members };
  }

  async remove(member: MemberId): Promise<readonly Member[]> {
    this.#checkRemove(member);
    return this.#agreeOn({ kind: 'remove', member });
  }

  async update(member: MemberId, peerUrls: readonly string[]): Promise<readonly Member[]> {
    const urls = parsePeerUrls(peerUrls);
    if (urls !== undefined) return this.#agreeOn({ kind: 'update', member, peerUrls: urls });
    // etcd takes such URLs, and all its members end by them.
    const { membership } = this.#options;
    throw new EtcdError(membership().get(member) ? 'badMemberUrls' : 'memberNotFound');
  }

  /** The leader decides whether the learner is ready. */
  async promote(member: MemberId): Promise<readonly Member[]> {
    return this.#agreeOn({ kind: 'promote', member });
  }

  /** Called in every turn of the driver. */
  turn(): void {
    this.#queue.turn();
  }

  /** Takes the changes out of what another member proposes to this one, and returns the rest. */
  take(from: MemberId, entries: readonly Entry[]): readonly Entry[] {
    return this.#queue.take(from, entries);
  }

  /** The leader does not propose what was asked for here. */
  toldRefused({ request, reason }: ChangeNote): void {
    this.#waiting.trigger(request, { error: reason });
  }

  /** Why this member, as the leader, does not propose a change; asked once if there is a reason. */
  #refusalOf({ change }: LoggedMemberChange): ChangeRefusal | undefined {
    const { membership } = this.#options;
    if (change.kind === 'remove' && membership().isNeeded(change.member)) return 'notEnoughStarted';
    if (change.kind !== 'promote') return undefined;
    const refusal = this.#readiness(change.member) ?? this.#promotionRisk();
    if (refusal !== undefined) this.#promotions.failed(refusal);
    return refusal;
  }

  /** Whether one more voter may leave the cluster without a quorum (etcd: mayPromoteMember). */
  #promotionRisk(): ChangeRefusal | undefined {
    const { settings, membership } = this.#options;
    const isSafe = !settings.strictReconfigCheck || mayPromote(membership().list());
    return isSafe ? undefined : 'notEnoughStarted';
  }

  #countPromotion({ kind }: MemberChange, error?: EtcdErrorName): void {
    const { driver, self } = this.#options;
    if (kind !== 'promote' || driver.leader !== self) return;
    if (error === undefined) this.#promotions.succeeded();
    else this.#promotions.failed(error);
  }

  #refused(from: MemberId, request: bigint, reason: ChangeRefusal): void {
    const note: ChangeNote = { kind: 'changeRefused', request, reason };
    if (from === this.#options.self) this.toldRefused(note);
    else this.#options.transport.sendNote(from, note);
  }

  /** Applies a logged change; returns what Raft is to make of it. */
  apply(
    change: ConfChange,
    index: number,
  ): { readonly effective: ConfChange; readonly settle: () => void } {
    this.#newestIndex = index;
    const logged = decodeMemberChange(change);
    if (logged === undefined) return { effective: change, settle: () => {} };
    const { request } = logged;
    const membership = this.#options.membership();
    const error = membership.refusalOf(logged.change);
    this.#countPromotion(logged.change, error);
    if (error !== undefined) {
      const settle = (): void => this.#waiting.trigger(request, { error });
      return { effective: withoutEffect(change), settle };
    }
    membership.apply(logged.change);
    const settle = (): void => {
      this.#tell(logged.change);
      this.membersChanged();
      this.#waiting.trigger(request, { members: membership.list() });
    };
    return { effective: change, settle };
  }

  /** Whether a member whose state is on disk up to `flushedIndex` would know all changes again. */
  areRemembered(flushedIndex: number): boolean {
    return flushedIndex >= this.#newestIndex;
  }

  /** Also called with a state that came as a snapshot, and at the start. */
  membersChanged(): void {
    const { membership, self, changed } = this.#options;
    if (membership().isRemoved(self)) this.#removal.begin();
    else changed();
  }

  /** Another member says that this one was removed. */
  toldRemoved(by: MemberId): void {
    if (this.#stopped) return;
    if (!this.#removal.began) {
      this.#options.logger.warn({ by: memberHex(by) }, 'a member says that this one was removed');
    }
    this.#removal.toldBy(by);
  }

  /**
   * Called with every tick: a leader promotes learners that are ready, if it is to, and not those
   * that are down: asked by hand it would, as etcd, but the quorum might then need them.
   */
  tick(): void {
    const { settings, clock, status, membership, logger, transport } = this.#options;
    if (!settings.learnerAutoPromote || clock.monotonicMs() - this.#promoteMs < promoteEveryMs) {
      return;
    }
    this.#promoteMs = clock.monotonicMs();
    if (status().role !== 'leader') return;
    const ready = membership()
      .list()
      .filter(({ id, name, isLearner }) => isLearner && name !== '' && transport.connected(id))
      .find(({ id }) => this.#readiness(id) === undefined);
    if (ready === undefined) return;
    logger.info({ learner: memberHex(ready.id) }, 'promoting a learner that has caught up');
    this.promote(ready.id).catch((error: unknown) => {
      logger.warn({ error: String(error) }, 'the learner was not promoted; trying again');
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#removal.stop();
    this.#waiting.triggerAll({ error: 'stopped' });
  }

  #agreeOn(change: MemberChange): Promise<readonly Member[]> {
    return new Promise((resolve, reject) => {
      const request = this.#requestIds.next();
      this.#waiting.register(request, ({ error, members } = {}, startedMs) => {
        if (members !== undefined) resolve(members);
        else reject(new EtcdError(error ?? this.#options.server.timeoutCause(startedMs)));
      });
      if (this.#stopped) this.#waiting.trigger(request, { error: 'stopped' });
      else if (this.#queue.push(encodeMemberChange({ request, change }))) {
        this.#options.driver.wake();
      } else this.#waiting.trigger(request, { error: 'tooManyRequests' });
    });
  }

  /** As etcd makes it; but one that was removed within this second is not made again. */
  #newId(urls: readonly string[]): MemberId {
    const { clock, membership } = this.#options;
    let seconds = Math.floor(clock.wallMs() / 1000);
    let id = memberIdOf(urls, '', seconds);
    while (membership().isRemoved(id)) id = memberIdOf(urls, '', ++seconds);
    return id;
  }

  #checkAdd(isLearner: boolean): void {
    const { settings, membership } = this.#options;
    if (!settings.strictReconfigCheck) return;
    const members = membership().list();
    if (!isLearner && !mayAddVoter(members)) throw new EtcdError('notEnoughStarted');
    const { active, voters } = this.#activeVoters();
    if (!isQuorumWithOneMore(active, voters)) throw new EtcdError('unhealthy');
  }

  #checkRemove(id: MemberId): void {
    const { settings, membership, self, transport } = this.#options;
    if (!settings.strictReconfigCheck || membership().get(id)?.isLearner === true) return;
    if (!mayRemoveVoter(membership().list(), id)) throw new EtcdError('notEnoughStarted');
    // One that is down is no part of the quorum that the others make.
    if (id !== self && !transport.connected(id)) return;
    const { active, voters } = this.#activeVoters();
    if (active - 1 < 1 + Math.floor((voters - 1) / 2)) throw new EtcdError('unhealthy');
  }

  #voters(): readonly Member[] {
    const members = this.#options.membership().list();
    return members.filter(({ isLearner }) => !isLearner);
  }

  #activeVoters(): { readonly active: number; readonly voters: number } {
    const { self, server, clock } = this.#options;
    const sinceMs = clock.monotonicMs() - healthIntervalMs;
    const voters = this.#voters();
    const active = voters.filter(({ id }) => id === self || server.connectedSince(id, sinceMs));
    return { active: active.length, voters: voters.length };
  }

  /** Why a member could not be promoted, as far as its log goes. */
  #readiness(member: MemberId): ChangeRefusal | undefined {
    const { id: leader, progress } = this.#options.status();
    const matchOf = (id: MemberId): number | undefined =>
      progress.find((each) => each.member === id)?.match;
    const match = matchOf(member);
    if (match === undefined) return 'memberNotFound';
    return match < learnerReadyShare * (matchOf(leader) ?? 0) ? 'learnerNotReady' : undefined;
  }

  #tell(change: MemberChange): void {
    const { logger } = this.#options;
    const texts = {
      add: 'a member was added',
      remove: 'a member was removed',
      update: 'a member has other peer URLs',
      promote: 'a learner became a voting member',
    } as const;
    const urls = 'peerUrls' in change ? { 'peer-urls': change.peerUrls } : {};
    logger.info({ member: memberHex(change.member), ...urls }, texts[change.kind]);
  }
}
