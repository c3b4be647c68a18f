/** Streams that were reset of late: frames of one that does not know yet may follow. */

const maxRemembered = 128;

export class RecentResets {
  readonly #streamIds: number[] = [];

  note(streamId: number): void {
    this.#streamIds.push(streamId);
    if (this.#streamIds.length > maxRemembered) this.#streamIds.splice(0, maxRemembered / 2);
  }

  has(streamId: number): boolean {
    return this.#streamIds.includes(streamId);
  }
}
