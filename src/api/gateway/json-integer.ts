/** Integers in JSON: numbers that may have fraction and exponent if they are whole. */

const pattern = /^(-?)(?:0|([1-9]\d*))(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/** Digits of the largest integer of 64 bits: a number with more is out of range. */
const digitsMax = 20;

/** Without zeros at the end; by hand, because a pattern would look from every zero again. */
function withoutZeros(decimals: string): string {
  let end = decimals.length;
  while (end > 0 && decimals[end - 1] === '0') end--;
  return decimals.slice(0, end);
}

/** The value of a JSON number; undefined if it is not whole or longer than 64 bits need. */
export function wholeNumber(text: string): bigint | undefined {
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const [, sign, integer = '', decimals = '', exponentText = '0'] = match;
  const fraction = withoutZeros(decimals);
  if (integer === '' && fraction === '') return 0n;
  const exponent = Number(exponentText);
  if (fraction !== '' && fraction.length > exponent) return undefined;
  if (integer.length + exponent > digitsMax) return undefined;
  let digits = integer + fraction;
  if (exponent >= 0) {
    digits += '0'.repeat(exponent - fraction.length);
  } else {
    const cut = integer.length + exponent;
    if (cut < 0 || /[1-9]/.test(integer.slice(cut))) return undefined;
    digits = integer.slice(0, cut);
  }
  const value = BigInt(digits === '' ? '0' : digits);
  return sign === '-' ? -value : value;
}

export interface IntegerRange {
  readonly min: bigint;
  readonly max: bigint;
}

export const integerRanges = {
  int32: { min: -(2n ** 31n), max: 2n ** 31n - 1n },
  uint32: { min: 0n, max: 2n ** 32n - 1n },
  int64: { min: -(2n ** 63n), max: 2n ** 63n - 1n },
  uint64: { min: 0n, max: 2n ** 64n - 1n },
} as const satisfies Record<string, IntegerRange>;

/** The value of a JSON number if it is an integer within the range. */
export function integerWithin(text: string, { min, max }: IntegerRange): bigint | undefined {
  const value = wholeNumber(text);
  return value !== undefined && value >= min && value <= max ? value : undefined;
}
