/** Errors that reach clients: etcd's words with etcd's gRPC codes (etcd: api/v3rpc/rpctypes). */

/** gRPC status codes (grpc/doc/statuscodes.md). */
export const StatusCode = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;
export type StatusCode = (typeof StatusCode)[keyof typeof StatusCode];

const { invalidArgument, outOfRange, resourceExhausted, notFound, failedPrecondition } = StatusCode;
const { unavailable, dataLoss, unknown, cancelled, deadlineExceeded } = StatusCode;

/** Every refusal by name. Texts and codes are part of the API: clients match them. */
export const etcdErrors = {
  emptyKey: [invalidArgument, 'etcdserver: key is not provided'],
  keyNotFound: [invalidArgument, 'etcdserver: key not found'],
  valueProvided: [invalidArgument, 'etcdserver: value is provided'],
  leaseProvided: [invalidArgument, 'etcdserver: lease is provided'],
  tooManyOps: [invalidArgument, 'etcdserver: too many operations in txn request'],
  duplicateKey: [invalidArgument, 'etcdserver: duplicate key given in txn request'],
  invalidSortOption: [invalidArgument, 'etcdserver: invalid sort option'],
  invalidClientApiVersion: [invalidArgument, 'etcdserver: invalid client api version'],
  requestTooLarge: [invalidArgument, 'etcdserver: request is too large'],
  compacted: [outOfRange, 'etcdserver: mvcc: required revision has been compacted'],
  futureRevision: [outOfRange, 'etcdserver: mvcc: required revision is a future revision'],
  /** Not etcd's: an answer that would take too much memory, refused before anything is done. */
  answerTooLarge: [resourceExhausted, 'etcdserver: answer is too large'],
  /** Not etcd's: answers that clients have not read take too much memory. */
  tooManyUnsent: [resourceExhausted, 'etcdserver: too many unsent answers'],
  noSpace: [resourceExhausted, 'etcdserver: mvcc: database space exceeded'],
  /** etcd's map holds the client-side error, so the code that arrives is Unknown. */
  tooManyRequests: [unknown, 'etcdserver: too many requests'],
  leaseExists: [failedPrecondition, 'etcdserver: lease already exists'],
  leaseTtlTooLarge: [outOfRange, 'etcdserver: too large lease TTL'],
  leaseNotFound: [notFound, 'etcdserver: requested lease not found'],
  memberNotFound: [notFound, 'etcdserver: member not found'],
  memberIdExists: [failedPrecondition, 'etcdserver: member ID already exist'],
  peerUrlExists: [failedPrecondition, 'etcdserver: Peer URLs already exists'],
  badMemberUrls: [invalidArgument, 'etcdserver: given member URLs are invalid'],
  memberNotLearner: [failedPrecondition, 'etcdserver: can only promote a learner member'],
  learnerNotReady: [
    failedPrecondition,
    'etcdserver: can only promote a learner member which is in sync with leader',
  ],
  tooManyLearners: [failedPrecondition, 'etcdserver: too many learner members in cluster'],
  /** Its code is Unknown as shipped, for the reason given at `tooManyRequests`. */
  notEnoughStarted: [
    unknown,
    'etcdserver: re-configuration failed due to not enough started members',
  ],
  /** etcd's for what the version of its cluster does not allow yet. */
  notCapable: [failedPrecondition, 'etcdserver: not capable'],
  notLeader: [failedPrecondition, 'etcdserver: not leader'],
  learnerUnsupported: [failedPrecondition, 'etcdserver: rpc not supported for learner'],
  badLeaderTransferee: [failedPrecondition, 'etcdserver: bad leader transferee'],
  downgradeVersionFormat: [invalidArgument, 'etcdserver: wrong downgrade target version format'],
  downgradeVersion: [invalidArgument, 'etcdserver: invalid downgrade target version'],
  downgradeInProgress: [failedPrecondition, 'etcdserver: cluster has a downgrade job in progress'],
  unknownMethod: [unknown, 'etcdserver: unknown method'],
  timeoutLeaderTransfer: [unknown, 'etcdserver: request timed out, leader transfer took too long'],
  noLeader: [unavailable, 'etcdserver: no leader'],
  leaderChanged: [unavailable, 'etcdserver: leader changed'],
  stopped: [unavailable, 'etcdserver: server stopped'],
  timeout: [unavailable, 'etcdserver: request timed out'],
  timeoutLeaderFailure: [
    unavailable,
    'etcdserver: request timed out, possibly due to previous leader failure',
  ],
  timeoutConnectionLost: [
    unavailable,
    'etcdserver: request timed out, possibly due to connection lost',
  ],
  unhealthy: [unavailable, 'etcdserver: unhealthy cluster'],
  corrupt: [dataLoss, 'etcdserver: corrupt cluster'],
  watchCanceled: [cancelled, 'etcdserver: watch canceled'],
  requestCanceled: [cancelled, 'etcdserver: request canceled'],
  deadline: [deadlineExceeded, 'context deadline exceeded'],
} as const satisfies Record<string, readonly [StatusCode, string]>;
export type EtcdErrorName = keyof typeof etcdErrors;

/** A refusal that the client sees as a gRPC status. An operating condition, not a bug. */
export class StatusError extends Error {
  override readonly name: string = 'StatusError';
  readonly code: StatusCode;

  constructor(code: StatusCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** One of {@link etcdErrors}. */
export class EtcdError extends StatusError {
  override readonly name: string = 'EtcdError';
  readonly reason: EtcdErrorName;

  constructor(reason: EtcdErrorName) {
    super(etcdErrors[reason][0], etcdErrors[reason][1]);
    this.reason = reason;
  }
}
