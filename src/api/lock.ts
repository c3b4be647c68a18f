/** The Lock service (etcd: api/v3lock/lock.go). */
import { emptyBytes, fromLatin1, latin1 } from '../base/bytes.ts';
import type { LockRequest, LockResponse, UnlockRequest, UnlockResponse } from '../gen/lock.ts';
import { DeleteRangeRequest } from '../gen/rpc.ts';
import type { CallContext } from './handler.ts';
import {
  Ownership,
  type OwnershipBackend,
  type TakenPlace,
  type Turn,
  unknownError,
  withoutCodes,
} from './ownership.ts';

export class LockService {
  readonly #ownership: Ownership;

  constructor(backend: OwnershipBackend) {
    this.#ownership = new Ownership(backend);
  }

  /**
   * Answers once the lock is held. A lease that holds it already gets the same key again. A wait
   * that fails, or is given up, takes its key back.
   * @throws StatusError `mutex: session is expired` if the lease ends before, or a refusal's words
   */
  lock({ name, lease: asked }: LockRequest, context: CallContext): Promise<LockResponse> {
    return withoutCodes(async () => {
      const lease = await this.#ownership.leaseOf(asked);
      const taken = await this.#ownership.take(latin1(name), lease, emptyBytes);
      const turn = await this.#turn(taken, context);
      if (turn.kind === 'lost') throw unknownError('mutex: session is expired');
      return {
        header: turn.kind === 'waited' ? turn.header : taken.header,
        key: fromLatin1(taken.place.key),
      };
    });
  }

  async #turn(taken: TakenPlace, context: CallContext): Promise<Turn> {
    try {
      return await this.#ownership.turn(taken, context);
    } catch (error) {
      // If this fails too, the lease will end the place.
      await this.#ownership.leave(taken.place).catch(() => undefined);
      throw error;
    }
  }

  /** Deletes the key, whoever's it is; one that is gone is no error. */
  unlock({ key }: UnlockRequest): Promise<UnlockResponse> {
    return withoutCodes(async () => {
      const request = DeleteRangeRequest.create({ key });
      const { header } = await this.#ownership.kv.deleteRange(request);
      return { header };
    });
  }
}
