/** One run of a command: its client, opened when it is first needed, and its printer. */
import type { Client, ClientOptions } from '../client/index.ts';
import { clientOptions, noEndpoints } from './connection.ts';
import { ExitCode, ExitError } from './exit.ts';
import type { FlagValues } from './flags.ts';
import { environmentName, globalFlags, readEnvironment } from './global-flags.ts';
import { printerFor } from './printers/index.ts';
import type { Printer } from './printers/printer.ts';
import type { Terminal } from './terminal.ts';

export class Session {
  readonly terminal: Terminal;
  readonly flags: FlagValues;
  readonly #clients: Client[] = [];
  #endpoints: readonly string[] | undefined;
  #options: Promise<{ options: ClientOptions; printer: Printer }> | undefined;

  constructor(terminal: Terminal, flags: FlagValues) {
    this.terminal = terminal;
    this.flags = flags;
  }

  /** Servers that are meant, as far as that is known yet. */
  get endpoints(): readonly string[] {
    return this.#endpoints ?? this.flags.list('endpoints');
  }

  /** Whether calls come with the token of a user and password. */
  get signsIn(): boolean {
    return this.flags.text('user') !== '' && this.flags.text('auth-jwt-token') === '';
  }

  /** Reads environment and global flags; refuses in etcdctl's order what is wrong with them. */
  settings(): Promise<{ options: ClientOptions; printer: Printer }> {
    this.#options ??= this.#read();
    return this.#options;
  }

  async #read(): Promise<{ options: ClientOptions; printer: Printer }> {
    readEnvironment(this.terminal.environment, this.flags, this.terminal.warn);
    if (this.flags.boolean('debug')) this.#tellSettings();
    const printer = await printerFor(this.flags.text('write-out'), this.terminal, {
      hex: this.flags.boolean('hex'),
    });
    if (printer === undefined) {
      throw new ExitError(
        ExitCode.badFeature,
        'unsupported output format',
        'Formats are fields, json, protobuf, simple and table.',
      );
    }
    const options = await clientOptions(this.flags, this.terminal);
    this.#endpoints = options.endpoints as readonly string[];
    return { options, printer };
  }

  /** A client of the named endpoints, or of all. */
  async client(endpoints?: readonly string[]): Promise<Client> {
    const { options } = await this.settings();
    const chosen = endpoints ?? (options.endpoints as readonly string[]);
    if (chosen.length === 0) throw noEndpoints();
    return this.open({ ...options, endpoints: chosen });
  }

  /** A client with options of its own, such as those of another cluster. */
  async open(options: ClientOptions): Promise<Client> {
    // Loading gRPC takes longer than all else, and help or a refusal can do without.
    const { Client } = await import('../client/index.ts');
    const client = new Client(options);
    this.#clients.push(client);
    return client;
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  #tellSettings(): void {
    for (const { name } of globalFlags) {
      this.terminal.warn(`${environmentName(name)}=${this.#shown(name)}`);
    }
  }

  /** Secrets stay out of logs. */
  #shown(name: string): string {
    const isSecret = ['password', 'user', 'auth-jwt-token'].includes(name);
    if (isSecret && this.flags.text(name) !== '') return '(hidden)';
    return this.flags.shown(name);
  }
}
