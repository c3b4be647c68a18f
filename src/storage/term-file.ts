/**
 * The bound on a member's term, in a small file beside the log: should the log be lost, the member
 * can still begin in a term in which it never voted.
 */
import type { MemberId } from '../raft/index.ts';
import { idText, sealedText } from './identity.ts';

const formatVersion = 1;
/** Terms reserved at a time: with fewer, elections would wait for this file more often. */
const reservedAtOnce = 256;

/** What to reserve so that `term` may be used. */
export function reservationFor(term: number): number {
  return term + reservedAtOnce - 1;
}

export function encodeTermBound(memberId: MemberId, term: number): string {
  return sealedText({ format: formatVersion, memberId: idText(memberId), term });
}

/** The bound; undefined unless the text is whole and of this member. */
export function decodeTermBound(text: string, memberId: MemberId): number | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { term } = value as { readonly term?: unknown };
  if (typeof term !== 'number' || !Number.isSafeInteger(term) || term < 0) return undefined;
  return text === encodeTermBound(memberId, term) ? term : undefined;
}
