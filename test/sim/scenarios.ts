/** Faults in orders that are known to be dangerous; when exactly each comes is left to chance. */
import type { Scenario } from './fault-plan.ts';
import type { SimMember } from './member.ts';
import { nothing } from './network-faults.ts';
import type { Stage } from './stage.ts';

/** Begins one; false if there is nothing that it could do now. */
export function begin(stage: Stage, scenario: Scenario): boolean {
  if (stage.cluster.members.length < 3) return false;
  switch (scenario) {
    case 'coup':
      return coup(stage);
    case 'figure-8':
      return figureEight(stage);
    case 'overwrite':
      return overwrite(stage);
    case 'stale-reader':
      return staleReader(stage);
    case 'late-news':
      return lateNews(stage);
    case 'left-behind':
      return leftBehind(stage);
  }
}

/** Leadership is handed over, and those who elected the new leader, or it, forget the election. */
function coup(stage: Stage): boolean {
  const { chance, leader } = stage;
  if (leader === undefined) return false;
  const [to, outsider] = stage.others(leader);
  if (to?.running === undefined || outsider?.running === undefined) return false;
  return chance.chance(0.5) ? votersFall(stage, to, outsider) : electedFalls(stage, to, outsider);
}

/**
 * An outsider is cut off. At the election the new leader is cut off instead and those who voted
 * lose power: the outsider may ask them for their votes in the same term.
 */
function votersFall(stage: Stage, to: SimMember, outsider: SimMember): boolean {
  const { chance, cluster, heartbeatMs } = stage;
  // Then voters learn of the term before they are asked for their votes.
  if (chance.chance(0.7)) {
    stage.changeNetwork({ lateVotesMs: heartbeatMs * chance.between(1, 4) });
  }
  if (!stage.transfer(to)) return false;
  let open = nothing;
  let isElected = false;
  // What is on its way to it may still arrive: its log has to be as long as theirs.
  stage.after(chance.chance(0.5) ? 0 : chance.between(0, 5), () => {
    if (!isElected) open = stage.isolate(outsider);
  });
  stage.whenElected((elected) => {
    isElected = true;
    stage.after(chance.chance(0.5) ? 0 : chance.between(0, 5), () => {
      open();
      stage.isolate(elected);
      const voters = cluster.members.filter((each) => each !== elected && each !== outsider);
      for (const member of voters) {
        if (member.process !== undefined) member.crash(chance.between(1, 30), true);
      }
      if (chance.chance(0.6)) stage.after(40, () => standStill(stage, voters));
    });
  });
  return true;
}

/** Lets members stand still for about an election, so that others are the first to campaign. */
function standStill(stage: Stage, members: readonly SimMember[]): void {
  for (const member of members) {
    const wake = stage.pause(member);
    stage.after(stage.electionMs * stage.chance.between(0.5, 2), wake);
  }
}

/**
 * The new leader, whose disk is slow, loses power, and soon asks those who voted for it again;
 * the others may stand still meanwhile, so that it comes first.
 */
function electedFalls(stage: Stage, to: SimMember, outsider: SimMember): boolean {
  const { chance, electionMs } = stage;
  // Those who do not wait for its disk elect it only if all of three vote.
  if (chance.chance(0.2)) stage.isolate(outsider);
  stage.slowDisk(to, { least: 50, most: chance.between(100, 2 * electionMs) });
  if (!stage.transfer(to)) return false;
  stage.whenElected((elected) => {
    stage.after(chance.chance(0.5) ? 0 : chance.between(0, 5), () => {
      if (elected.process === undefined) return;
      elected.crash(chance.between(1, 30), true);
      if (chance.chance(0.7)) standStill(stage, stage.others(elected));
    });
  });
  return true;
}

/**
 * Figure 8 of the Raft paper: a leader's entries reach nobody, the next leader's neither, the first
 * one comes back and copies its old entries to a majority, and is gone before it has copied one of
 * its new term. The second one, whose last entry is newer, may then overwrite them.
 */
function figureEight(stage: Stage): boolean {
  const { chance } = stage;
  const first = stage.leader;
  if (first === undefined) return false;
  const openFirst = stage.isolate(first);
  const entries = 1 + chance.below(20);
  stage.after(chance.between(0, 5), () => stage.puts(entries, first));
  stage.whenElected((second) => {
    const openSecond = stage.isolate(second);
    stage.after(chance.between(20, 100), () => {
      const startSecond = chance.chance(0.5) ? stage.strike(second) : nothing;
      const comeBack = (): void => {
        startSecond();
        openSecond();
      };
      returnOfFirst(stage, first, second, openFirst, comeBack);
    });
  });
  return true;
}

function returnOfFirst(
  stage: Stage,
  first: SimMember,
  second: SimMember,
  openFirst: () => void,
  comeBack: () => void,
): void {
  const { chance, cluster } = stage;
  const needed = Math.floor(cluster.members.length / 2);
  // Without these a majority has to elect the first one, whose log is longest.
  const open = stage
    .others(first, second)
    .slice(needed)
    .map((member) => stage.isolate(member));
  stage.changeNetwork({ delayMs: { least: 3, most: chance.between(5, 30) } });
  openFirst();
  stage.whenElected((third) => {
    if (third !== first) {
      stage.end();
      return;
    }
    const committed = first.core?.log.committed ?? 0;
    stage.when(
      () => countsOldEntries(first, committed),
      () => {
        stage.isolate(first);
        if (chance.chance(0.5)) stage.strike(first);
        comeBack();
        for (const undo of open) undo();
      },
    );
  });
}

