/** Every flag of etcd 3.6, with what becomes of it here. One table feeds parser, help and docs. */

import type { FlagDefinition, FlagSupport, FlagType } from './flag.ts';
import { renamedFlags } from './renamed-flags.ts';

export interface FlagSection {
  readonly title: string;
  readonly flags: readonly FlagDefinition[];
}

type Row = readonly [name: string, type: FlagType, fallback: string, help: string];

function section(title: string, rows: Partial<Record<FlagSupport, readonly Row[]>>): FlagSection {
  const flags = (['used', 'ignored', 'refused'] as const).flatMap((support) =>
    (rows[support] ?? []).map(([name, type, fallback, help]) => ({
      name,
      type,
      fallback,
      help,
      support,
    })),
  );
  return { title, flags };
}

const member = section('Member', {
  used: [
    ['name', 'string', 'default', 'Human-readable name of this member.'],
    ['data-dir', 'string', '', 'Directory of the data; empty means ${name}.etcd.'],
    ['snapshot-count', 'unsigned', '10000', 'Applied entries that trigger a snapshot.'],
    [
      'snapshot-catchup-entries',
      'unsigned',
      '5000',
      'Entries kept after a snapshot, for followers that lag.',
    ],
    ['heartbeat-interval', 'unsigned', '100', 'Time between heartbeats, in milliseconds.'],
    ['election-timeout', 'unsigned', '1000', 'Time until an election, in milliseconds.'],
    [
      'initial-election-tick-advance',
      'boolean',
      'true',
      'Whether the first election comes early after a start.',
    ],
    ['listen-peer-urls', 'urls', 'http://localhost:2380', 'Where to listen for other members.'],
    ['listen-client-urls', 'urls', 'http://localhost:2379', 'Where to listen for clients.'],
    [
      'listen-client-http-urls',
      'urls',
      '',
      'Where to listen for plain HTTP; takes it off the client URLs.',
    ],
    [
      'quota-backend-bytes',
      'integer',
      '0',
      'Size of the data that raises the NOSPACE alarm; 0 means 2 GiB, less than 0 no limit.',
    ],
    [
      'quota-auto-disarm',
      'boolean',
      'true',
      'Whether that alarm clears by itself when space is free again. Not in etcd.',
    ],
    [
      'backend-batch-interval',
      'duration',
      '100ms',
      'Longest time until applied changes are written to the state database.',
    ],
    ['max-txn-ops', 'unsigned', '128', 'Most operations in a transaction.'],
    ['max-request-bytes', 'unsigned', '1572864', 'Largest request that is accepted, in bytes.'],
    [
      'max-concurrent-streams',
      'uint32',
      '4294967295',
      'Most streams that a client may have open on one connection.',
    ],
    [
      'grpc-keepalive-min-time',
      'duration',
      '5s',
      'Shortest time between two pings of a client; 0 allows any.',
    ],
    ['grpc-keepalive-interval', 'duration', '2h', 'Time between pings to clients; 0 sends none.'],
    ['grpc-keepalive-timeout', 'duration', '20s', 'Time that a client has to answer a ping.'],
    ['enable-grpc-gateway', 'boolean', 'true', 'Whether /v3/* is served as JSON.'],
    [
      'feature-gates',
      'feature-gates',
      '',
      'Gates of etcd, as Name=true,...; those that change nothing here are told of at the start.',
    ],
  ],
  ignored: [
    ['max-wals', 'unsigned', '5', 'The log is one database, not a series of files.'],
    ['max-snapshots', 'unsigned', '5', 'There is one snapshot: the state itself.'],
    ['memory-mlock', 'boolean', 'false', 'Memory is not locked.'],
    ['backend-bbolt-freelist-type', 'string', 'map', 'The database is not bbolt.'],
    ['backend-batch-limit', 'integer', '0', 'Batches of the state database are sized inside.'],
    ['socket-reuse-port', 'boolean', 'false', 'Listeners do not share ports.'],
    ['socket-reuse-address', 'boolean', 'false', 'Node always sets SO_REUSEADDR.'],
    ['raft-read-timeout', 'duration', '5s', 'Connections between members watch themselves.'],
    ['raft-write-timeout', 'duration', '5s', 'Connections between members watch themselves.'],
  ],
  refused: [['wal-dir', 'string', '', 'The log is kept in --data-dir.']],
});

