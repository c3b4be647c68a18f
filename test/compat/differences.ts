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
}

export const differences: readonly Difference[] = [];

/** Entries that explained something in this run. */
export const used = new Set<Difference>();

/** Whether a reviewed entry explains the line. */
export function explain(line: string, etcdVersion: string): boolean {
  const found = differences.find(
    (difference) => difference.etcd.test(etcdVersion) && difference.line.test(line),
  );
  if (found === undefined) return false;
  used.add(found);
  return true;
}
