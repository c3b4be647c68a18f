/**
 * Members for tests of the transport: real time, handlers that record, snapshots made of chunks.
 */
import type { Clock, Timer } from '../../../src/base/clock.ts';
import type { LogFields, Logger } from '../../../src/base/logger.ts';
import type { Introduction } from '../../../src/cluster/founding.ts';
import type {
  AppendMessage,
  HeartbeatMessage,
  MemberId,
  Message,
  SnapshotMessage,
  SnapshotMetadata,
} from '../../../src/raft/index.ts';
import type { PeerNote } from '../../../src/transport/frames.ts';
import type {
  SnapshotSink,
  SnapshotSource,
  Transport,
  TransportHandlers,
} from '../../../src/transport/transport.ts';

/** The system's time, for transports that use real sockets. */
export const realClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, callback): Timer {
    const timer = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  defer: (callback) => void setImmediate(callback),
};

/** Resolves when `condition` holds; looks every few milliseconds. */
export async function until(
  condition: () => boolean,
  what: string,
  timeoutMs = 15_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`timed out waiting until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Keeps every line. */
export class RecordingLogger implements Logger {
  readonly lines: { level: string; message: string; fields: LogFields }[];
  readonly #fields: LogFields;

  constructor(lines: RecordingLogger['lines'] = [], fields: LogFields = {}) {
    this.lines = lines;
    this.#fields = fields;
  }

  debug(fields: LogFields, message: string): void {
    this.#add('debug', fields, message);
  }
  info(fields: LogFields, message: string): void {
    this.#add('info', fields, message);
  }
  warn(fields: LogFields, message: string): void {
    this.#add('warn', fields, message);
  }
  error(fields: LogFields, message: string): void {
    this.#add('error', fields, message);
  }
  child(fields: LogFields): Logger {
    return new RecordingLogger(this.lines, { ...this.#fields, ...fields });
  }

  has(level: string, text: string): boolean {
    return this.lines.some(
      (line) =>
        line.level === level && `${line.message} ${JSON.stringify(line.fields)}`.includes(text),
    );
  }

  #add(level: string, fields: LogFields, message: string): void {
    this.lines.push({ level, message, fields: { ...this.#fields, ...fields } });
  }
}

/** A view of the state that consists of given chunks. */
export class TestSource implements SnapshotSource {
  readonly metadata: SnapshotMetadata;
  readonly #chunks: readonly Uint8Array[];
  readonly #failAt: number | undefined;
  closed = 0;
  read = 0;

  constructor(metadata: SnapshotMetadata, chunks: readonly Uint8Array[], failAt?: number) {
    this.metadata = metadata;
    this.#chunks = chunks;
    this.#failAt = failAt;
  }

  next(done: (error: Error | undefined, chunk: Uint8Array | undefined) => void): void {
    setImmediate(() => {
      if (this.read === this.#failAt) done(new Error('bad sector'), undefined);
      else done(undefined, this.#chunks[this.read++]);
    });
  }

  close(): void {
    this.closed++;
  }
}

/** Keeps chunks; can be told to hold back, to refuse one or to fail at the end. */
export class TestSink implements SnapshotSink {
  readonly chunks: Uint8Array[] = [];
  aborted = 0;
  finished = false;
  /** While set, a chunk is not taken. */
  held = false;
  failWrite = false;
  failFinish = false;
  #release: (() => void) | undefined;

  write(chunk: Uint8Array, done: (error: Error | undefined) => void): void {
    this.chunks.push(Uint8Array.from(chunk));
    const taken = (): void => done(this.failWrite ? new Error('disk full') : undefined);
    if (this.held) this.#release = taken;
    else setImmediate(taken);
  }

  release(): void {
    this.held = false;
    const release = this.#release;
    this.#release = undefined;
    release?.();
  }

  finish(done: (error: Error | undefined) => void): void {
    setImmediate(() => {
      this.finished = !this.failFinish;
      done(this.failFinish ? new Error('sync failed') : undefined);
    });
  }

  abort(): void {
    this.aborted++;
  }
}

/** A member: its transport and what it was told. */
export class TestMember implements TransportHandlers {
  readonly id: MemberId;
  readonly transport: Transport;
  readonly received: Message[] = [];
  readonly introductions: { member: MemberId; introduction: Introduction }[] = [];
  readonly notes: { member: MemberId; note: PeerNote }[] = [];
  readonly unreachables: MemberId[] = [];
  /** Members that it says were removed. */
  readonly gone = new Set<MemberId>();
  remembers = true;
  /** The protocol that the members have agreed on. */
  agreed = 0;
  readonly removedBy: MemberId[] = [];
  readonly statuses: { member: MemberId; ok: boolean }[] = [];
  readonly logger: RecordingLogger;
  source: TestSource | undefined;
  sink: TestSink | undefined;
  /** It has already what any snapshot covers. */
  holdsAll = false;
  offeredMetadata: SnapshotMetadata | undefined;
  #sending = false;

  constructor(id: MemberId, transport: Transport, logger = new RecordingLogger()) {
    this.id = id;
    this.transport = transport;
    this.logger = logger;
  }

  send(...messages: Message[]): void {
    this.#sending = true;
    this.transport.send(messages);
    this.#sending = false;
  }

  receive(messages: readonly Message[]): void {
    this.#check();
    this.received.push(...messages.map(plain));
  }

  introduced(member: MemberId, introduction: Introduction): void {
    this.#check();
    this.introductions.push({ member, introduction });
  }

  note(member: MemberId, note: PeerNote): void {
    this.#check();
    this.notes.push({ member, note });
  }

  isRemoved(member: MemberId): boolean {
    return this.gone.has(member);
  }

  remembersRemoval(): boolean {
    return this.remembers;
  }

  oldestProtocol(): number {
    return this.agreed;
  }

  removed(by: MemberId): void {
    this.#check();
    this.removedBy.push(by);
  }

  unreachable(member: MemberId): void {
    this.#check();
    this.unreachables.push(member);
  }

  snapshotStatus(member: MemberId, ok: boolean): void {
    this.#check();
    this.statuses.push({ member, ok });
  }

  openSnapshot(): SnapshotSource | undefined {
    this.#check();
    return this.source;
  }

  receiveSnapshot(
    _member: MemberId,
    metadata: SnapshotMetadata,
  ): SnapshotSink | 'held' | undefined {
    this.#check();
    this.offeredMetadata = metadata;
    return this.holdsAll ? 'held' : this.sink;
  }

  #check(): void {
    if (this.#sending) throw new Error('a handler was called from within send');
  }
}

/** The message with plain byte arrays, for comparison: what arrives are views of Node's buffers. */
export function plain(message: Message): Message {
  if (message.type !== 'append' && message.type !== 'propose') return message;
  const entries = message.entries.map((each) => ({ ...each, data: Uint8Array.from(each.data) }));
  return { ...message, entries };
}

export const metadata: SnapshotMetadata = {
  index: 77,
  term: 5,
  confState: {
    voters: [1n, 2n],
    votersOutgoing: [],
    learners: [3n],
    learnersNext: [],
    autoLeave: false,
  },
};

export function heartbeat(from: MemberId, to: MemberId, number: number): HeartbeatMessage {
  return { type: 'heartbeat', from, to, term: 3, commit: number, context: BigInt(number) };
}

export function append(
  from: MemberId,
  to: MemberId,
  index: number,
  data: Uint8Array = Uint8Array.of(1, 2, 3),
): AppendMessage {
  const entries = [{ index: index + 1, term: 3, kind: 0 as const, data }];
  return { type: 'append', from, to, term: 3, index, logTerm: 3, commit: index, entries };
}

export function proposal(from: MemberId, to: MemberId, number: number): Message {
  const data = new TextEncoder().encode(`proposal ${number}`);
  const entries = [{ index: 0, term: 0, kind: 0 as const, data }];
  return { type: 'propose', from, to, term: 0, entries };
}

export function snapshot(from: MemberId, to: MemberId): SnapshotMessage {
  return { type: 'snapshot', from, to, term: 6, snapshot: metadata };
}

/** One message of each kind but snapshots. */
export function oneOfEach(from: MemberId, to: MemberId): Message[] {
  const way = { from, to, term: 2 ** 40 + 7 };
  return [
    proposal(from, to, 1),
    append(from, to, 2 ** 45),
    { ...way, type: 'append', index: 0, logTerm: 0, commit: 0, entries: [] },
    { ...way, type: 'appendResponse', index: 9, reject: true, rejectHint: 8, logTerm: 7 },
    { ...way, type: 'vote', index: 300, logTerm: 2, transfer: true },
    { ...way, type: 'preVote', index: 70_000, logTerm: 2, transfer: false },
    { ...way, type: 'voteResponse', reject: false },
    { ...way, type: 'preVoteResponse', reject: true },
    { ...way, type: 'committed', index: 90, logTerm: 6 },
    { ...way, type: 'heartbeat', commit: Number.MAX_SAFE_INTEGER, context: 2n ** 64n - 1n },
    { ...way, type: 'heartbeatResponse', context: 0n },
    { ...way, type: 'timeoutNow' },
    { ...way, type: 'transferLeader', transferee: 2n ** 63n },
    { ...way, type: 'readIndex', term: 0, context: 1n },
    { ...way, type: 'readIndexResponse', index: 12, context: 77n },
  ];
}

/** Chunks whose bytes differ by place, so that a swap or a loss shows. */
export function chunks(count: number, sizeBytes: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => {
    const chunk = new Uint8Array(sizeBytes);
    for (let at = 0; at < sizeBytes; at++) chunk[at] = (i * 31 + at * 7 + (at >> 8)) & 255;
    return chunk;
  });
}
