/** 64-bit integers as two halves, which are small integers and need no bigint. */

/** Both halves of what the views below hold. */
export const word = new Uint32Array(2);
export const signedWord = new BigInt64Array(word.buffer);
export const unsignedWord = new BigUint64Array(word.buffer);
/** Where in {@link word} they are: it depends on the machine. */
export const [lowAt, highAt] =
  new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? ([0, 1] as const) : ([1, 0] as const);

/** One more than a half holds. */
export const two32 = 0x1_0000_0000;
