/**
 * Prints what happens to the keys of a prefix, for ever: members may come and go.
 *
 *     npm ci && npm run build
 *     node examples/watch.mjs services/ 127.0.0.1:2379,127.0.0.1:22379,127.0.0.1:32379
 */
import { Client, EventType, prefixRange } from 'quorate';

const [prefix = '', endpoints = '127.0.0.1:2379'] = process.argv.slice(2);
/** @param {Uint8Array | undefined} bytes */
const text = (bytes) => Buffer.from(bytes ?? []).toString();

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());

const client = new Client({ endpoints });
try {
  const range = prefixRange(prefix);
  // What is there, and from the next revision on what happens: nothing is missed in between.
  const { header, kvs } = await client.range(range);
  for (const { key, value } of kvs) console.log(`${text(key)} = ${text(value)}`);
  const startRevision = (header?.revision ?? 0) + 1;
  const watcher = client.watch({ ...range, startRevision }, { signal: interrupted.signal });
  for await (const { events } of watcher) {
    for (const { type, kv } of events) {
      const what = type === EventType.delete ? 'is gone' : `= ${text(kv?.value)}`;
      console.log(`${text(kv?.key)} ${what}`);
    }
  }
} catch (error) {
  if (!interrupted.signal.aborted) throw error;
} finally {
  await client.close();
}
