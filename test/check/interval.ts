/** Intervals of keys as requests name them. Keys are latin1 strings, so that `<` is byte order. */
import { latin1 } from '../../src/base/bytes.ts';

/** The end that stands for "every key from the first one on". */
const noEnd = '\0';

export interface Interval {
  readonly low: string;
  /** Exclusive; empty for the one key `low`, a zero byte for no end. */
  readonly end: string;
}

export function intervalOf(request: { key: Uint8Array; rangeEnd: Uint8Array }): Interval {
  return { low: latin1(request.key), end: latin1(request.rangeEnd) };
}

export function isSingle(interval: Interval): boolean {
  return interval.end === '';
}

export function contains({ low, end }: Interval, key: string): boolean {
  if (end === '') return key === low;
  return key >= low && (end === noEnd || key < end);
}
