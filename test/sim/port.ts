/** How clients reach members: over a network of their own, with delays, cuts and deadlines. */
import type { AnswerMemory, CallContext } from '../../src/api/handler.ts';
import { EtcdError, StatusCode, StatusError } from '../../src/base/errors.ts';
import type { Chance } from './chance.ts';
import type { Cluster } from './cluster.ts';
import type { Life, SimMember } from './member.ts';

/** How a call ended for its client. */
export type Ending<Answer> =
  | { readonly kind: 'answered'; readonly answer: Answer }
  | { readonly kind: 'error'; readonly code: number; readonly message: string }
  /** It never left: nobody listened. */
  | { readonly kind: 'unsent' }
  | { readonly kind: 'lost'; readonly reason: string };

const delayMs = { least: 0.05, most: 2 };

/** Answers that wait to be sent have no limit here: a client's slowness is tested by unit tests. */
const room = {
  isFull: false,
  add: () => undefined,
  release: () => undefined,
  onRoom: () => () => undefined,
};
const memory: AnswerMemory = { ...room, hold: () => undefined, queue: room };

export function contextOf(
  signal: AbortSignal,
  metadata: Readonly<Record<string, string>> = {},
): CallContext {
  return { signal, memory, metadata: (name) => metadata[name] };
}

export interface PortOptions {
  readonly cluster: Cluster;
  readonly chance: Chance;
  readonly reaches: (position: number) => boolean;
}

export class Port {
  readonly cluster: Cluster;
  readonly #chance: Chance;
  readonly #reaches: (position: number) => boolean;

  constructor({ cluster, chance, reaches }: PortOptions) {
    this.cluster = cluster;
    this.#chance = chance;
    this.#reaches = reaches;
  }

  reaches(member: SimMember): boolean {
    return this.#reaches(member.position);
  }

  travelMs(): number {
    return this.#chance.between(delayMs.least, delayMs.most);
  }

  later(callback: () => void): void {
    this.cluster.scheduler.after(this.travelMs(), clientOwner, callback);
  }

  /**
   * One call; `done` is called once, at the latest at the deadline.
   * @param forLearners learners serve it too (`api/learner.ts`)
   */
  call<Answer>(
    member: SimMember,
    timeoutMs: number,
    invoke: (life: Life, context: CallContext) => Promise<Answer>,
    done: (ending: Ending<Answer>) => void,
    forLearners = false,
  ): void {
    const { scheduler } = this.cluster;
    const abort = new AbortController();
    let over = false;
    let stopListening = (): void => {};
    const end = (ending: Ending<Answer>): void => {
      if (over) return;
      over = true;
      scheduler.cancel(deadline);
      stopListening();
      done(ending);
    };
    const deadline = scheduler.after(timeoutMs, clientOwner, () => {
      const { life } = member;
      this.later(() => life?.process.deliver(() => abort.abort()));
      end({ kind: 'lost', reason: 'deadline' });
    });
    this.later(() => {
      const { life } = member;
      // A link that is cut says nothing: only the deadline ends the call.
      if (!this.reaches(member)) return;
      if (life?.serving !== true) {
        this.later(() => end({ kind: 'unsent' }));
        return;
      }
      stopListening = member.onDeath(() => {
        this.later(() => end({ kind: 'lost', reason: 'connection reset' }));
      });
      const answered = (ending: Ending<Answer>): void => {
        this.later(() => {
          if (this.reaches(member)) end(ending);
        });
      };
      life.process.deliver(() => {
        if (life.member.isLearner && !forLearners) {
          answered(this.#refused(member, new EtcdError('learnerUnsupported')));
          return;
        }
        invoke(life, contextOf(abort.signal)).then(
          (answer) => answered({ kind: 'answered', answer }),
          (thrown: unknown) => {
            if (life.process.alive) answered(this.#refused(member, thrown));
          },
        );
      });
    });
  }

  #refused(member: SimMember, thrown: unknown): Ending<never> {
    if (thrown instanceof StatusError) {
      return { kind: 'error', code: thrown.code, message: thrown.message };
    }
    const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    this.cluster.broken('handler', `${member.name}: ${text}`);
    return { kind: 'error', code: StatusCode.internal, message: text };
  }
}

/** Events of clients are told apart from those of members in the trace. */
export const clientOwner = 99;
