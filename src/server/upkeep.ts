/** What a member does so that its state stays small: the quota and the compaction of history. */
import { alarmName } from '../alarm/alarm-store.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Metrics } from '../base/metrics.ts';
import type { Random } from '../base/random.ts';
import { type Command, encodeCommand } from '../apply/request.ts';
import type { MemberId } from '../raft/index.ts';
import { AutoCompaction, type AutoCompactionMode } from './auto-compaction.ts';
import { Quota } from './quota.ts';
import type { RaftDriver } from './raft-driver.ts';
import { RequestIds } from './request-id.ts';
import type { Server } from './server.ts';
import { type State, stateSizeBytes } from './state.ts';

export interface UpkeepOptions {
  readonly memberId: MemberId;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly electionMs: number;
  /** Undefined: no limit. */
  readonly quotaBackendBytes?: number | undefined;
  /** True if absent: see `quota.ts`. */
  readonly quotaAutoDisarm?: boolean;
  /** Off if absent. */
  readonly autoCompaction?: AutoCompactionMode;
}

export class Upkeep {
  readonly quota: Quota;
  readonly #autoCompaction: AutoCompaction;

  constructor(options: UpkeepOptions, server: Server, driver: RaftDriver, state: () => State) {
    const { quotaBackendBytes: quotaBytes, quotaAutoDisarm: autoDisarm = true } = options;
    const ids = new RequestIds(options.random);
    this.quota = new Quota({
      ...options,
      quotaBytes,
      autoDisarm,
      sizeBytes: () => stateSizeBytes(state()),
      alarms: () => state().alarms,
      isMember: (member) => state().membership.get(member) !== undefined,
      leader: () => driver.leader,
      term: () => driver.term,
      propose: (term, command: Command) =>
        driver.proposeInTerm(term, [encodeCommand(ids.next(), command)]),
      request: (command) => server.request(command),
      catchUp: () => server.linearizableRead(),
    });
    this.#autoCompaction = new AutoCompaction({
      ...options,
      mode: options.autoCompaction ?? { mode: 'off' },
      isLeader: () => driver.isLeader,
      revision: () => state().store.revision,
      compact: (revision) =>
        server.request({ case: 'compaction', value: { revision, physical: false } }),
    });
    exportSpaceFacts(options.metrics, quotaBytes, state);
  }

  start(): void {
    this.#autoCompaction.start();
  }

  stop(): void {
    this.#autoCompaction.stop();
  }
}

/** What `--quota-backend-bytes` says is shown where there is no limit, as in etcd. */
export const noQuotaBytes = -1;

function exportSpaceFacts(
  metrics: Metrics,
  quotaBytes: number | undefined,
  state: () => State,
): void {
  metrics
    .gauge('etcd_server_quota_backend_bytes', 'Size of the state above which writes are refused.')()
    .set(quotaBytes ?? noQuotaBytes);
  const gauge = metrics.gauge('etcd_debugging_server_alarms', '1 for each alarm that is raised.', [
    'server_id',
    'alarm_type',
  ]);
  const shown = new Map<string, ReturnType<typeof gauge>>();
  metrics.onCollect(() => {
    for (const cleared of shown.values()) cleared.set(0);
    for (const { memberId, kind } of state().alarms.list()) {
      const labels = [memberId.toString(16), alarmName(kind)] as const;
      const raised = gauge(...labels);
      raised.set(1);
      shown.set(labels.join(), raised);
    }
  });
}
