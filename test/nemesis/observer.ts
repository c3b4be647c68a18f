/** Looks at the members' states while a run goes on: at equal indexes they must be equal. */
import { setTimeout as delay } from 'node:timers/promises';
import type { MemberProcess } from '../support/cluster-process.ts';
import { metricIn, metricsOf, stateHashIn } from '../support/member-metrics.ts';
import type { Recorder } from './recorder.ts';

const intervalMs = 500;
const timeoutMs = 1000;

interface Observed {
  readonly index: number;
  readonly revision: number;
  readonly hash: string;
}

/** What a member says of its state, all of one moment; undefined if it does not answer. */
export async function observe(member: MemberProcess): Promise<Observed | undefined> {
  let text: string;
  try {
    const signal = AbortSignal.timeout(timeoutMs);
    text = await metricsOf(member, signal);
  } catch {
    return undefined;
  }
  const index = Number(metricIn(text, 'etcd_server_proposals_applied_total') ?? 0);
  // A member that has applied nothing since its start does not say where it is.
  if (!(index > 0)) return undefined;
  return {
    index,
    revision: Number(metricIn(text, 'etcd_debugging_mvcc_current_revision') ?? 0),
    hash: stateHashIn(text),
  };
}

export class Observer {
  readonly #members: readonly MemberProcess[];
  readonly #recorder: Recorder;
  #running: Promise<void> = Promise.resolve();
  readonly #stopping = new AbortController();

  /** @param members looked at anew each time */
  constructor(members: readonly MemberProcess[], recorder: Recorder) {
    this.#members = members;
    this.#recorder = recorder;
  }

  start(): void {
    this.#running = this.#watch();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await Promise.all(this.#members.map((member) => this.#look(member)));
      await delay(intervalMs, undefined, { signal }).catch(() => {});
    }
  }

  async #look(member: MemberProcess): Promise<void> {
    const observed = await observe(member);
    if (observed !== undefined) this.#recorder.state({ member: member.name, ...observed });
  }
}