const clustering = section('Clustering', {
  used: [
    [
      'initial-advertise-peer-urls',
      'urls',
      'http://localhost:2380',
      'URLs under which the other members reach this one.',
    ],
    [
      'initial-cluster',
      'string',
      'default=http://localhost:2380',
      'Founding members, as name=url,name=url; used at the first start only.',
    ],
    [
      'initial-cluster-state',
      'cluster-state',
      'new',
      "'new' founds the cluster, 'existing' joins one; used at the first start only.",
    ],
    [
      'initial-cluster-token',
      'string',
      'etcd-cluster',
      'Keeps clusters apart whose members have the same URLs.',
    ],
    [
      'advertise-client-urls',
      'urls',
      'http://localhost:2379',
      'URLs under which clients reach this member.',
    ],
    [
      'strict-reconfig-check',
      'boolean',
      'true',
      'Whether to refuse membership changes that would cost the quorum.',
    ],
    ['pre-vote', 'boolean', 'true', 'Whether to ask before an election, without disturbing.'],
    ['auto-compaction-mode', 'string', 'periodic', "'periodic' or 'revision'."],
    [
      'auto-compaction-retention',
      'string',
      '0',
      'History to keep: a duration, hours if without unit, or a number of revisions; 0 keeps all.',
    ],
    ['max-learners', 'integer', '1', 'Most learners that the cluster may have.'],
    [
      'learner-auto-promote',
      'boolean',
      'false',
      'Whether a leader promotes learners that have caught up; etcd has no such flag.',
    ],
  ],
  ignored: [
    ['discovery-dial-timeout', 'duration', '2s', 'Belongs to discovery.'],
    ['discovery-request-timeout', 'duration', '5s', 'Belongs to discovery.'],
    ['discovery-keepalive-time', 'duration', '2s', 'Belongs to discovery.'],
    ['discovery-keepalive-timeout', 'duration', '6s', 'Belongs to discovery.'],
    ['discovery-insecure-transport', 'boolean', 'true', 'Belongs to discovery.'],
    ['discovery-insecure-skip-tls-verify', 'boolean', 'false', 'Belongs to discovery.'],
    ['discovery-cert', 'string', '', 'Belongs to discovery.'],
    ['discovery-key', 'string', '', 'Belongs to discovery.'],
    ['discovery-cacert', 'string', '', 'Belongs to discovery.'],
    ['discovery-user', 'string', '', 'Belongs to discovery.'],
    ['discovery-password', 'string', '', 'Belongs to discovery.'],
    ['discovery-fallback', 'string', 'exit', 'Belongs to discovery.'],
    ['discovery-proxy', 'string', '', 'Belongs to discovery.'],
    ['v2-deprecation', 'string', 'write-only', 'There is no v2 store.'],
  ],
  refused: [
    ['discovery', 'string', '', 'Members are listed in --initial-cluster.'],
    ['discovery-token', 'string', '', 'Members are listed in --initial-cluster.'],
    ['discovery-endpoints', 'string', '', 'Members are listed in --initial-cluster.'],
    ['discovery-srv', 'string', '', 'Members are listed in --initial-cluster.'],
    ['discovery-srv-name', 'string', '', 'Members are listed in --initial-cluster.'],
  ],
});

const tlsMissing = 'Connections are not encrypted.';
const security = section('Security', {
  used: [
    ['cors', 'origins', '*', 'Origins that browsers may call from; * or empty means all.'],
    [
      'host-whitelist',
      'string',
      '*',
      'Host names that HTTP requests may carry; * or empty means all.',
    ],
  ],
  ignored: [
    ['self-signed-cert-validity', 'unsigned', '1', tlsMissing],
    ['cipher-suites', 'string', '', tlsMissing],
    ['tls-min-version', 'string', 'TLS1.2', tlsMissing],
    ['tls-max-version', 'string', '', tlsMissing],
    ['peer-skip-client-san-verification', 'boolean', 'false', tlsMissing],
  ],
  refused: [
    ['cert-file', 'string', '', tlsMissing],
    ['key-file', 'string', '', tlsMissing],
    ['client-cert-auth', 'boolean', 'false', tlsMissing],
    ['client-cert-file', 'string', '', tlsMissing],
    ['client-key-file', 'string', '', tlsMissing],
    ['client-crl-file', 'string', '', tlsMissing],
    ['client-cert-allowed-hostname', 'string', '', tlsMissing],
    ['trusted-ca-file', 'string', '', tlsMissing],
    ['auto-tls', 'boolean', 'false', tlsMissing],
    ['peer-cert-file', 'string', '', tlsMissing],
    ['peer-key-file', 'string', '', tlsMissing],
    ['peer-client-cert-auth', 'boolean', 'false', tlsMissing],
    ['peer-client-cert-file', 'string', '', tlsMissing],
    ['peer-client-key-file', 'string', '', tlsMissing],
    ['peer-trusted-ca-file', 'string', '', tlsMissing],
    ['peer-cert-allowed-cn', 'string', '', tlsMissing],
    ['peer-cert-allowed-hostname', 'string', '', tlsMissing],
    ['peer-auto-tls', 'boolean', 'false', tlsMissing],
    ['peer-crl-file', 'string', '', tlsMissing],
  ],
});

const authMissing = 'There are no users and roles yet.';
const auth = section('Auth', {
  refused: [
    ['auth-token', 'string', 'simple', authMissing],
    ['bcrypt-cost', 'unsigned', '10', authMissing],
    ['auth-token-ttl', 'unsigned', '300', authMissing],
  ],
});

const monitoring = section('Profiling and Monitoring', {
  used: [
    ['metrics', 'string', 'basic', "'basic', or 'extensive' for histograms of every call."],
    ['listen-metrics-urls', 'urls', '', 'More places to serve /metrics and /health on.'],
  ],
  ignored: [['enable-pprof', 'boolean', 'false', 'Profile with `node --inspect` or `--cpu-prof`.']],
});

