/** From a data directory to a member that has not begun to act. */
import type { Member as ClusterMember } from '../cluster/membership.ts';
import type { MemberId } from '../raft/index.ts';
import {
  type DataDirectory,
  type DataDirectoryOptions,
  openDataDirectory,
} from '../storage/data-directory.ts';
import { asError } from '../storage/errors.ts';
import { Member, type MemberOptions } from './member.ts';
import { foundCluster, joinCluster } from './state.ts';

export interface OpenMemberOptions {
  readonly directory: Omit<DataDirectoryOptions, 'founders'>;
  /** With whom to found the cluster, asked for where there is no state; may throw. */
  readonly founders: () => readonly ClusterMember[];
  /**
   * Asks for the members of the cluster that has added this one; asked only at the first start.
   * Absent if this member founds its cluster.
   */
  readonly joins?: (() => Promise<readonly ClusterMember[]>) | undefined;
  readonly member: Omit<MemberOptions, 'directory'>;
}

type Opened = (error: Error | undefined, member: Member | undefined) => void;

/**
 * Opens the directory and loads what is in it. Values of the state are only read then, so damage to
 * them shows late: the directory is then opened once more, to be repaired from the other members.
 */
export function openMember(options: OpenMemberOptions, done: Opened): void {
  openOnce(options, (error, member) => {
    if (error?.name !== 'CorruptionError') {
      done(error, member);
      return;
    }
    const directory = { ...options.directory, stateDamage: error };
    openOnce({ ...options, directory }, done);
  });
}

function openOnce(options: OpenMemberOptions, done: Opened): void {
  // A repair that begins without a state ends here: it must not begin if this would refuse.
  const founders = (): readonly MemberId[] => options.founders().map(({ id }) => id);
  openDataDirectory({ ...options.directory, founders }, (error, directory) => {
    if (directory === undefined) {
      done(error, undefined);
      return;
    }
    const fail = (reason: Error | undefined): void => {
      directory.close(() => done(reason, undefined));
    };
    found(options, directory, (foundError) => {
      if (foundError !== undefined) {
        fail(foundError);
        return;
      }
      Member.open({ ...options.member, directory }, (memberError, member) => {
        if (member === undefined) fail(memberError);
        else done(undefined, member);
      });
    });
  });
}

/** The directory alone does not tell: a crash may have come between its making and this. */
function found(
  options: OpenMemberOptions,
  directory: DataDirectory,
  done: (error: Error | undefined) => void,
): void {
  const founded = (error: Error | undefined): void => {
    try {
      if (error === undefined) beginLife(options, directory);
      done(error);
    } catch (thrown) {
      done(asError(thrown));
    }
  };
  if (!directory.fresh) {
    founded(undefined);
    return;
  }
  if (options.joins !== undefined) {
    joinCluster(directory.backend, options.joins, founded);
    return;
  }
  let founders: readonly ClusterMember[];
  try {
    founders = options.founders();
  } catch (thrown) {
    done(asError(thrown));
    return;
  }
  foundCluster(directory.backend, founders, founded);
}

/** A directory in which nothing was decided yet may be one in place of another (`founding.ts`). */
function beginLife({ member }: OpenMemberOptions, directory: DataDirectory): void {
  const alone = directory.backend.confState.voters.length === 1;
  if (alone || !directory.unused || directory.founding !== undefined) return;
  const life = member.random.bits64() || 1n;
  directory.saveFounding({ life, takesPart: false, acquaintances: [] });
}
