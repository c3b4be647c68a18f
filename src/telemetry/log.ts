/** Logs through pino, with etcd's levels, outputs and field names. */
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { pino, type Logger as PinoLogger } from 'pino';
import type { LogFields, Logger } from '../base/logger.ts';
import type { LogFormat, LogLevel } from '../config/schema.ts';

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** 'default', 'stderr', 'stdout', 'systemd/journal' or paths. */
  readonly outputs: readonly string[];
}

/** A logger that can be closed; lines are written at once, so that none is lost in a crash. */
export interface ClosableLogger extends Logger {
  close(): void;
}

/** Lines longer than this are cut: a field may hold anything. */
const MAX_LINE_BYTES = 64 * 1024;

/** zap's panic and fatal lie above error, where nothing of ours is logged but the last line. */
const pinoLevels: Readonly<Record<LogLevel, string>> = {
  debug: 'debug',
  info: 'info',
  warn: 'warn',
  error: 'error',
  panic: 'fatal',
  fatal: 'fatal',
};

class Output {
  readonly #descriptor: number;
  readonly #owned: boolean;

  constructor(name: string) {
    this.#owned = false;
    if (name === 'stdout') this.#descriptor = 1;
    else if (name === 'default' || name === 'stderr' || name === 'systemd/journal') {
      this.#descriptor = 2;
    } else {
      this.#descriptor = openSync(name, 'a', 0o600);
      this.#owned = true;
    }
  }

  /** A log that cannot be written must not stop a member: the line is lost. */
  write(bytes: Buffer): void {
    try {
      let at = 0;
      while (at < bytes.length) at += writeSync(this.#descriptor, bytes, at);
    } catch {
      return;
    }
  }

  close(): void {
    if (!this.#owned) return;
    fsyncSync(this.#descriptor);
    closeSync(this.#descriptor);
  }
}

interface Line {
  readonly level: string;
  readonly ts: string;
  readonly logger?: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** One line for people: time, level, message, and the fields as JSON. */
function consoleLine(json: string): string {
  const { level, ts, msg, ...fields } = JSON.parse(json) as Line;
  const rest = Object.keys(fields).length === 0 ? '' : `\t${JSON.stringify(fields)}`;
  return `${ts}\t${level}\t${msg}${rest}\n`;
}

/** Ids are bigints, which JSON lacks; etcd logs them in hexadecimal. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString(16);
  if (value instanceof Error) return errorText(value);
  return value;
}

/** Causes of causes that are shown: they might go in a circle. */
const MAX_CAUSES = 5;

function errorText(error: Error, causes = 0): string {
  const { cause } = error;
  const text = error.stack ?? `${error.name}: ${error.message}`;
  if (!(cause instanceof Error) || causes === MAX_CAUSES) return text;
  return `${text}\ncaused by ${errorText(cause, causes + 1)}`;
}

/** Logging must not fail, whatever it is given. */
function plainObject(value: object): unknown {
  try {
    const json = JSON.stringify(value, (_key, inner: unknown) => plain(inner)) as
      string | undefined;
    return json === undefined ? undefined : (JSON.parse(json) as unknown);
  } catch (error) {
    return `(cannot be shown: ${error instanceof Error ? error.message : 'unknown'})`;
  }
}

function plainFields(fields: LogFields): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    const nested = typeof value === 'object' && value !== null && !(value instanceof Error);
    result[name] = nested ? plainObject(value) : plain(value);
  }
  return result;
}

class PinoBackedLogger implements Logger {
  readonly #pino: PinoLogger;

  constructor(backend: PinoLogger) {
    this.#pino = backend;
  }

  debug(fields: LogFields, message: string): void {
    if (this.#pino.isLevelEnabled('debug')) this.#pino.debug(plainFields(fields), message);
  }

  info(fields: LogFields, message: string): void {
    if (this.#pino.isLevelEnabled('info')) this.#pino.info(plainFields(fields), message);
  }

  warn(fields: LogFields, message: string): void {
    if (this.#pino.isLevelEnabled('warn')) this.#pino.warn(plainFields(fields), message);
  }

  error(fields: LogFields, message: string): void {
    if (this.#pino.isLevelEnabled('error')) this.#pino.error(plainFields(fields), message);
  }

  child(fields: LogFields): Logger {
    return new PinoBackedLogger(this.#pino.child(plainFields(fields)));
  }
}

/** @throws Error if a file cannot be opened */
export function createLogger(options: LogOptions): ClosableLogger {
  const outputs = (options.outputs.length === 0 ? ['default'] : options.outputs).map(
    (name) => new Output(name),
  );
  const asConsole = options.format === 'console';
  const write = (line: string): void => {
    const text = asConsole ? consoleLine(line) : line;
    let bytes = Buffer.from(text);
    if (bytes.length > MAX_LINE_BYTES) {
      bytes = Buffer.concat([bytes.subarray(0, MAX_LINE_BYTES - 4), Buffer.from('...\n')]);
    }
    for (const output of outputs) output.write(bytes);
  };
  const backend = pino(
    {
      level: pinoLevels[options.level],
      base: null,
      messageKey: 'msg',
      timestamp: () => `,"ts":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write },
  );
  const logger = new PinoBackedLogger(backend);
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    child: (fields) => logger.child(fields),
    close: () => outputs.forEach((output) => output.close()),
  };
}
