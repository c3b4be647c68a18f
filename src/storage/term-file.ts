/**
 * The bound on a member's term, in a small file beside the log: should the log be lost, the member
 * can still begin in a term in which it never voted.
 */
import { crc32 } from 'node:zlib';
import type { MemberId } from '../raft/index.ts';
import { idText } from './identity.ts';

const formatVersion = 1;
/** Terms reserved at a time: with fewer, elections would wait for this file more often. */
const reservedAtOnce = 256;

interface TermFields {
  readonly format: number;
  readonly memberId: string;
  readonly term: number;
}

/** What to reserve so that `term` may be used. */
export function reservationFor(term: number): number {
  return term + reservedAtOnce - 1;
}

function checksum(fields: TermFields): string {
  const text = [fields.format, fields.memberId, fields.term].join(' ');
  return crc32(text).toString(16).padStart(8, '0');
}

export function encodeTermBound(memberId: MemberId, term: number): string {
  const fields = { format: formatVersion, memberId: idText(memberId), term };
  return `${JSON.stringify({ ...fields, checksum: checksum(fields) }, undefined, 2)}\n`;
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