/** Whether a majority holds entries of older terms that were not committed when it was elected. */
function countsOldEntries(leader: SimMember, committed: number): boolean {
  const { core } = leader;
  if (core?.role !== 'leader') return false;
  const index = core.tracker.committed();
  return index > committed && core.log.termOrZero(index) < core.term;
}

/**
 * A leader whose disk is busy with entries that nobody else has is replaced, and the entries with
 * it, before they are written. When they are, they are no more than garbage.
 */
function overwrite(stage: Stage): boolean {
  const { chance, electionMs } = stage;
  const old = stage.leader;
  if (old === undefined || old.slowSyncMs !== undefined) return false;
  const open = stage.isolate(old);
  const most = electionMs * chance.between(3, 7);
  stage.slowDisk(old, { least: most * chance.between(0.2, 0.9), most });
  stage.puts(1 + chance.below(20), old);
  stage.whenElected(() => {
    stage.after(chance.between(0, 50), () => stage.puts(1 + chance.below(30)));
    stage.after(chance.between(5, 300), () => {
      open();
      if (chance.chance(0.3)) return;
      stage.after(most * chance.between(0.2, 2), () => {
        if (old.process !== undefined) old.crash(chance.between(1, 300), true);
      });
    });
  });
  return true;
}

/**
 * A leader is cut off, and most times stands still as well, until another leads and has been
 * written to; its clients still read from it. In networks that repeat what they carried it has led
 * before, and hears again what it was told then.
 */
function staleReader(stage: Stage): boolean {
  const { chance, cluster, electionMs } = stage;
  const reader = stage.leader;
  if (reader === undefined) return false;
  if (cluster.plan.network.kind !== 'messages' || chance.chance(0.5)) {
    leftAlone(stage, reader);
    return true;
  }
  stage.changeNetwork({ echo: 1, echoMs: electionMs * chance.between(2, 6) });
  return roundTrip(stage, reader, () => {
    // The next leadership counts its rounds from one again.
    stage.after(chance.between(100, 800), () => {
      if (roundTrip(stage, reader, () => leftAlone(stage, reader))) return;
      stage.end();
    });
  });
}

/** Leadership goes to another member and back. */
function roundTrip(stage: Stage, member: SimMember, next: () => void): boolean {
  const [other] = stage.others(member);
  if (other === undefined || !stage.transfer(other)) return false;
  stage.whenElected(() => {
    stage.after(stage.chance.between(20, 200), () => {
      if (!stage.transfer(member)) {
        stage.end();
        return;
      }
      stage.whenElected((elected) => {
        if (elected === member) stage.after(stage.chance.between(0, 50), next);
        else stage.end();
      });
    });
  });
  return true;
}

function leftAlone(stage: Stage, reader: SimMember): void {
  const { chance } = stage;
  stage.isolate(reader);
  const wake = chance.chance(0.7) ? stage.pause(reader) : nothing;
  stage.whenElected(() => {
    const puts = 5 + chance.below(30);
    stage.after(chance.between(0, 50), () => stage.puts(puts));
    stage.after(chance.between(30, 300), () => {
      wake();
      for (let i = 0; i < 8; i++) {
        stage.after(chance.between(0, stage.electionMs), () => stage.reads(4, reader));
      }
    });
  });
}

/** Leadership is handed over, and the old leader hears everything much later than others. */
function lateNews(stage: Stage): boolean {
  const { chance, heartbeatMs, electionMs } = stage;
  const old = stage.leader;
  if (old === undefined) return false;
  const [successor] = stage.others(old);
  const extraMs = chance.between(heartbeatMs / 2, electionMs * 0.7);
  stage.slowInto(old, extraMs);
  stage.after(extraMs * chance.between(1, 2), () => {
    if (successor === undefined || stage.leader !== old || !stage.transfer(successor)) {
      stage.end();
      return;
    }
    stage.whenElected((elected) => {
      for (let i = 0; i < 6; i++) {
        stage.after(chance.between(0, heartbeatMs), () => stage.puts(4, elected));
        stage.after(chance.between(0, heartbeatMs * 1.5), () => stage.reads(4, old));
      }
    });
  });
  return true;
}

/**
 * A follower falls behind what the leader's log still holds, again and again, and gets snapshots
 * over a bad link, on a slow disk, while the leader goes on.
 */
function leftBehind(stage: Stage): boolean {
  const { chance, cluster, electionMs, leader } = stage;
  if (leader === undefined) return false;
  const [follower] = stage.others(leader);
  // A log that is hardly ever compacted leaves nobody behind.
  if (follower?.running === undefined || cluster.plan.server.snapshotCount > 40) return false;
  if (chance.chance(0.6)) stage.slowLinks(follower, chance.octaves(4, 256));
  const mostMs = chance.octaves(20, 1_300);
  if (chance.chance(0.6)) stage.slowDisk(follower, { least: mostMs / 16, most: mostMs });
  stage.changeNetwork({
    breakSnapshot: chance.chance(0.7) ? 0.5 : 0,
    drop: chance.chance(0.4) ? chance.between(0.02, 0.2) : 0,
  });
  const open = chance.chance(0.7) ? stage.isolate(follower) : nothing;
  stage.after(chance.between(100, electionMs), open);
  for (let i = 0; i < 25; i++) {
    const puts = 2 + chance.below(8);
    stage.after(chance.between(0, 4 * electionMs), () => stage.puts(puts, leader));
  }
  return true;
}
