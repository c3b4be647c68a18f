/** A consistent view of a member's state as a file of etcd's database, page by page. */
import { DatabaseWriter, layoutBytes, type DatabaseLayout } from '../bbolt/writer.ts';
import type { BackendView } from '../storage/backend-view.ts';
import { exportState } from './export.ts';

export class DatabaseSnapshot {
  readonly #view: BackendView;
  readonly #layout: DatabaseLayout;

  private constructor(view: BackendView, layout: DatabaseLayout) {
    this.#view = view;
    this.#layout = layout;
  }

  /**
   * Reads all of the view once, because a database begins with where its pages are. The view is
   * closed with the snapshot, and if this fails or `signal` is aborted, which then is thrown.
   */
  static async of(view: BackendView, signal: AbortSignal): Promise<DatabaseSnapshot> {
    try {
      const writer = new DatabaseWriter();
      for await (const _ of exportState(view, writer)) signal.throwIfAborted();
      return new DatabaseSnapshot(view, writer.finish());
    } catch (error) {
      view.close();
      throw error;
    }
  }

  get sizeBytes(): number {
    return layoutBytes(this.#layout);
  }

  /** The file in pieces of whole pages. Memory holds some batches of entries at a time. */
  async *pages(): AsyncGenerator<Buffer, void, undefined> {
    let waiting: Buffer[] = [];
    const writer = new DatabaseWriter(this.#layout, (page) => waiting.push(page));
    const take = (): readonly Buffer[] => {
      const taken = waiting;
      waiting = [];
      return taken;
    };
    for await (const _ of exportState(this.#view, writer)) yield* take();
    writer.finish();
    yield* take();
  }

  close(): void {
    this.#view.close();
  }
}
