/** What is said of a call that failed. */
import { StatusCode } from '../base/errors.ts';

interface CallFailure {
  readonly code: StatusCode;
  readonly message: string;
  readonly cause?: unknown;
}

const systemErrors: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  EISDIR: 'is a directory',
  ENOTDIR: 'not a directory',
  ENOSPC: 'no space left on device',
};

/** What a cluster refused that is not the one of --endpoints; `cause` is its client's error. */
export class ElsewhereError extends Error {
  override readonly name = 'ElsewhereError';
  readonly endpoints: readonly string[];

  constructor(endpoints: readonly string[], cause: unknown) {
    super('another cluster refused', { cause });
    this.endpoints = endpoints;
  }
}

/** The system's words for what it refused, as Go prints them. */
export function systemErrorText(error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return systemErrors[code] ?? message;
}

/** Any error of the client, without loading it only to ask. */
function callFailure(error: unknown): CallFailure | undefined {
  const isOne = error instanceof Error && typeof (error as { code?: unknown }).code === 'number';
  return isOne ? (error as unknown as CallFailure) : undefined;
}

/** gRPC's words for no connection at all. */
const unconnected = /^(no connection established|no endpoint connected|name resolution failed)/i;

function isUnconnected({ code, message }: CallFailure): boolean {
  return code === StatusCode.unavailable && unconnected.test(message);
}

const deadline = 'context deadline exceeded';

/** Words of etcd and of the client. */
const known = /^(etcdserver|context|mutex|election|the client|the stream)\b/;

/** gRPC's name of a code, as Go writes it. */
function codeName(code: StatusCode): string {
  const [name = 'unknown'] = Object.entries(StatusCode).find(([, value]) => value === code) ?? [];
  return name === 'cancelled' ? 'Canceled' : name.charAt(0).toUpperCase() + name.slice(1);
}

/**
 * The server's words, with gRPC's code if they are not etcd's. A server that cannot be reached is
 * for etcdctl one that takes too long.
 */
export function failureText(error: unknown): string {
  const failure = callFailure(error);
  if (failure === undefined) return error instanceof Error ? error.message : String(error);
  if (isUnconnected(failure)) return deadline;
  const { code, message } = failure;
  return known.test(message) ? message : `rpc error: code = ${codeName(code)} desc = ${message}`;
}

/** The system's words at the end of gRPC's. */
function reasonIn(message: string): string {
  return /Last error: (?:Error: )?(.*?)\.?(?: Resolution note:.*)?$/s.exec(message)?.[1] ?? message;
}

const hints: readonly (readonly [RegExp, string])[] = [
  [
    /required revision has been compacted/,
    'Revisions that old are forgotten: leave out --rev, or take a newer one.',
  ],
  [
    /required revision is a future revision/,
    'The store is not that far; `endpoint status -w json` tells its revision.',
  ],
  [
    /requested lease not found/,
    'It has run out or was revoked; `lease list` tells which there are.',
  ],
  [/key is not provided/, "For all keys, say --prefix ''."],
  [/user name is empty/, 'The cluster wants to know who asks: --user name[:password].'],
  [/invalid auth token/, 'Sign in with --user name[:password], or get a fresh token.'],
  [/request is too large/, "The server's --max-request-bytes limits requests."],
  [/trying to send message larger than max/i, 'See --max-request-bytes.'],
  [/received message larger than max/i, 'See --max-recv-bytes, --limit and --stream.'],
  [/too many operations in txn/, "The server's --max-txn-ops limits transactions."],
  [
    /database space exceeded/,
    'Delete keys and compact; see `alarm list`, and --quota-backend-bytes of the servers.',
  ],
  [
    /corrupt cluster/,
    'Members differ: `alarm list` names who is wrong. Clear the alarm once that is mended.',
  ],
  [
    /unhealthy cluster/,
    'Enough voters must have been connected for 5 s; see `endpoint health --cluster`.',
  ],
  [
    /not enough started members/,
    'Too few voters would be left that were ever started; see `member list`.',
  ],
  [/in sync with leader/, 'The learner has not caught up; see `endpoint status --cluster`.'],
  [/too many learner members/, "The server's --max-learners limits them; promote or remove one."],
  [/not supported for learner/, 'Name a voting member with --endpoints; see `member list`.'],
  [/no leader|leader changed/, 'Is a majority of the members up? See `endpoint status --cluster`.'],
];

/** What went wrong underneath, or what to do about it; undefined if the text says it all. */
export function causeOf(error: unknown, endpoints: readonly string[]): string | undefined {
  const failure = callFailure(error);
  if (failure === undefined) return undefined;
  if (isUnconnected(failure)) return noConnection(endpoints, failure.message);
  if (failure.code === StatusCode.deadlineExceeded) {
    const cause = callFailure(failure.cause);
    if (cause !== undefined && isUnconnected(cause)) return noConnection(endpoints, cause.message);
    const last = cause === undefined ? '' : ` The last answer was: ${cause.message}.`;
    return `No answer in time from ${endpoints.join(', ')}.${last} See --command-timeout.`;
  }
  if (failure.code === StatusCode.unimplemented) return missingCall(failure.message);
  return hints.find(([words]) => words.test(failure.message))?.[1];
}

/** Users and roles are the part of etcd that Quorate does not have yet. */
function missingCall(message: string): string {
  return /\bAuth\b/.test(message)
    ? 'The server has no users and roles: it serves everybody.'
    : 'The server does not offer this call.';
}

function noConnection(endpoints: readonly string[], message: string): string {
  const reason = reasonIn(message);
  const advice = /certificate|altname|SSL|TLS/i.test(reason)
    ? 'Who may be trusted is named by --cacert; --insecure-skip-tls-verify trusts anybody.'
    : 'Is a server running there? --endpoints or ETCDCTL_ENDPOINTS names others.';
  return `No connection to ${endpoints.join(', ')}: ${reason}.\n${advice}`;
}
