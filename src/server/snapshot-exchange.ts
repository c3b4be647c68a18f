/** Snapshots between this member and others: which is sent, and which is taken. */
import type { Clock } from '../base/clock.ts';
import type { Metrics } from '../base/metrics.ts';
import type { MemberId, Message, SnapshotMetadata } from '../raft/index.ts';
import type { DataDirectory } from '../storage/data-directory.ts';
import { snapshotTimer } from '../storage/disk-metrics.ts';
import type { SnapshotSink, SnapshotSource, TransportHandlers } from '../transport/transport.ts';
import type { LogCompaction } from './log-compaction.ts';

export interface SnapshotExchangeOptions {
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly directory: Pick<DataDirectory, 'openSnapshot' | 'dropReceived'> & {
    readonly receiveSnapshot: (metadata: SnapshotMetadata) => SnapshotSink | undefined;
  };
  readonly logCompaction: Pick<LogCompaction, 'sendingBegins'>;
  /** Its state is not to be passed on. */
  readonly refuses: () => boolean;
  readonly takesPart: () => boolean;
  readonly committedIndex: () => number;
  /** The snapshot that replaces the log, until it is installed. */
  readonly pending: () => SnapshotMetadata | undefined;
  /** Hands messages to the core. */
  readonly step: (messages: readonly Message[]) => void;
}

export class SnapshotExchange implements Pick<
  TransportHandlers,
  'openSnapshot' | 'receiveSnapshot' | 'receive'
> {
  readonly #options: SnapshotExchangeOptions;
  readonly #beginTiming: () => () => void;

  constructor(options: SnapshotExchangeOptions) {
    this.#options = options;
    this.#beginTiming = snapshotTimer(options.clock, options.metrics);
  }

  /** A view of the newest flush, which holds the log's compaction back while it is sent. */
  openSnapshot(): SnapshotSource | undefined {
    const { refuses, directory, logCompaction } = this.#options;
    const source = refuses() ? undefined : directory.openSnapshot();
    if (source === undefined) return undefined;
    const sendingEnds = logCompaction.sendingBegins();
    const endTiming = this.#beginTiming();
    let isOpen = true;
    let isAllSent = false;
    return {
      metadata: source.metadata,
      next: (done) => {
        source.next((error, chunk) => {
          isAllSent = error === undefined && chunk === undefined;
          done(error, chunk);
        });
      },
      close: () => {
        source.close();
        if (isOpen) sendingEnds(isAllSent);
        isOpen = false;
        endTiming();
      },
    };
  }

  receiveSnapshot(_from: MemberId, metadata: SnapshotMetadata): SnapshotSink | 'held' | undefined {
    const { takesPart, committedIndex, pending, directory } = this.#options;
    if (!takesPart()) return undefined;
    // Else a leader that has lost the acknowledgement would offer it for ever.
    if (metadata.index <= committedIndex()) return 'held';
    // While one is being taken over it must stay as it is, and another would come to nothing.
    return pending() === undefined ? directory.receiveSnapshot(metadata) : undefined;
  }

  /** A snapshot's message comes when its contents are here; they stay if the core wants them. */
  receive(messages: readonly Message[]): void {
    const { step, pending, directory } = this.#options;
    step(messages);
    for (const message of messages) {
      if (message.type !== 'snapshot') continue;
      const wanted = pending();
      const { index, term } = message.snapshot;
      if (wanted?.index === index && wanted.term === term) continue;
      directory.dropReceived(message.snapshot);
    }
  }
}
