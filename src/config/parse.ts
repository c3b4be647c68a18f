/**
 * Where flags come from. As in etcd: a configuration file replaces everything else; otherwise the
 * command line and the environment add up, and may not both set the same flag.
 */
import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { unkeptGates } from './feature-gates.ts';
import type { FlagDefinition } from './flag.ts';
import { flagsByName } from './flag-table.ts';
import { quote, type Parsed } from '../base/go-values.ts';
import { helpText, usageText, versionText } from './help.ts';
import type { Config } from './schema.ts';
import { applyRenamed } from './renaming.ts';
import { buildConfig, type Notice } from './validate.ts';
import { FlagValues, parseFileValue, parseFlag } from './values.ts';

/** What to do after the flags were read. */
export type ParseResult =
  | { readonly kind: 'start'; readonly config: Config; readonly notices: readonly Notice[] }
  /** Print and exit with 0: help or version. */
  | { readonly kind: 'print'; readonly text: string }
  /** Not understood: print to stderr with the usage, exit with 2. */
  | { readonly kind: 'usage'; readonly message: string }
  /** Understood but impossible: log and exit with 1. */
  | { readonly kind: 'invalid'; readonly message: string; readonly notices: readonly Notice[] };

const ENVIRONMENT_PREFIX = 'ETCD_';
/** No sane configuration is larger; keeps a wrong path, e.g. of a device, from filling memory. */
const MAX_FILE_BYTES = 1024 * 1024;

export function environmentName(flag: string): string {
  return ENVIRONMENT_PREFIX + flag.toUpperCase().replaceAll('-', '_');
}

type Outcome = ParseResult | undefined;

/** Reads arguments as Go's flag package does; undefined means that all went well. */
function readArguments(args: readonly string[], values: FlagValues): Outcome {
  for (let i = 0; i < args.length; i++) {
    const argument = args[i] ?? '';
    if (argument === '--') return rejectPositional(args[i + 1]);
    if (argument.length < 2 || !argument.startsWith('-')) return rejectPositional(argument);
    const body = argument.replace(/^--?/, '');
    if (body === '' || body.startsWith('-') || body.startsWith('=')) {
      return { kind: 'usage', message: `bad flag syntax: ${argument}` };
    }
    const equals = body.indexOf('=');
    const name = equals < 0 ? body : body.slice(0, equals);
    const flag = flagsByName.get(name);
    if (flag === undefined) {
      if (name === 'help' || name === 'h') return { kind: 'print', text: helpText() };
      return { kind: 'usage', message: `flag provided but not defined: -${name}` };
    }
    let text = equals < 0 ? undefined : body.slice(equals + 1);
    if (text === undefined && flag.type !== 'boolean') {
      text = args[++i];
      if (text === undefined) return { kind: 'usage', message: `flag needs an argument: -${name}` };
    }
    const error = setFromText(flag, text ?? 'true', values);
    if (error !== undefined) return error;
  }
  return undefined;
}

function rejectPositional(argument: string | undefined): Outcome {
  if (argument === undefined) return undefined;
  return { kind: 'invalid', message: `${quote(argument)} is not a valid flag`, notices: [] };
}

function setFromText(flag: FlagDefinition, text: string, values: FlagValues): Outcome {
  const parsed = parseFlag(flag, text);
  if ('error' in parsed) {
    const boolean = flag.type === 'boolean';
    const what = boolean
      ? `invalid boolean value ${quote(text)} for`
      : `invalid value ${quote(text)} for flag`;
    return { kind: 'usage', message: `${what} -${flag.name}: ${parsed.error}` };
  }
  values.set(flag.name, parsed.value);
  return undefined;
}

/** Adds flags from the environment; an error is a message. */
function readEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  values: FlagValues,
  notices: Notice[],
): string | undefined {
  const flagsByVariable = new Map(
    [...flagsByName.values()].map((f) => [environmentName(f.name), f]),
  );
  for (const [variable, text] of Object.entries(environment)) {
    if (!variable.startsWith(ENVIRONMENT_PREFIX) || text === undefined || text === '') continue;
    const flag = flagsByVariable.get(variable);
    if (flag === undefined || flag.name === 'version') {
      notices.push({
        level: 'warn',
        message: 'unrecognized environment variable',
        fields: { 'environment-variable': variable },
      });
    } else if (values.isSet(flag.name)) {
      return (
        'conflicting environment variable is shadowed by corresponding command-line flag ' +
        `(either unset environment variable or disable flag): ${variable}`
      );
    } else {
      const parsed = parseFlag(flag, text);
      if ('error' in parsed) {
        return `invalid value ${quote(text)} for ${variable}: ${parsed.error}`;
      }
      values.set(flag.name, parsed.value);
      notices.push({
        level: 'info',
        message: 'recognized and used environment variable',
        fields: { 'variable-name': variable, 'variable-value': text },
      });
    }
  }
  return undefined;
}

/** Blocks of the file whose keys are flags under another name. */
const securityBlocks: Readonly<Record<string, string>> = {
  'client-transport-security': '',
  'peer-transport-security': 'peer-',
};

