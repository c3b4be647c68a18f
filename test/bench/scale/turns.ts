/** What the meter in the members wrote down. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Shorter turns are of no interest, and not written down. */
const reportedMs = 20;

const nameOf = (member: string): string => `${member}.turns`;

/** Arguments of Node that put the meter into a member. */
export function meterArguments(root: string, directory: string, member: string): string[] {
  const url = pathToFileURL(join(root, 'build', 'test', 'bench', 'scale', 'turn-meter.js'));
  url.searchParams.set('out', join(directory, nameOf(member)));
  url.searchParams.set('from', String(reportedMs));
  return [`--import=${url.href}`];
}

/**
 * The longest turn, in milliseconds of CPU time, that any member's event loop made in a time.
 *
 * @param fromMs a time of day, as `untilMs`
 * @returns 0 if none was long enough to be written down
 */
export function longestTurnMs(
  directory: string,
  members: readonly string[],
  fromMs: number,
  untilMs: number,
): number {
  let longest = 0;
  for (const member of members) {
    const path = join(directory, nameOf(member));
    if (!existsSync(path)) continue;
    for (const { atMs, turnMs } of parseTurns(readFileSync(path, 'utf8'))) {
      if (atMs >= fromMs && atMs <= untilMs) longest = Math.max(longest, turnMs);
    }
  }
  return longest;
}

/** In milliseconds, as pages and logs show it. */
export function turnText(turnMs: number | undefined): string {
  if (turnMs === undefined) return '';
  return turnMs === 0 ? `< ${reportedMs}` : turnMs.toFixed(0);
}

/** @param text lines of a time of day and milliseconds; the last one may be cut */
export function parseTurns(text: string): { atMs: number; turnMs: number }[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const [atMs = NaN, turnMs = NaN] = line.split(' ').map(Number);
      return { atMs, turnMs };
    });
}
