/** Flags that every command takes, and the environment variables that stand in for them. */
import { type FlagDefinition, type FlagValues, off } from './flags.ts';

const formats = ['fields', 'json', 'protobuf', 'simple', 'table'];

const environmentPrefix = 'ETCDCTL_';

/** Variables that are no flags. */
const otherVariables = new Set(['ETCDCTL_API', 'ETCDCTL_WATCH_KEY', 'ETCDCTL_WATCH_RANGE_END']);

export const globalFlags: readonly FlagDefinition[] = [
  {
    name: 'endpoints',
    type: 'list',
    fallback: '127.0.0.1:2379',
    help: 'servers: host:port, http://, https:// or unix://, separated by commas',
  },
  {
    name: 'discovery-srv',
    short: 'd',
    type: 'string',
    fallback: '',
    help: 'domain whose DNS records (SRV) name the servers, instead of --endpoints',
  },
  {
    name: 'discovery-srv-name',
    type: 'string',
    fallback: '',
    help: 'service to look for in --discovery-srv, if the domain has several',
  },
  {
    name: 'insecure-discovery',
    type: 'boolean',
    fallback: 'true',
    help: 'take servers without TLS too from --discovery-srv',
  },
  {
    name: 'write-out',
    short: 'w',
    type: 'string',
    fallback: 'simple',
    help: 'output format: fields, json, protobuf, simple, table',
    choices: formats,
  },
  { ...off, name: 'hex', help: 'print byte strings and ids as hex' },
  {
    name: 'dial-timeout',
    type: 'duration',
    fallback: '2s',
    help: 'time without a server after which watch says so',
  },
  {
    name: 'command-timeout',
    type: 'duration',
    fallback: '5s',
    help: 'time for a command, watch excepted',
  },
  {
    name: 'keepalive-time',
    type: 'duration',
    fallback: '2s',
    help: 'time between pings while an answer is awaited; at least 10s',
  },
  {
    name: 'keepalive-timeout',
    type: 'duration',
    fallback: '6s',
    help: 'time to wait for the answer to a ping',
  },
  {
    name: 'max-request-bytes',
    type: 'integer',
    fallback: '0',
    help: 'largest request to send; 0 is 2 MiB',
  },
  {
    name: 'max-recv-bytes',
    type: 'integer',
    fallback: '0',
    help: 'largest response to accept; 0 is 2 GiB',
  },
  { name: 'cacert', type: 'string', fallback: '', help: 'CA certificates to trust (PEM file)' },
  { name: 'cert', type: 'string', fallback: '', help: "the client's certificate (PEM file)" },
  { name: 'key', type: 'string', fallback: '', help: "key of the client's certificate (PEM file)" },
  {
    name: 'insecure-transport',
    type: 'boolean',
    fallback: 'true',
    help: 'no TLS unless certificates or https:// ask for it',
  },
  {
    ...off,
    name: 'insecure-skip-tls-verify',
    help: "accept any certificate of the server's: only for tests",
  },
  {
    name: 'user',
    type: 'string',
    fallback: '',
    help: 'name[:password]; a missing password is asked for',
  },
  { name: 'password', type: 'string', fallback: '', help: 'password of --user' },
  {
    name: 'auth-jwt-token',
    type: 'string',
    fallback: '',
    help: 'token to present instead of --user and --password',
  },
  { ...off, name: 'debug', help: 'tell settings and causes on stderr' },
];

export function environmentName(flag: string): string {
  return environmentPrefix + flag.toUpperCase().replaceAll('-', '_');
}

/**
 * Fills in from the environment what the command line does not set. What cannot be used is told
 * and passed over, as etcdctl does: a variable may be meant for something else.
 */
export function readEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  flags: FlagValues,
  warn: (line: string) => void,
): void {
  const byVariable = new Map(globalFlags.map((flag) => [environmentName(flag.name), flag]));
  for (const [variable, text] of Object.entries(environment)) {
    if (!variable.startsWith(environmentPrefix) || text === undefined || text === '') continue;
    const flag = byVariable.get(variable);
    if (flag === undefined) {
      if (!otherVariables.has(variable)) warn(`Warning: unrecognized variable ${variable}`);
    } else if (!flags.isSet(flag.name)) {
      const error = flags.set(flag, text);
      if (error !== undefined) warn(`Warning: ${variable} is not used: ${error}`);
    }
  }
}