function readFileEntries(
  entries: Readonly<Record<string, unknown>>,
  prefix: string,
  values: FlagValues,
  notices: Notice[],
): string | undefined {
  for (const [key, value] of Object.entries(entries)) {
    const isBlock = prefix === '' && Object.hasOwn(securityBlocks, key);
    const block = isBlock ? securityBlocks[key] : undefined;
    if (block !== undefined) {
      if (value === null) continue;
      if (typeof value !== 'object' || Array.isArray(value)) return `invalid ${key}`;
      const inner = block === '' ? 'client-' : block;
      const error = readSecurityBlock(value as Record<string, unknown>, inner, values, notices);
      if (error !== undefined) return error;
      continue;
    }
    const flag = flagsByName.get(key);
    if (flag === undefined || key === 'config-file' || key === 'version') {
      notices.push({
        level: 'warn',
        message: 'unrecognized key in configuration file',
        fields: { key },
      });
      continue;
    }
    if (value === null) continue;
    const parsed = parseFileValue(flag, value);
    if ('error' in parsed) return `invalid value for ${key}: ${parsed.error}`;
    values.set(key, parsed.value);
  }
  return undefined;
}

/** Client keys stand for flags without prefix, unless only the prefixed flag exists. */
function readSecurityBlock(
  entries: Readonly<Record<string, unknown>>,
  prefix: string,
  values: FlagValues,
  notices: Notice[],
): string | undefined {
  const plain = new Set(['cert-file', 'key-file', 'trusted-ca-file', 'auto-tls']);
  const renamed: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(entries)) {
    if (prefix === 'client-' && (plain.has(key) || key.startsWith('client-'))) renamed[key] = value;
    else renamed[prefix + key] = value;
  }
  return readFileEntries(renamed, prefix, values, notices);
}

function readFile(path: string, values: FlagValues, notices: Notice[]): string | undefined {
  let document: unknown;
  try {
    const text = readFileSync(path);
    if (text.length > MAX_FILE_BYTES) return `${path}: larger than ${MAX_FILE_BYTES} bytes`;
    document = parseYaml(text.toString('utf8'), {
      maxAliasCount: 0,
      intAsBigInt: false,
      // Warnings would be written past our log.
      logLevel: 'error',
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return `cannot read configuration file ${path}: ${reason.split('\n')[0] ?? ''}`;
  }
  if (document === null || document === undefined) return undefined;
  if (typeof document !== 'object' || Array.isArray(document)) {
    return `configuration file ${path} must hold a mapping of flag names to values`;
  }
  return readFileEntries(document as Record<string, unknown>, '', values, notices);
}

/** Warnings that etcd gives too, and those for what has no effect. */
function describe(values: FlagValues, config: Config, notices: Notice[]): void {
  for (const name of values.givenNames) {
    const flag = flagsByName.get(name);
    if (flag?.support !== 'ignored' && flag?.support !== 'renamed') continue;
    notices.push({
      level: 'warn',
      message: flag.support === 'ignored' ? 'flag has no effect' : 'flag is deprecated',
      fields: { flag: `--${name}`, reason: flag.help },
    });
  }
  for (const { name, reason } of unkeptGates(values.list('feature-gates'))) {
    notices.push({
      level: 'warn',
      message: 'feature gate has no effect',
      fields: { name, reason },
    });
  }
  if (config.name === 'default' && config.initialCluster.length > 1) {
    notices.push({
      level: 'warn',
      message: "it isn't recommended to use default name, please set a value for --name",
      fields: { name: config.name },
    });
  }
  if (!values.isSet('data-dir')) {
    notices.push({
      level: 'warn',
      message: "'data-dir' was empty; using default",
      fields: { 'data-dir': config.dataDir },
    });
  }
  if (config.unsafeNoFsync) {
    notices.push({
      level: 'warn',
      message:
        'UNSAFE: nothing that this member writes is synced. A power cut loses acknowledged ' +
        'writes, of a whole cluster too, and may leave a directory that cannot be used again',
      fields: { flag: '--unsafe-no-fsync' },
    });
  }
}

/** Addresses for clients must be chosen when those listened on are. */
function dropDefaultAdvertised(values: FlagValues): void {
  if (values.isSet('listen-client-urls') && !values.isSet('advertise-client-urls')) {
    values.set('advertise-client-urls', []);
  }
}

/** Reads the command line (without the program's name) and the environment. */
export function parseConfig(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): ParseResult {
  const notices: Notice[] = [];
  const given = new FlagValues();
  const outcome = readArguments(args, given);
  if (outcome !== undefined) {
    if (outcome.kind === 'usage')
      return { ...outcome, message: `${outcome.message}\n${usageText()}` };
    return outcome;
  }
  if (given.boolean('version')) return { kind: 'print', text: versionText() };
  const file = given.string('config-file') || environment[environmentName('config-file')];
  let values = given;
  let error: string | undefined;
  if (file !== undefined && file !== '') {
    values = new FlagValues();
    error = readFile(file, values, notices);
    notices.push({
      level: 'info',
      message:
        'loaded server configuration, other configuration command line flags and environment ' +
        'variables will be ignored if provided',
      fields: { path: file },
    });
  } else {
    error = readEnvironment(environment, values, notices);
  }
  if (error !== undefined) return { kind: 'invalid', message: error, notices };
  error = applyRenamed(values);
  if (error !== undefined) return { kind: 'invalid', message: error, notices };
  dropDefaultAdvertised(values);
  const config: Parsed<Config> = buildConfig(values);
  if ('error' in config) return { kind: 'invalid', message: config.error, notices };
  describe(values, config.value, notices);
  return { kind: 'start', config: config.value, notices };
}
