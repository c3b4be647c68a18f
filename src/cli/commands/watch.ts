/** `watch`: events as they happen, printed or handed to a command. */
import type { Client, WatchBatch, Watcher } from '../../client/index.ts';
import type { Event } from '../../gen/kv.ts';
import { EventType } from '../../gen/kv.ts';
import { ResponseHeader } from '../../gen/rpc.ts';
import { textOf } from '../byte-text.ts';
import type { CommandDefinition, CommandLine } from '../command.ts';
import { parseCommandLine } from '../command-line.ts';
import { ExitCode, ExitError, badArguments } from '../exit.ts';
import { failureText } from '../failure.ts';
import { type FlagDefinition, off } from '../flags.ts';
import { quote, splitWords } from '../go-text.ts';
import type { Printer } from '../printers/printer.ts';
import { runProgram } from '../run-program.ts';
import type { Session } from '../session.ts';
import type { Environment } from '../terminal.ts';
import { type WatchTarget, keysFrom, watchTarget } from '../watch-grammar.ts';

/** Runs a command for an event; it learns of it from its environment. */
async function runForEvent(
  command: readonly string[],
  revision: number,
  event: Event,
  environment: Environment,
): Promise<void> {
  const type = event.type === EventType.delete ? 'DELETE' : 'PUT';
  const ended = await runProgram(command, {
    ...environment,
    ETCD_WATCH_REVISION: String(revision),
    ETCD_WATCH_EVENT_TYPE: quote(type),
    ETCD_WATCH_KEY: quote(event.kv?.key ?? ''),
    ETCD_WATCH_VALUE: quote(event.kv?.value ?? ''),
  });
  if (ended === undefined) return;
  const words = command.map((word) => quote(word)).join(' ');
  throw new ExitError(ExitCode.error, '', `command [${words}] error (${ended.problem})`);
}

class WatchRun {
  readonly #client: Client;
  readonly #session: Session;
  readonly #printer: Printer;

  constructor(client: Client, session: Session, printer: Printer) {
    this.#client = client;
    this.#session = session;
    this.#printer = printer;
  }

  begin({ request }: WatchTarget): Watcher {
    return this.#client.watch({ ...request, createdNotify: true });
  }

  /** Tells what happens until the server ends the watch. */
  async follow(watcher: Watcher, { command }: WatchTarget): Promise<void> {
    const notice = this.#noticeSilence();
    let header = ResponseHeader.create();
    try {
      for await (const batch of watcher) {
        clearTimeout(notice);
        header = batch.header;
        if (!batch.created) await this.#tell(batch, command);
      }
    } catch (error) {
      if (error instanceof ExitError) throw error;
      // The end is told by the same server, but is about no revision.
      this.#tellEnd(error, { ...header, revision: 0 });
    } finally {
      clearTimeout(notice);
    }
  }

  async #tell({ header, events, progress }: WatchBatch, command: readonly string[]): Promise<void> {
    const { terminal } = this.#session;
    if (progress) terminal.line(`progress notify: ${header.revision}`);
    this.#printer.watch({ header, events, compactRevision: 0, canceled: false, created: false });
    await terminal.flush();
    if (command.length === 0) return;
    for (const event of events) {
      await runForEvent(command, header.revision, event, terminal.environment);
    }
  }

  #tellEnd(error: unknown, header: ResponseHeader): void {
    this.#session.terminal.warn(`watch was canceled (${failureText(error)})`);
    const { compactRevision = 0 } = error as { compactRevision?: number };
    this.#printer.watch({ header, events: [], compactRevision, canceled: true, created: false });
  }

  /** A watch waits for its server as long as it takes; whoever looks on should know. */
  #noticeSilence(): NodeJS.Timeout {
    const { terminal, flags } = this.#session;
    const endpoints = this.#client.endpoints.join(', ');
    return setTimeout(() => {
      terminal.warn(`Still waiting for an answer from ${endpoints} ...`);
    }, flags.number('dial-timeout')).unref();
  }
}

async function run(line: CommandLine, session: Session): Promise<void> {
  const environmentKeys = keysFrom(session.terminal.environment);
  if (line.flags.boolean('interactive')) return runLines(environmentKeys, session);
  const target = watchTarget(line, environmentKeys);
  const client = await session.client();
  const { printer } = await session.settings();
  const watch = new WatchRun(client, session, printer);
  await watch.follow(watch.begin(target), target);
  throw new ExitError(ExitCode.interrupted, 'watch is canceled by the server');
}

