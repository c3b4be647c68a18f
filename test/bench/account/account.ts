/** Microseconds of CPU for a request, by stage, at the leader and at a follower. */
import { readFileSync } from 'node:fs';
import type { Figures, MemberUsage } from '../measurements.ts';
import { profilePath } from '../systems.ts';
import { type CpuProfile, type Shares, sharesOf } from './profile.ts';
import { type Stage, stageNames } from './stages.ts';

/** By stage, in microseconds. */
export type Account = Readonly<Partial<Record<Stage | 'other threads', number>>>;

export interface WorkloadAccount {
  readonly workload: string;
  readonly title: string;
  readonly perSecond: number;
  readonly leader: Account;
  /** The mean of all followers. */
  readonly follower: Account;
}

/** @param directory of the members' profiles */
export function accountOf(
  { name, title }: { readonly name: string; readonly title: string },
  { usages, operations, seconds }: Figures,
  directory: string,
): WorkloadAccount {
  if (usages === undefined) throw new Error('the members were not profiled');
  const { fromUs, untilUs, members } = usages;
  const accounts = members.map((member) => {
    const text = readFileSync(profilePath(directory, member.name), 'utf8');
    const shares = sharesOf(JSON.parse(text) as CpuProfile, fromUs, untilUs);
    return {
      isLeader: member.name.endsWith('-leader'),
      account: memberAccount(member, shares, operations),
    };
  });
  const of = (isLeader: boolean): Account =>
    meanOf(accounts.filter((each) => each.isLeader === isLeader).map(({ account }) => account));
  const perSecond = operations / seconds;
  return { workload: name, title, perSecond, leader: of(true), follower: of(false) };
}

/**
 * The profile tells shares, the system how much that is. What the kernel took of the thread is in
 * none of our frames but below native code, so it is taken from there.
 */
export function memberAccount(
  { main, mainSystem, others }: Omit<MemberUsage, 'name'>,
  shares: Shares,
  operations: number,
): Account {
  const account: Partial<Record<Stage | 'other threads', number>> = {};
  const us = (seconds: number): number => (seconds / operations) * 1e6;
  for (const [stage, share] of shares) account[stage] = us(share * main);
  const native = account['native code'] ?? 0;
  account.kernel = us(mainSystem);
  account['native code'] = Math.max(0, native - account.kernel);
  account['other threads'] = us(others);
  return account;
}

function meanOf(accounts: readonly Account[]): Account {
  const mean: Partial<Record<Stage | 'other threads', number>> = {};
  for (const stage of [...stageNames, 'other threads'] as const) {
    const sum = accounts.reduce((total, account) => total + (account[stage] ?? 0), 0);
    if (sum > 0) mean[stage] = sum / accounts.length;
  }
  return mean;
}
