/**
 * What a leader answers to a change of membership that another member passed on to it, and that
 * it does not put into the log. The outcome of those that it does put there comes with the log.
 */
import type { EtcdErrorName } from '../base/errors.ts';
import { PeerProtocolError, type FrameReader, type FrameWriter } from './wire.ts';

/** Why only a leader can refuse. The numbers are part of the protocol. */
const reasonNumbers = {
  memberNotFound: 1,
  learnerNotReady: 2,
  notEnoughStarted: 3,
  memberNotLearner: 4,
  notCapable: 5,
} as const satisfies Partial<Record<EtcdErrorName, number>>;
export type ChangeRefusal = keyof typeof reasonNumbers;

export interface ChangeNote {
  readonly kind: 'changeRefused';
  /** The request that asked for the change. */
  readonly request: bigint;
  readonly reason: ChangeRefusal;
}

/** Request and reason. */
export const changeNoteBytes = 9;

export function writeChangeNote(writer: FrameWriter, { request, reason }: ChangeNote): void {
  writer.uint64(request);
  writer.byte(reasonNumbers[reason]);
}

export function readChangeNote(reader: FrameReader): ChangeNote {
  const request = reader.uint64();
  const number = reader.byte();
  const known = Object.entries(reasonNumbers).find(([, each]) => each === number);
  if (known === undefined) throw new PeerProtocolError(`unknown refusal ${number} of a change`);
  return { kind: 'changeRefused', request, reason: known[0] as ChangeRefusal };
}
