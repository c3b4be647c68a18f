/**
 * Puts a member together from its configuration and starts it; stops it in reverse order. The one
 * place that knows every part.
 */
import { completion, result } from '../base/completion.ts';
import { CLUSTER_VERSION, ETCD_VERSION, STORAGE_VERSION } from '../base/versions.ts';
import { showsState } from '../api/corrupt.ts';
import { ClusterService } from '../api/cluster.ts';
import { ElectionService } from '../api/election.ts';
import { Gateway } from '../api/gateway/gateway.ts';
import { GrpcAdapter } from '../api/grpc/adapter.ts';
import { HealthService } from '../api/health.ts';
import { ClientPort } from '../api/http/client-port.ts';
import { HealthEndpoints } from '../api/http/health.ts';
import { HttpRouter } from '../api/http/router.ts';
import { KvService } from '../api/kv.ts';
import { LeaseService } from '../api/lease.ts';
import { isForLearners } from '../api/learner.ts';
import { LockService } from '../api/lock.ts';
import { MaintenanceService } from '../api/maintenance.ts';
import { WatchService } from '../api/watch.ts';
import { idToString } from '../cluster/identity.ts';
import { exportFeatureGates } from '../config/feature-gates.ts';
import type { Config } from '../config/schema.ts';
import { Cluster, Election, Health, KV, Lease, Lock, Maintenance, Watch } from '../gen/services.ts';
import type { Member as ServerMember } from '../server/member.ts';
import { openMember } from '../server/open-member.ts';
import { readIdentity } from '../storage/data-directory.ts';
import { Scrub } from '../storage/scrub.ts';
import { askForCluster } from '../transport/describe-cluster.ts';
import { GrpcTransport } from '../transport/grpc-transport.ts';
import { countedScrapes } from '../telemetry/scrapes.ts';
import { announce } from './announce.ts';
import { apiBackend, serverHealth } from './api-backend.ts';
import { checkIdentity, foundersFor, foundersOf, type Identity } from './founders.ts';
import { describeCluster, type Joined, joinOf } from './join.ts';
import type { Member, MemberDependencies } from './member.ts';

/**
 * How long a starting member waits for a leader before it serves what it can without one (etcd:
 * wait-cluster-ready-timeout).
 */
const clusterReadyTimeoutMs = 5000;
/** How often it is looked whether a damaged member is repaired: a start may take so much more. */
const repairPollMs = 100;
/** How long calls under way may take when the member stops. */
const stopGraceMs = 2000;
const healthPaths = `/${Health.name}/`;

/** @throws Error with words for the operator: a taken port, a directory that cannot be used */
export async function start(config: Config, dependencies: MemberDependencies): Promise<Member> {
  const closing: (() => Promise<void>)[] = [];
  try {
    return await open(config, dependencies, closing);
  } catch (error) {
    for (const close of closing.reverse()) await close();
    throw error;
  }
}

