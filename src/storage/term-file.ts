/**
 * The bound on a member's term, in a small file beside the log: should the log be lost, the member
 * can still begin in a term in which it never voted.
 */
import type { MemberId } from '../raft/index.ts';
import type { DirectoryStore } from './directory-store.ts';
import { NewerVersionError } from './errors.ts';
import { guardedNow } from './guarded-write.ts';
import { fieldsOf, idText, sealedText } from './identity.ts';

const formatVersion = 1;
/** Terms reserved at a time: with fewer, elections would wait for this file more often. */
const reservedAtOnce = 256;

/** What to reserve so that `term` may be used. */
export function reservationFor(term: number): number {
  return term + reservedAtOnce - 1;
}

const reserveSteps = {
  before: 'term-reserve-before-write',
  after: 'term-reserve-after-write',
} as const;

/** Sets the bound on the member's term, durably, or throws. */
export function reserveTerm(store: DirectoryStore, memberId: MemberId, term: number): void {
  guardedNow(reserveSteps, () => store.reserveTerm(memberId, term));
}

export function encodeTermBound(memberId: MemberId, term: number): string {
  return inFormat(formatVersion, memberId, term);
}

function inFormat(format: number, memberId: MemberId, term: number): string {
  return sealedText({ format, memberId: idText(memberId), term });
}

/**
 * The bound; undefined unless the text is whole and of this member.
 * @throws NewerVersionError if a later version wrote it
 */
export function decodeTermBound(text: string, memberId: MemberId): number | undefined {
  const { format, term } = fieldsOf(text) ?? {};
  if (typeof term !== 'number' || !Number.isSafeInteger(term) || term < 0) return undefined;
  if (typeof format !== 'number' || text !== inFormat(format, memberId, term)) return undefined;
  if (format > formatVersion) {
    throw new NewerVersionError('the bound on the term', format, formatVersion);
  }
  return format === formatVersion ? term : undefined;
}
