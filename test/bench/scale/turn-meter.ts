/**
 * Preloaded into a member (`--import`): writes down how long turns of its event loop take, by the
 * CPU time of the thread that runs them, so that a busy machine does not count. A timer is due
 * every few milliseconds; what the thread used between two of its calls is one turn and at most one
 * interval.
 */
import { appendFileSync, openSync, readSync } from 'node:fs';

const intervalMs = 5;

const { searchParams } = new URL(import.meta.url);
const out = searchParams.get('out');
const reportedMs = Number(searchParams.get('from'));
if (out === null) throw new Error('the meter was not told where to write');

/** Its first number is the time on a core in nanoseconds; of the main thread, as proc(5) says. */
const descriptor = openSync('/proc/self/schedstat', 'r');
const text = Buffer.alloc(100);

function usedMs(): number {
  const length = readSync(descriptor, text, 0, text.length, 0);
  return Number(text.toString('latin1', 0, length).split(' ')[0]) / 1e6;
}

let before = usedMs();
setInterval(() => {
  const now = usedMs();
  const turnMs = now - before;
  before = now;
  if (turnMs >= reportedMs) appendFileSync(out, `${Date.now()} ${turnMs.toFixed(1)}\n`);
}, intervalMs).unref();
