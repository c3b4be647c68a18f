/**
 * Where kvctl answers otherwise than the etcdctl it is compared with, and why that is right.
 *
 * kvctl follows etcdctl 3.6. Every entry names the version that changed the answer, or the reason
 * for which kvctl goes its own way. An entry that nothing needs fails the test.
 */
export interface CommandDifference {
  /** Matches the command line, with its input where it has some. */
  readonly command: RegExp;
  readonly in: readonly ('stdout' | 'code' | 'error')[];
  /** Versions of etcdctl that answer differently. */
  readonly etcdctl: RegExp;
  readonly reason: string;
}

/** All of 3.4 and 3.5. */
const minor35 = /^3\.[45]\./;
const minor34 = /^3\.4\./;
const every = /./;

export const commandDifferences: readonly CommandDifference[] = [
  {
    command: /^txn .*-w json/,
    in: ['stdout'],
    etcdctl: minor34,
    reason: 'Answers inside a txn are named response_range, response_put and so on since 3.5.',
  },
  {
    command: /-w fields.*--hex|--hex.*-w fields|WRITE_OUT=fields .*--hex/,
    in: ['stdout'],
    etcdctl: minor35,
    reason: 'With --hex, leases are hex in the format fields too since 3.6.',
  },
  {
    command: /^member list -w fields/,
    in: ['stdout'],
    etcdctl: minor35,
    reason: 'The revision, which answers about members do not have, is left out since 3.6.',
  },
  {
    command: /^watch greeting --rev 1 -w fields/,
    in: ['stdout'],
    etcdctl: minor35,
    reason: 'The revision, which the end of a watch does not have, is left out since 3.6.',
  },
  {
    command: /^endpoint health( --cluster)?$/,
    in: ['stdout'],
    etcdctl: minor34,
    reason: 'That an endpoint is healthy goes to standard output since 3.5.',
  },
  {
    command: /^defrag/,
    in: ['stdout'],
    etcdctl: minor35,
    reason: 'How long a defragmentation took is told since 3.6.',
  },
  {
    command: /endpoint status/,
    in: ['stdout'],
    etcdctl: minor35,
    reason: 'Storage version, bytes in use, quota and state of a downgrade are told since 3.6.',
  },
  {
    command: /^endpoint hashkv/,
    in: ['stdout'],
    etcdctl: minor35,
    reason: 'The revision of the hash is told since 3.6.',
  },
  {
    command: /--endpoints= endpoint health -w json/,
    in: ['stdout'],
    etcdctl: minor34,
    reason: 'A list of no endpoints is null in JSON since 3.5.',
  },
  {
    command: /^ETCDCTL_WRITE_OUT=fields get greeting -w json/,
    in: ['stdout', 'code'],
    etcdctl: every,
    reason: 'etcdctl refuses to run when a flag and its variable are both set; here the flag wins.',
  },
  {
    command: /^txn < "lease/,
    in: ['stdout', 'code'],
    etcdctl: /^3\.[456]\./,
    reason: 'etcdctl crashes on comparisons of leases; 3.7 reads them.',
  },
  {
    command: /^txn < "mod\(\\"a\\"\) >>/,
    in: ['code', 'error'],
    etcdctl: every,
    reason: 'etcdctl crashes on operators that it does not know.',
  },
  {
    command: /^txn < "\\nget 'two words'/,
    in: ['stdout', 'code', 'error'],
    etcdctl: minor35,
    reason: 'Words in single quotes are cut wrongly before 3.6.',
  },
  {
    command: /^watch -i/,
    in: ['error'],
    etcdctl: minor35,
    reason: 'The message begins in lower case since 3.6.',
  },
  {
    command: /^snapshot save( a b)?$/,
    in: ['error'],
    etcdctl: minor35,
    reason: 'What argument is missing is told since 3.6.',
  },
  {
    command: /^snapshot restore .*--data-dir \/tmp$/,
    in: ['error'],
    etcdctl: minor34,
    reason: 'A data directory may be there since 3.5, if it is empty; the message tells it.',
  },
  {
    command: /^completion$/,
    in: ['stdout', 'code', 'error'],
    etcdctl: minor34,
    reason: 'Shells are arguments and not commands since 3.5.',
  },
  {
    command: /^lock lk -- sh -c ("exit 7"|"kill )/,
    in: ['code'],
    etcdctl: minor34,
    reason: 'lock ends with the code of the program that it ran since 3.5 (PR 12829).',
  },
];

/** The same for users and roles. */
export const accessDifferences: readonly CommandDifference[] = [
  {
    command: /^(role get root|user get root --detail) /,
    in: ['stdout'],
    etcdctl: minor34,
    reason: 'That the root role may do everything is told by later versions.',
  },
  {
    command: /^user nope$/,
    in: ['stdout', 'code', 'error'],
    etcdctl: every,
    reason: 'etcdctl prints help and succeeds for a command below another one that it has not got.',
  },
  {
    command: /^user add someone </,
    in: ['stdout'],
    etcdctl: every,
    reason: 'What asks for a password goes to standard error.',
  },
];