/** The target of a line `watch …`; a line that is only wrong in itself is told and passed over. */
function targetOf(
  line: string,
  words: readonly string[],
  environmentKeys: readonly string[],
): WatchTarget | string {
  const [command = '', ...rest] = words;
  if (command !== 'watch') return `Invalid command ${line} (only support watch)`;
  if (rest.length === 0 && environmentKeys.length === 0) {
    return `Invalid command ${line} (command type or key is not provided)`;
  }
  let parsed: CommandLine;
  try {
    parsed = parseCommandLine(watchCommand, rest);
  } catch (error) {
    throw badArguments(error instanceof Error ? error.message : String(error));
  }
  try {
    return watchTarget(parsed, environmentKeys);
  } catch (error) {
    const isExclusion = error instanceof ExitError && error.message.includes('mutually exclusive');
    if (!isExclusion) throw error;
    return `Invalid command ${line} (${error.message})`;
  }
}

/** Any number of watches at a time, one for each line. */
async function runLines(environmentKeys: readonly string[], session: Session): Promise<void> {
  const { terminal } = session;
  const client = await session.client();
  const { printer } = await session.settings();
  const run = new WatchRun(client, session, printer);
  const watchers = new Set<Watcher>();
  let fail: (error: unknown) => void = () => undefined;
  const failed = new Promise<never>((_resolve, reject) => (fail = reject));
  const obey = (line: string): void => {
    const words = splitWords(line);
    if ('error' in words) throw new ExitError(ExitCode.invalidInput, words.error);
    if (words.value.length === 0) {
      terminal.warn(`Invalid command: ${line} (watch and progress supported)`);
      return;
    }
    if (words.value[0] === 'progress') {
      for (const watcher of watchers) watcher.requestProgress();
      return;
    }
    const target = targetOf(line, words.value, environmentKeys);
    if (typeof target === 'string') {
      terminal.warn(target);
      return;
    }
    const watcher = run.begin(target);
    watchers.add(watcher);
    run.follow(watcher, target).then(() => watchers.delete(watcher), fail);
  };
  const lines = terminal.lines();
  try {
    for (;;) {
      const next = await Promise.race([lines.next(), failed]);
      if (next.done === true) {
        throw new ExitError(ExitCode.invalidInput, 'error reading watch request line: EOF');
      }
      obey(textOf(next.value));
    }
  } finally {
    for (const watcher of watchers) watcher.close();
  }
}

const watchFlags: readonly FlagDefinition[] = [
  { ...off, name: 'interactive', short: 'i', help: 'read lines `watch ...` and `progress`' },
  { ...off, name: 'prefix', help: 'all keys that begin with the key' },
  { name: 'rev', type: 'integer', fallback: '0', help: 'from this revision on; 0 is from now on' },
  { ...off, name: 'prev-kv', help: 'print the key and value from before each event, too' },
  { ...off, name: 'progress-notify', help: 'tell from time to time how far the watch is' },
];

export const watchCommand: CommandDefinition = {
  name: 'watch',
  usage: '[options] [key or prefix] [range_end] [--] [exec-command arg1 arg2 ...]',
  summary: 'Print changes of keys as they happen',
  description:
    'Goes on until it is interrupted, over lost connections and restarts of servers. A command\n' +
    'behind -- is run for each event, with ETCD_WATCH_REVISION, ETCD_WATCH_EVENT_TYPE,\n' +
    'ETCD_WATCH_KEY and ETCD_WATCH_VALUE in its environment. Key and range end may come from\n' +
    'ETCDCTL_WATCH_KEY and ETCDCTL_WATCH_RANGE_END.',
  examples: [
    { line: 'watch greeting', tells: 'one key' },
    { line: 'watch --prefix config/ --prev-kv', tells: 'all keys below config/, old values too' },
    { line: 'watch greeting --rev 1', tells: 'everything that ever happened, and goes on' },
    { line: 'watch reload -- systemctl reload app', tells: 'runs a command at each event' },
    { line: 'watch -i', tells: 'reads several watches from standard input' },
  ],
  flags: watchFlags,
  run,
};
