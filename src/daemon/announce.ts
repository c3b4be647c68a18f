/**
 * Tells all members a starting member's name and client URLs. That they have been agreed on shows
 * that it has taken part (`cluster/founding.ts`).
 */
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Command } from '../apply/request.ts';

/**
 * Rest between two tries: a refusal may come at once, and asking again at once would leave the
 * event loop no time for anything else.
 */
const retryMs = 200;

/** The member as this file needs it. */
export interface Announcer {
  readonly id: bigint;
  /** Nothing can be agreed on any more: it is stopping or has failed. */
  readonly ended: boolean;
  readonly server: { request(command: Command): Promise<unknown> };
}

export interface Announcement {
  readonly name: string;
  readonly clientUrls: readonly string[];
}

/** Tries until it has been agreed on, or the member has come to its end. */
export async function announce(
  member: Announcer,
  { name, clientUrls }: Announcement,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): Promise<void> {
  for (;;) {
    try {
      await member.server.request({
        case: 'clusterMemberAttrSet',
        value: { memberId: member.id, memberAttributes: { name, clientUrls: [...clientUrls] } },
      });
      return;
    } catch (error) {
      if (member.ended) return;
      const reason = error instanceof Error ? error.message : String(error);
      logger.warn({ error: reason }, 'could not announce this member to the others yet');
      await new Promise<void>((resolve) => {
        clock.after(retryMs, resolve);
      });
    }
  }
}
