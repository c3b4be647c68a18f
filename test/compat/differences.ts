/**
 * Where Quorate answers otherwise than the etcd it is compared with, and why that is right.
 *
 * Quorate follows etcd 3.6; the etcd that distributions ship may be older. Every entry names the
 * version of etcd that changed its answer. An entry is for reviewers: add one only with a reason
 * that can be looked up.
 */
export interface Difference {
  /** Matches lines `group > case > step path: etcd …, ours …`. */
  readonly line: RegExp;
  /** Versions of etcd that answer differently. */
  readonly etcd: RegExp;
  readonly reason: string;
  /** What Quorate must serve before the difference can show (see pending.ts). */
  readonly needs?: string;
}

/** All of 3.4 and 3.5. */
const minor34 = /^3\.[45]\./;

/** Releases of 3.4 that lack later fixes: the one that Debian 12 ships among them. */
const patch34 = /^3\.4\.(\d|1\d|2[0-3])$/;

export const differences: readonly Difference[] = [
  {
    line: /^hash > hash of the keys > 5 HashKV (hash|hashRevision): /,
    etcd: /./,
    reason: 'Of a negative revision etcd hashes no keys at all; Quorate hashes the present ones.',
  },
  {
    line: /^lock > the lease ends before the turn comes > 6 Lock /,
    etcd: /^3\.4\./,
    reason: 'Since 3.5 a lock whose lease is over is refused and not given (issue 11456).',
  },
  {
    line: /^election > the lease ends before the turn comes > 6 Campaign /,
    etcd: /./,
    reason:
      'etcd lets a candidate lead whose lease is over and whose key is gone: two leaders at once.',
  },
  {
    line: /^range > (unknown order|negative order) > /,
    etcd: minor34,
    reason: '3.6 refuses an unknown sort order; 3.4 answers as if there were none.',
  },
  {
    line: /^watch > progress (without a watch|of one that waits for the future) > /,
    etcd: patch34,
    reason:
      'Progress is told only of watches that have caught up, since 3.4.25 and 3.5.8 (PR 15697).',
  },
  {
    line: /^watch > from a negative revision > /,
    etcd: patch34,
    reason: 'A negative start revision is refused in the latest releases of 3.4, 3.5 and 3.6.',
  },
  {
    line: /^auth > permissions of roles > /,
    etcd: patch34,
    needs: 'etcdserverpb.Auth',
    reason: 'Permissions for empty ranges are refused since 3.4.25 and 3.5.8 (PR 15621).',
  },
  {
    line: /^auth > .* AuthStatus /,
    etcd: minor34,
    needs: 'etcdserverpb.Auth',
    reason: 'AuthStatus came with 3.5.',
  },
  {
    line: /^auth > enabling needs root > 10 RoleGet perm: /,
    etcd: minor34,
    needs: 'etcdserverpb.Auth',
    reason: 'Since 3.6 the role root shows what it may do.',
  },
  {
    line: /^auth > without a token and with a wrong one > \d+ (LeaseGrant|Compact) /,
    etcd: patch34,
    needs: 'etcdserverpb.Auth',
    reason:
      'An empty token is no token, and LeaseGrant and Compact ask for one, ' +
      'in the latest patch releases.',
  },
  {
    line: /^auth > without a token and with a wrong one > 43 Range /,
    etcd: patch34,
    needs: 'etcdserverpb.Auth',
    reason:
      'The prefix Bearer of a token is dropped in the latest releases of 3.5 and 3.6 (PR 21932).',
  },
  {
    line: /^auth > transactions of (writer|both) > /,
    etcd: patch34,
    needs: 'etcdserverpb.Auth',
    reason:
      'A put with prev_kv in a transaction needs the right to read ' +
      'since 3.4.44, 3.5.30 and 3.6.11 (PR 21681).',
  },
  {
    line: /^auth > what only root may do, by \w+ > \d+ (Compact|MoveLeader|Hash) /,
    etcd: patch34,
    needs: 'etcdserverpb.Auth',
    reason: 'Compact, MoveLeader and Hash ask for root in the latest releases of 3.4, 3.5 and 3.6.',
  },
  {
    line: /^auth > leases > \d+ LeaseTimeToLive /,
    etcd: patch34,
    needs: 'etcdserverpb.Auth',
    reason:
      'Keys of a lease are shown to those who may read them, since 3.4.26 and 3.5.9 (PR 15814).',
  },
  {
    line: /^auth > leases > \d+ LeaseLeases /,
    etcd: patch34,
    needs: 'etcdserverpb.Auth',
    reason:
      'The list of leases asks for the right to read their keys in the latest patch releases.',
  },
  {
    line: /^auth > watches > /,
    etcd: patch34,
    needs: 'etcdserverpb.Auth',
    reason:
      'The end of the range counts for the permission to watch, ' +
      'since 3.5.33 and 3.6.14 (GHSA-xg4h-6gfc-h4m8).',
  },
  {
    line: / Alarm header: /,
    etcd: minor34,
    reason: 'The header of an Alarm answer is filled in since 3.5.',
  },
  {
    line: / Status (storageVersion|dbSizeQuota|downgradeInfo): /,
    etcd: minor34,
    reason: 'These fields of Status came with 3.6.',
  },
  {
    line: /^cluster > a learner comes, .* MemberUpdate members\.\d\.isLearner: /,
    etcd: patch34,
    reason:
      "An update of a learner's URLs leaves it a learner, since 3.5.31 and 3.6.12 (PR 21737).",
  },
  {
    line: / HashKV hashRevision: /,
    etcd: minor34,
    reason: 'hash_revision came with 3.6 (PR 14537).',
  },
];

/** For random requests, whose lines are `random > kind > path: etcd …, ours …`. */
export const randomDifferences: readonly Difference[] = [
  {
    line: /^random > txn > (code: etcd \d+, ours \d+|details: etcd "etcds.*, ours "etcdserver: )/,
    etcd: /^3\.4\./,
    reason: 'Of several reasons to refuse, 3.6 names the first in order, 3.4 those of puts first.',
  },
];

/** Entries that explained something in this run. */
export const used = new Set<Difference>();

/** Whether a reviewed entry explains the line. */
export function explain(line: string, etcdVersion: string): boolean {
  const found = [...differences, ...randomDifferences].find(
    (difference) => difference.etcd.test(etcdVersion) && difference.line.test(line),
  );
  if (found === undefined) return false;
  used.add(found);
  return true;
}
