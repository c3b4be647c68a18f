/** Revisions: a main number per changing transaction, and a sub number per change within it. */
import { assert } from '../base/assert.ts';
import { stateKeys } from '../storage/keyspace.ts';

/** The revision of an empty store; the first change makes revision 2, as in etcd. */
export const firstRevision = 1;
/** What stands for "never compacted", as etcd reports it. */
export const neverCompacted = -1;
/** Most changes that one transaction can hold: the index keeps sub revisions as signed integers. */
export const maxChangesPerTransaction = 0x7fff_ffff;

/**
 * Changes that may be missing among those of the compacted revision: puts that fit into one
 * request, each of which can hide one earlier change.
 */
export const compactedGapsMax = 1_000_000;

const prefixCode = stateKeys.revision.charCodeAt(0);
const keyLength = 12;
const byteRange = 0x100;
const wordRange = 0x1_0000_0000;

/**
 * The backend key of a revision: prefix, 7 bytes of main, 4 bytes of sub, big end first, so that
 * key order is revision order. Seven bytes hold every safe integer.
 */
export function revisionKey(main: number, sub: number): string {
  const high = Math.floor(main / wordRange);
  const low = main >>> 0;
  return String.fromCharCode(
    prefixCode,
    (high >>> 16) & 0xff,
    (high >>> 8) & 0xff,
    high & 0xff,
    low >>> 24,
    (low >>> 16) & 0xff,
    (low >>> 8) & 0xff,
    low & 0xff,
    sub >>> 24,
    (sub >>> 16) & 0xff,
    (sub >>> 8) & 0xff,
    sub & 0xff,
  );
}

/** The main revision in a backend key. */
export function mainOf(key: string): number {
  assert(key.length === keyLength, 'a revision key has another length');
  let main = 0;
  for (let i = 1; i < 8; i++) main = main * byteRange + key.charCodeAt(i);
  return main;
}

/** The sub revision in a backend key. */
export function subOf(key: string): number {
  let sub = 0;
  for (let i = 8; i < keyLength; i++) sub = sub * byteRange + key.charCodeAt(i);
  return sub;
}
