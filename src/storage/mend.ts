/**
 * Mends what a power cut left in a database directory, as the scanner says. Each step is whole or
 * not done after another power cut, and is then found again.
 */
import { closeSync, fsyncSync, ftruncateSync, openSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { guardedNow } from './guarded-write.ts';
import type { Mend } from './scanner.ts';
import { replaceFile, syncDirectoryNow } from './sync-directory.ts';

/** LevelDB deletes what is left of such a file. */
const temporaryName = '000000.dbtmp';

const steps = { before: 'mend-before-write', after: 'mend-after-write' } as const;

export function mendDatabase(location: string, mend: Mend): void {
  guardedNow(steps, () => apply(location, mend));
}

function apply(location: string, mend: Mend): void {
  switch (mend.kind) {
    case 'remove':
      rmSync(location, { recursive: true, force: true });
      syncDirectoryNow(dirname(location));
      return;
    case 'cutManifest': {
      const file = openSync(join(location, mend.manifest), 'r+');
      try {
        ftruncateSync(file, mend.sizeBytes);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      return;
    }
    case 'pointCurrent':
      replaceFile(join(location, 'CURRENT'), `${mend.manifest}\n`, join(location, temporaryName));
  }
}
