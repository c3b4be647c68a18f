/**
 * Gives the space of deleted values back to the file system at once. LevelDB does it by itself over
 * time, so nobody has to ask. It goes on beside everything else, a few files at a time; all that
 * ask while it is under way wait for the same run.
 */
import type { Completion } from '../storage/engine.ts';

/** The state database as this file needs it. */
export interface CompactedBackend {
  flush(done: Completion): void;
  compact(done: Completion): void;
}

export class Defragmentation {
  readonly #backend: () => CompactedBackend;
  #waiting: Completion[] = [];

  constructor(backend: () => CompactedBackend) {
    this.#backend = backend;
  }

  run(done: Completion): void {
    this.#waiting.push(done);
    if (this.#waiting.length > 1) return;
    // A snapshot may replace the state meanwhile: the run is of the state that it began with.
    const backend = this.#backend();
    backend.flush((error) => {
      if (error === undefined) backend.compact((failure) => this.#end(failure));
      else this.#end(error);
    });
  }

  #end(error: Error | undefined): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const done of waiting) done(error);
  }
}
