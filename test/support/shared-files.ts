/** Files that lie beside the project and are read where they are; they are not part of it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const sharedRoot = resolve(import.meta.dirname, '../../../shared');

export interface SharedFile {
  readonly name: string;
  readonly text: string;
}

/** The .txt files of a folder, sorted by name; undefined if the folder is absent. */
export function readSharedFolder(folder: string): readonly SharedFile[] | undefined {
  const path = join(sharedRoot, folder);
  if (!existsSync(path)) return undefined;
  return readdirSync(path)
    .filter((name) => name.endsWith('.txt'))
    .sort()
    .map((name) => ({ name, text: readFileSync(join(path, name), 'utf8') }));
}
