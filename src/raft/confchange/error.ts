/** A change of membership that is not allowed, or cannot be read. Nothing was changed. */
export class ConfChangeError extends Error {
  override readonly name = 'ConfChangeError';
}
