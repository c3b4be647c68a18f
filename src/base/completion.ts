/** Promises of work that ends by a callback. */

/** Runs work that ends by a callback with an error or without. */
export function completion(
  work: (done: (error: Error | undefined) => void) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    work((error) => {
      if (error === undefined) resolve();
      else reject(error);
    });
  });
}

/** Runs work that ends by a callback with a result or an error. */
export function result<Value>(
  work: (done: (error: Error | undefined, value: Value | undefined) => void) => void,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    work((error, value) => {
      if (value === undefined) reject(error ?? new Error('neither a result nor an error'));
      else resolve(value);
    });
  });
}
