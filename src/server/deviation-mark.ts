/** What a state says of itself that was found to be wrong, so that no later start uses it. */
import { buffer } from '../base/bytes.ts';
import type { Backend } from '../storage/backend.ts';
import { CorruptionError } from '../storage/errors.ts';
import { prefixRange, stateKeys } from '../storage/keyspace.ts';
import { readSafe, writeSafe } from '../storage/record.ts';
import type { Deviation } from './state-check.ts';

const formatVersion = 1;
const recordBytes = 1 + 2 * 8;

/** Goes to disk with the next flush. A state that has it is never sent to other members. */
export function markDeviation(backend: Backend, { firstIndex, comparedFrom }: Deviation): void {
  const record = Buffer.allocUnsafe(recordBytes);
  record[0] = formatVersion;
  writeSafe(record, firstIndex, 1);
  writeSafe(record, comparedFrom, 9);
  backend.put(stateKeys.deviation, record);
  backend.applied(backend.appliedIndex, backend.appliedTerm);
}

/** `done` gets a CorruptionError if the state is marked: it is replaced like a damaged one. */
export function checkDeviation(backend: Backend, done: (error: Error | undefined) => void): void {
  backend.scan(
    prefixRange(stateKeys.deviation),
    1,
    ([entry]) => {
      if (entry === undefined) return;
      const record = buffer(entry[1]);
      const index = record.length === recordBytes ? readSafe(record, 1) : 'an unknown index';
      throw new CorruptionError(
        `this member's state was found to deviate from that of the majority from entry ${index} on`,
      );
    },
    done,
  );
}
