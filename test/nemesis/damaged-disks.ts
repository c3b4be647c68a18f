/** Damage to the data directory of a member that is down, from which it comes back by itself. */
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The log can no longer be read: the others have to give it back. */
export function loseLog(dataDir: string): void {
  writeFileSync(join(dataDir, 'log', 'CURRENT'), 'garbage');
}

/** The log's MANIFEST ends as if the power had gone in the middle of a write. */
export function tearManifest(dataDir: string): void {
  const log = join(dataDir, 'log');
  const manifest = readFileSync(join(log, 'CURRENT'), 'latin1').trim();
  appendFileSync(join(log, manifest), Buffer.alloc(3));
}

/** Whether a member has back all that it ever lost; not either while its repair is yet to begin. */
export function isRepaired(dataDir: string): boolean {
  if (readdirSync(dataDir).some((name) => name.startsWith('damaged-'))) return false;
  try {
    return readFileSync(join(dataDir, 'log', 'CURRENT'), 'latin1').startsWith('MANIFEST-');
  } catch {
    return false;
  }
}