/** @param closing how to undo what has been opened, in the order of opening */
async function open(
  config: Config,
  dependencies: MemberDependencies,
  closing: (() => Promise<void>)[],
): Promise<Member> {
  const { clock, random, logger, metrics } = dependencies;
  exportFeatureGates(metrics);
  const stored = readIdentity(config.dataDir);
  if (stored !== undefined) checkIdentity(stored, config);
  const joins = config.clusterState === 'existing';
  const join = (): Promise<Joined> => joinOf(config, (url) => askForCluster(url, clock), clock);
  const joined = joins && stored === undefined ? await join() : undefined;
  const identity = stored ?? joined ?? foundersOf(config);
  const opened: { member?: ServerMember } = {};

  const transport = new GrpcTransport({
    self: identity.memberId,
    cluster: identity.clusterId,
    clock,
    random,
    logger: logger.child({ module: 'transport' }),
    metrics,
    listenUrls: config.listenPeerUrls,
    describeCluster: () => {
      const { member } = opened;
      if (member === undefined) return undefined;
      return describeCluster(identity, member.server.appliedIndex, member.membership.list());
    },
  });
  closing.push(() => completion((done) => transport.stop(() => done(undefined))));
  await completion((done) => transport.listen(done));

  const member = await result<ServerMember>((done) =>
    openMember(
      {
        directory: {
          path: config.dataDir,
          clock,
          logger: logger.child({ module: 'storage' }),
          identity: { memberId: identity.memberId, clusterId: identity.clusterId },
          flushIntervalMs: config.backendBatchIntervalMs,
          unsafeNoFsync: config.unsafeNoFsync,
          metrics,
        },
        founders: () => foundersFor(identity, config).members,
        joins: joins ? async () => (joined ?? (await join())).members : undefined,
        member: {
          memberId: identity.memberId,
          transport,
          clock,
          random,
          logger,
          metrics,
          heartbeatMs: config.heartbeatMs,
          electionMs: config.electionMs,
          preVote: config.preVote,
          snapshotCount: config.snapshotCount,
          catchUpEntries: config.catchUpEntries,
          reconfiguration: {
            strictReconfigCheck: config.strictReconfigCheck,
            learnersMax: config.maxLearners,
            learnerAutoPromote: config.learnerAutoPromote,
          },
          requestLimitBytes: config.maxRequestBytes,
          compactionRestMs: config.compactionSleepIntervalMs,
          compactionBatchLimit: config.compactionBatchLimit,
          warningApplyMs: config.warningApplyDurationMs,
          earlyFirstElection: config.initialElectionTickAdvance,
          quotaBackendBytes: config.quotaBackendBytes,
          quotaAutoDisarm: config.quotaAutoDisarm,
          autoCompaction: config.autoCompaction,
          stateCheckIntervalMs: config.corruptCheckTimeMs,
        },
      },
      done,
    ),
  );
  opened.member = member;
  // From here on the member's own stop closes transport and directory.
  closing.splice(0, closing.length, () => completion((done) => member.stop(done)));
  return await serve(config, dependencies, identity, member, closing);
}

async function serve(
  config: Config,
  dependencies: MemberDependencies,
  identity: Identity,
  member: ServerMember,
  closing: (() => Promise<void>)[],
): Promise<Member> {
  const { logger } = dependencies;
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  member.start((error) => fail(error));
  const scrub = new Scrub({
    ...dependencies,
    path: config.dataDir,
    intervalMs: config.scrubIntervalMs,
    reliesOn: (database) => member.reliesOn(database),
    damaged: (error) => fail(error),
  });
  scrub.start();
  closing.push(() => {
    scrub.stop();
    return Promise.resolve();
  });
  const { port, health, stop } = clientApi(config, dependencies, identity, member);
  closing.push(stop);
  const { repairing } = member;
  if (repairing) {
    // Its operators can see it meanwhile; its clients are told to go elsewhere.
    await listen(config, port);
    await repaired(member, dependencies, failed);
  }
  await announced(config, dependencies, member, failed);
  health.serve();
  if (!repairing) await listen(config, port);
  logger.info(
    {
      'member-id': idToString(identity.memberId),
      'cluster-id': idToString(identity.clusterId),
      'listen-client-urls': config.listenClientUrls,
      'data-dir': config.dataDir,
    },
    'ready to serve client requests',
  );
  return {
    failed,
    stop: async () => {
      for (const close of closing.splice(0).reverse()) await close();
    },
  };
}

interface ClientApi {
  /** To listen where clients are expected. */
  readonly port: ClientPort;
  readonly health: HealthService;
  readonly stop: () => Promise<void>;
}