const logging = section('Logging', {
  used: [
    [
      'log-outputs',
      'string',
      'default',
      "Comma-separated: 'stdout', 'stderr', 'default' for stderr, or paths of files.",
    ],
    ['log-level', 'string', 'info', "'debug', 'info', 'warn', 'error', 'panic' or 'fatal'."],
    ['log-format', 'string', 'json', "'json' or 'console'."],
    [
      'warning-unary-request-duration',
      'duration',
      '300ms',
      'A request that takes longer is logged.',
    ],
  ],
  ignored: [
    [
      'log-rotation-config-json',
      'string',
      '{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}',
      'Belongs to log rotation.',
    ],
  ],
  refused: [
    ['logger', 'string', 'zap', 'There is one logger.'],
    ['enable-log-rotation', 'boolean', 'false', 'Rotate log files with logrotate or the like.'],
  ],
});

const tracing = section('Distributed tracing', {
  ignored: [
    ['distributed-tracing-address', 'string', 'localhost:4317', 'Belongs to tracing.'],
    ['distributed-tracing-service-name', 'string', 'etcd', 'Belongs to tracing.'],
    ['distributed-tracing-instance-id', 'string', '', 'Belongs to tracing.'],
    ['distributed-tracing-sampling-rate', 'integer', '0', 'Belongs to tracing.'],
  ],
  refused: [['enable-distributed-tracing', 'boolean', 'false', 'Spans are not exported.']],
});

const features = section('Features', {
  used: [
    [
      'corrupt-check-time',
      'duration',
      '0s',
      'Time between comparisons of the state with the leader; 0s means twice a second.',
    ],
    [
      'busy-poll',
      'boolean',
      'true',
      'Whether to stay awake for what usually comes in less than a millisecond. Not in etcd.',
    ],
    [
      'scrub-interval',
      'duration',
      '24h',
      'Time in which all stored checksums are read once; 0 means never.',
    ],
    ['compaction-batch-limit', 'integer', '1000', 'Most revisions removed in one step.'],
    ['compaction-sleep-interval', 'duration', '10ms', 'Pause between two steps of a compaction.'],
    [
      'watch-progress-notify-interval',
      'duration',
      '10m',
      'Time between progress notifications of a watch.',
    ],
    ['warning-apply-duration', 'duration', '100ms', 'An apply that takes longer is logged.'],
  ],
  ignored: [
    ['compact-hash-check-time', 'duration', '1m', 'Belongs to the gate CompactHashCheck.'],
    ['bootstrap-defrag-threshold-megabytes', 'unsigned', '0', 'The database compacts itself.'],
    ['downgrade-check-time', 'duration', '5s', 'Belongs to downgrades.'],
  ],
});

const unsafe = section('Unsafe', {
  used: [
    [
      'unsafe-no-fsync',
      'boolean',
      'false',
      'Syncs nothing that is written: a power cut loses acknowledged writes. For tests only.',
    ],
  ],
  refused: [
    ['force-new-cluster', 'boolean', 'false', 'A lost cluster is restored from a snapshot.'],
  ],
});

const tooOld = 'Nothing of API v2 is served.';
const earlier = section('Of earlier releases of etcd', {
  ignored: [
    ['proxy-failure-wait', 'unsigned', '5000', 'Belongs to the proxy of API v2.'],
    ['proxy-refresh-interval', 'unsigned', '30000', 'Belongs to the proxy of API v2.'],
    ['proxy-dial-timeout', 'unsigned', '1000', 'Belongs to the proxy of API v2.'],
    ['proxy-write-timeout', 'unsigned', '5000', 'Belongs to the proxy of API v2.'],
    ['proxy-read-timeout', 'unsigned', '0', 'Belongs to the proxy of API v2.'],
  ],
  refused: [
    ['proxy', 'string', 'off', tooOld],
    ['enable-v2', 'boolean', 'false', tooOld],
    ['experimental-enable-v2v3', 'string', '', tooOld],
    ['debug', 'boolean', 'false', 'Use --log-level=debug.'],
    ['log-package-levels', 'string', '', 'Use --log-level.'],
  ],
});

export const flagSections: readonly FlagSection[] = [
  member,
  clustering,
  security,
  auth,
  monitoring,
  logging,
  tracing,
  features,
  unsafe,
  earlier,
  { title: 'Renamed', flags: renamedFlags },
];

/** Flags of the command line itself: they have no place in a file. */
export const commandFlags: readonly FlagDefinition[] = [
  {
    name: 'config-file',
    type: 'string',
    fallback: '',
    help: 'A YAML file with the flags as keys; other flags and the environment are then ignored.',
    support: 'used',
  },
  {
    name: 'version',
    type: 'boolean',
    fallback: 'false',
    help: 'Print the version and exit.',
    support: 'used',
  },
];

export const flagsByName: ReadonlyMap<string, FlagDefinition> = new Map(
  [...flagSections.flatMap((part) => part.flags), ...commandFlags].map((flag) => [flag.name, flag]),
);
