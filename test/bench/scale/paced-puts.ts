/** Puts at a steady rate, whatever else goes on: what a user notices of it. */
import { SeededRandom } from '../../../src/base/random.ts';
import { KV } from '../../../src/gen/services.ts';
import { Connection } from '../connection.ts';
import { microsecondsSince } from '../load.ts';
import { framed, keyOf, putOf } from '../requests.ts';
import { latenciesOf, type Latencies, Samples } from '../statistics.ts';

/** Of the timer that sends what is due: what it makes late counts as time of the put. */
const intervalMs = 1;
/** A server that answers nothing any more ends the load. */
const underWayMost = 20_000;
const connectionCount = 10;

export interface PacedPutsOptions {
  readonly prefix: string;
  /** Random ones of so many keys below it. */
  readonly keys: number;
  readonly perSecond: number;
}

export class PacedPuts {
  readonly #connections: readonly Connection[];
  readonly #options: PacedPutsOptions;
  readonly #random = new SeededRandom(1);
  readonly #timer: NodeJS.Timeout;
  #samples = new Samples();
  #sent = 0;
  #underWay = 0;
  #failure: Error | undefined;
  readonly #startMs = performance.now();

  private constructor(connections: readonly Connection[], options: PacedPutsOptions) {
    this.#connections = connections;
    this.#options = options;
    this.#timer = setInterval(() => this.#send(), intervalMs);
  }

  static async start(address: string, options: PacedPutsOptions): Promise<PacedPuts> {
    const opening = Array.from({ length: connectionCount }, () => Connection.open(address));
    return new PacedPuts(await Promise.all(opening), options);
  }

  /** Forgets the puts that were answered so far. */
  forget(): void {
    this.#samples = new Samples();
  }

  /**
   * The puts that were answered since this or `forget` was called last, and how long they took;
   * those that were late to be sent count from when they were due.
   *
   * @throws Error if one failed
   */
  take(): { readonly answered: number; readonly latencies: Latencies } {
    if (this.#failure !== undefined) throw this.#failure;
    const answered = this.#samples.values.length;
    const latencies = latenciesOf(this.#samples.values.slice());
    this.forget();
    if (latencies === undefined) throw new Error('no put was answered');
    return { answered, latencies };
  }

  /** Sends no more; resolves when all are answered. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    while (this.#underWay > 0 && this.#failure === undefined) {
      await new Promise((resolve) => setTimeout(resolve, intervalMs));
    }
    for (const connection of this.#connections) connection.close();
    if (this.#failure !== undefined) throw this.#failure;
  }

  #send(): void {
    if (this.#failure !== undefined) return;
    const perMs = this.#options.perSecond / 1000;
    for (;;) {
      const dueMs = this.#startMs + this.#sent / perMs;
      if (dueMs > performance.now()) return;
      if (this.#underWay >= underWayMost) {
        this.#failure = new Error(`${underWayMost} puts wait for their answers`);
        return;
      }
      this.#put(this.#sent++, dueMs);
    }
  }

  #put(index: number, dueMs: number): void {
    const { prefix, keys } = this.#options;
    const connection = this.#connections[index % this.#connections.length] as Connection;
    const key = keyOf(prefix, this.#random.below(keys));
    this.#underWay++;
    connection.call(KV.methods.put.path, framed(putOf(key))).then(
      () => {
        this.#underWay--;
        this.#samples.add(microsecondsSince(dueMs));
      },
      (error: unknown) => {
        this.#underWay--;
        this.#failure ??= error instanceof Error ? error : new Error(String(error));
      },
    );
  }
}
