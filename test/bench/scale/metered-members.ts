/** Three members with the meter of turns in those of ours, for as long as something uses them. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ClusterProcess } from '../../support/cluster-process.ts';
import { type MemberSystem, startMembers } from '../systems.ts';
import { meterArguments } from './turns.ts';

const members = 3;

export interface MeteredOptions {
  /** Of the repository. */
  readonly root: string;
  /** Where a directory of theirs is made, and removed in the end. */
  readonly directory: string;
  /** What its name begins with. */
  readonly prefix: string;
  readonly flags: readonly string[];
}

/** @param use is told the directory, which the meter writes to as well */
export async function withMeteredMembers<Result>(
  system: MemberSystem,
  { root, directory: parent, prefix, flags }: MeteredOptions,
  use: (cluster: ClusterProcess, directory: string) => Promise<Result>,
): Promise<Result> {
  mkdirSync(parent, { recursive: true });
  const directory = mkdtempSync(join(parent, prefix));
  try {
    const cluster = await startMembers(system, {
      ...{ root, members, directory, flags },
      nodeArguments: (member) => meterArguments(root, directory, member),
    });
    try {
      return await use(cluster, directory);
    } finally {
      await cluster.stop();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
