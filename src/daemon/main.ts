/** The server's main program: settings, log and metrics, one member, and how it ends. */
import { randomBytes } from 'node:crypto';
import { armFaultPoints } from '../base/fault-point.ts';
import type { Logger } from '../base/logger.ts';
import { SeededRandom, type Random } from '../base/random.ts';
import { ETCD_VERSION, QUORATE_VERSION } from '../base/versions.ts';
import { parseConfig } from '../config/parse.ts';
import type { Config } from '../config/schema.ts';
import type { Notice } from '../config/validate.ts';
import { watchEventLoop } from '../telemetry/event-loop.ts';
import { createLogger, type ClosableLogger } from '../telemetry/log.ts';
import { PrometheusMetrics } from '../telemetry/metrics.ts';
import { exportProcessLimits } from '../telemetry/process-limits.ts';
import { faultHandler, faultVariable, parseFaults } from './fault-injection.ts';
import type { Member, Start } from './member.ts';
import { busyPollingClock, systemClock } from './system-clock.ts';

/** A graceful stop that takes longer than this is cut short. */
const STOP_TIMEOUT_MS = 15_000;

/** Of a member that was removed (`server/member-changes.ts`). */
const removedErrorName = 'MemberRemovedError';

/** 53 bits are what the generator takes. */
function freshRandom(): Random {
  const bytes = randomBytes(7);
  return new SeededRandom(bytes.readUIntBE(1, 6) + (bytes.readUInt8(0) & 0x1f) * 2 ** 48);
}

function log(logger: Logger, notices: readonly Notice[]): void {
  for (const { level, fields, message } of notices) logger[level](fields, message);
}

const defaultLog = { level: 'info', format: 'json', outputs: ['default'] } as const;

/** Resolves to the exit code, once the member has ended. */
export async function run(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  start: Start,
): Promise<number> {
  const result = parseConfig(args, environment);
  switch (result.kind) {
    case 'print':
      process.stdout.write(`${result.text}\n`);
      return 0;
    case 'usage':
      process.stderr.write(`${result.message}\n`);
      return 2;
    case 'invalid': {
      const logger = createLogger(defaultLog);
      log(logger, result.notices);
      logger.error({ error: result.message }, 'failed to verify flags');
      return 1;
    }
    case 'start': {
      const logger = openLog(result.config);
      if (logger === undefined) return 1;
      log(logger, result.notices);
      return armFaults(environment[faultVariable], logger)
        ? await serve(result.config, logger, start)
        : 1;
    }
  }
}

/** False if what tests may ask for is not understood. */
function armFaults(text: string | undefined, logger: ClosableLogger): boolean {
  if (text === undefined || text === '') return true;
  try {
    armFaultPoints(faultHandler(parseFaults(text)));
  } catch (error) {
    logger.error({ error: messageOf(error) }, 'failed to verify the environment');
    logger.close();
    return false;
  }
  logger.warn({ faults: text }, 'this member will fail where it was told to: for tests only');
  return true;
}

async function serve(config: Config, logger: ClosableLogger, start: Start): Promise<number> {
  logger.info(
    { version: QUORATE_VERSION, 'etcd-version': ETCD_VERSION, node: process.version, ...config },
    'starting',
  );
  const metrics = new PrometheusMetrics();
  metrics.includeProcess();
  exportProcessLimits(metrics);
  metrics
    .gauge('quorate_info', 'Which release is running.', ['version', 'node_version'])(
      QUORATE_VERSION,
      process.version,
    )
    .set(1);
  const stopWatching = watchEventLoop({ metrics, logger, warnAboveMs: config.heartbeatMs });
  const stopSignal = nextSignal();
  try {
    const member = await start(config, {
      clock: config.busyPoll ? busyPollingClock() : systemClock,
      random: freshRandom(),
      logger,
      metrics,
      stopping: stopSignal,
    });
    return await supervise(member, stopSignal, logger, config.dataDir);
  } catch (error) {
    logger.error({ error: messageOf(error) }, 'failed to start');
    return 1;
  } finally {
    stopWatching();
    logger.close();
  }
}

function openLog(config: Config): ClosableLogger | undefined {
  try {
    return createLogger({
      level: config.logLevel,
      format: config.logFormat,
      outputs: config.logOutputs,
    });
  } catch (error) {
    process.stderr.write(`cannot open --log-outputs: ${messageOf(error)}\n`);
    return undefined;
  }
}

/** Waits until the member fails or is told to stop. */
async function supervise(
  member: Member,
  stopSignal: Promise<NodeJS.Signals>,
  logger: Logger,
  dataDir: string,
): Promise<number> {
  const end = await Promise.race([stopSignal, member.failed]);
  if (end instanceof Error && end.name !== removedErrorName) {
    logger.error({ error: messageOf(end) }, 'the member cannot go on');
    return 1;
  }
  if (end instanceof Error) {
    // As etcd, with success: a supervisor that restarts on failure must not bring it back.
    logger.error({ error: messageOf(end), 'data-dir': dataDir }, 'stopping: remove the data too');
  } else logger.info({ signal: end }, 'stopping');
  const stopped = await Promise.race([
    member.stop().then(() => true),
    new Promise<boolean>((resolve) => {
      setTimeout(() => resolve(false), STOP_TIMEOUT_MS).unref();
    }),
  ]);
  const reason = end instanceof Error ? { reason: messageOf(end) } : { signal: end };
  if (stopped) logger.info(reason, 'stopped');
  else logger.warn({ 'timeout-ms': STOP_TIMEOUT_MS }, 'stopping took too long: cut short');
  return 0;
}

/** The first signal asks for an orderly end; a second one ends the process at once. */
function nextSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let asked = false;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (asked) process.exit(signal === 'SIGINT' ? 130 : 143);
      asked = true;
      resolve(signal);
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What the launcher calls. A fault that nobody caught ends the process: state may be wrong. */
export async function main(): Promise<void> {
  const die = (error: unknown): void => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`quorate: fatal: ${text}\n`);
    process.exit(1);
  };
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);
  const { start } = await import('./start.ts');
  process.exit(await run(process.argv.slice(2), process.env, start));
}