/** All that clients see of a member. */
function clientApi(
  config: Config,
  dependencies: MemberDependencies,
  { clusterId }: Identity,
  member: ServerMember,
): ClientApi {
  const { clock, random, logger, metrics } = dependencies;
  const backend = apiBackend({ member, clusterId, config, clock, random, metrics });
  const health = new HealthService();
  const adapter = new GrpcAdapter({
    logger: logger.child({ module: 'grpc' }),
    metrics,
    extensiveMetrics: config.extensiveMetrics,
    maxRequestBytes: config.maxRequestBytes,
    maxConcurrentStreams: config.maxConcurrentStreams,
    keepaliveMinTimeMs: config.grpcKeepaliveMinTimeMs,
    keepaliveIntervalMs: config.grpcKeepaliveIntervalMs,
    keepaliveTimeoutMs: config.grpcKeepaliveTimeoutMs,
    slowCallMs: config.warningUnaryRequestDurationMs,
    hasLeader: () => backend.hasLeader,
    refusal: (path, request) => {
      // As of a member that has no leader: to clients it is as little use.
      if (member.repairing && !path.startsWith(healthPaths)) return 'noLeader';
      if (member.stateCheck.refuses && showsState(path)) return 'corrupt';
      return member.isLearner && !isForLearners(path, request) ? 'learnerUnsupported' : undefined;
    },
    clock,
  });
  adapter.add(KV, new KvService(backend));
  adapter.add(Lease, new LeaseService(backend));
  adapter.add(Watch, new WatchService(backend));
  adapter.add(Maintenance, new MaintenanceService(backend));
  adapter.add(Cluster, new ClusterService(backend));
  adapter.add(Lock, new LockService(backend));
  adapter.add(Election, new ElectionService(backend));
  adapter.add(Health, health);
  const gateway = new Gateway(adapter, clock);
  const port = new ClientPort({
    router: httpRouter(config, dependencies, member, gateway),
    clock,
    logger: logger.child({ module: 'http' }),
    maxMessageBytes: adapter.maxMessageBytes,
    openMemory: (close) => adapter.openMemory(close),
    acceptGrpc: (socket, received) => adapter.accept(socket, received),
  });
  const stop = async (): Promise<void> => {
    health.stop();
    port.close();
    await Promise.all([adapter.stop(stopGraceMs), gateway.stop(stopGraceMs)]);
    await port.destroy();
  };
  return { port, health, stop };
}

async function listen(config: Config, port: ClientPort): Promise<void> {
  const separateHttp = config.listenClientHttpUrls.length > 0;
  for (const url of config.listenClientUrls) await port.listen(url, separateHttp ? 'grpc' : 'both');
  for (const url of config.listenClientHttpUrls) await port.listen(url, 'http');
  for (const url of config.listenMetricsUrls) await port.listen(url, 'metrics');
}

function httpRouter(
  config: Config,
  { clock, logger, metrics }: MemberDependencies,
  member: ServerMember,
  gateway: Gateway,
): HttpRouter {
  return new HttpRouter({
    ...(config.grpcGateway ? { gateway } : {}),
    health: new HealthEndpoints(serverHealth(member), clock, logger, metrics),
    logger: logger.child({ module: 'http' }),
    versions: () => ({
      server: ETCD_VERSION,
      cluster: CLUSTER_VERSION,
      storage: STORAGE_VERSION,
    }),
    scrape: countedScrapes(metrics),
    corsOrigins: config.corsOrigins,
    hostWhitelist: config.hostWhitelist,
  });
}

/**
 * Waits until a member that lost part of its data has it back, however long that takes: what it
 * could answer meanwhile would be far behind what it answered before.
 */
async function repaired(
  member: ServerMember,
  { clock, stopping }: MemberDependencies,
  failed: Promise<Error>,
): Promise<void> {
  const ending = { isNear: false };
  void Promise.race([stopping, failed]).then(() => {
    ending.isNear = true;
  });
  while (!ending.isNear && member.repairing) {
    await new Promise<void>((resolve) => {
      clock.after(repairPollMs, resolve);
    });
  }
}

/**
 * Waits until this member is announced, which takes a leader, but no longer than a limit and not
 * if the member is about to end.
 */
async function announced(
  config: Config,
  { clock, logger, stopping }: MemberDependencies,
  member: ServerMember,
  failed: Promise<Error>,
): Promise<void> {
  let cancel = (): void => {};
  const limit = new Promise<void>((resolve) => {
    const timer = clock.after(clusterReadyTimeoutMs, resolve);
    cancel = () => timer.cancel();
  });
  const announcement = { name: config.name, clientUrls: config.advertiseClientUrls };
  try {
    await Promise.race([
      announce(member, announcement, { clock, logger }),
      limit,
      stopping,
      failed,
    ]);
  } finally {
    cancel();
  }
}
