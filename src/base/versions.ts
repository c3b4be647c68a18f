/** Versions that a member reports. */

/** The release of etcd whose behaviour clients see. Clients parse it: digits and dots only. */
export const ETCD_VERSION = '3.6.14';

/** What all members of a cluster understand, in etcd's numbering. */
export const CLUSTER_VERSION = '3.6.0';

/** The format of the state, in etcd's numbering. */
export const STORAGE_VERSION = '3.6.0';

/**
 * The protocol between members, and with it the kinds of log entries: 4 brought changes of
 * membership, 5 the comparison of states, 6 the witnesses of members that are added and the message
 * `committed` (`transport/frames.ts`, `server/protocol-gate.ts`).
 */
export const PEER_PROTOCOL = 6;

/** The oldest protocol whose members know of witnesses (`cluster/membership.ts`). */
export const WITNESS_PROTOCOL = 6;

/** The oldest protocol whose members tell others what is committed (`raft/committed.ts`). */
export const COMMITTED_PROTOCOL = 6;

/** Our own release, as in package.json. */
export const QUORATE_VERSION = '0.1.0';
