/** Ends of key ranges. */
import { utf8 } from '../base/bytes.ts';

/** A key or value: bytes, or a string that stands for its UTF-8. */
export type Bytes = string | Uint8Array;

/** @throws TypeError for anything else, which a caller without types may pass */
export function bytesOf(value: Bytes): Uint8Array {
  if (typeof value === 'string') return utf8(value);
  // Checked because it would otherwise be sent as an empty key.
  if (!((value as unknown) instanceof Uint8Array)) {
    throw new TypeError(`keys and values are strings or Uint8Arrays, got ${typeof value}`);
  }
  return value;
}

/** As the end of a range: every key from the first on. As the key too: all keys. */
export const fromKeyEnd: Uint8Array = Uint8Array.of(0);

/**
 * The end of the range of keys that begin with `key`; for an empty one, that of all keys. Servers
 * take no empty key to go with it: see {@link prefixRange}.
 */
export function prefixEnd(key: Bytes): Uint8Array {
  const prefix = bytesOf(key);
  for (let i = prefix.length - 1; i >= 0; i--) {
    const byte = prefix[i] as number;
    if (byte < 0xff) {
      const end = Uint8Array.from(prefix.subarray(0, i + 1));
      end[i] = byte + 1;
      return end;
    }
  }
  return fromKeyEnd;
}

/** All keys that begin with `prefix`, as part of a request; for an empty one, all keys. */
export function prefixRange(prefix: Bytes): { key: Uint8Array; rangeEnd: Uint8Array } {
  const key = bytesOf(prefix);
  return { key: key.length === 0 ? fromKeyEnd : key, rangeEnd: prefixEnd(key) };
}
