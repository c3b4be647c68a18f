/** A mistake that others made, as a patch to the server: proof that the checks would notice it. */

/** One replacement; the text must occur exactly once, or the patch no longer fits the code. */
export interface Edit {
  /** Below the project's root. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** Classes of mistakes that were made by others, and have names since. */
export type Mistake = number | 'raft' | 'storage' | 'state' | 'watch' | 'transport' | 'client';

export interface PlantedBug {
  readonly id: string;
  /** Its number in the list of classic mistakes, or the part of the server that it is in. */
  readonly mistake: Mistake;
  readonly title: string;
  /** Rules of which one should notice; the run says which one did. */
  readonly caughtBy: string;
  readonly edits: readonly Edit[];
}

/** A mistake of the list that cannot be made yet: what it is about does not exist. */
export interface LaterBug {
  readonly mistake: number;
  readonly title: string;
  /** What the server must have first. */
  readonly comesWith: string;
}

/** @throws if a patch does not fit, with the bug's id */
export function patched(bug: PlantedBug, edit: Edit, text: string): string {
  const parts = text.split(edit.find);
  if (parts.length !== 2) {
    const count = parts.length - 1;
    throw new Error(`${bug.id}: "${edit.find}" occurs ${count} times in ${edit.file}, not once`);
  }
  return parts.join(edit.replace);
}
