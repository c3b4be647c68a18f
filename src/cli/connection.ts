/** Settings of the connection to the servers, from flags to options of the client. */
import { readFileSync } from 'node:fs';
import type { ClientOptions } from '../client/index.ts';
import { ExitCode, ExitError, badArguments } from './exit.ts';
import { systemErrorText } from './failure.ts';
import type { FlagValues } from './flags.ts';
import { quote } from './go-text.ts';
import type { Terminal } from './terminal.ts';

interface SignIn {
  readonly user: string;
  readonly password: string;
}

type Auth = { readonly token: string } | SignIn;

async function authFrom(flags: FlagValues, terminal: Terminal): Promise<Auth | undefined> {
  const token = flags.text('auth-jwt-token');
  if (token !== '') return { token };
  return signInFrom(flags.text('user'), flags.text('password'), 'Password: ', terminal);
}

/** Signing in as etcdctl reads it: the password, else what follows the colon, else ask. */
async function signInFrom(
  user: string,
  password: string,
  prompt: string,
  terminal: Terminal,
): Promise<SignIn | undefined> {
  if (user === '') return undefined;
  if (password !== '') return { user, password };
  const colon = user.indexOf(':');
  if (colon >= 0) return { user: user.slice(0, colon), password: user.slice(colon + 1) };
  const { readPassword } = await import('./password.ts');
  return { user, password: await readPassword(terminal, prompt) };
}

function checkFiles(flags: FlagValues): void {
  for (const name of ['cert', 'key', 'cacert']) {
    if (flags.isSet(name) && flags.text(name) === '') {
      throw badArguments(`empty string is passed to --${name} option`);
    }
  }
}

function readFile(path: string): Uint8Array | undefined {
  if (path === '') return undefined;
  try {
    return readFileSync(path);
  } catch (error) {
    throw badArguments(`open ${path}: ${systemErrorText(error)}`);
  }
}

/** Servers that DNS named answer for its domain, unless DNS may name just any. */
function serverNameFrom(flags: FlagValues): string {
  return flags.boolean('insecure-discovery') ? '' : flags.text('discovery-srv');
}

function tlsFrom(flags: FlagValues): ClientOptions['tls'] {
  const skipsVerify = flags.boolean('insecure-skip-tls-verify');
  return tlsNamed('', flags, serverNameFrom(flags), skipsVerify);
}

/** @param prefix what the names of the flags begin with */
function tlsNamed(
  prefix: string,
  flags: FlagValues,
  serverName = '',
  skipsVerify = false,
): ClientOptions['tls'] {
  const files = ['cert', 'key', 'cacert'].map((name) => flags.text(prefix + name));
  const [certPath = '', keyPath = '', caPath = ''] = files;
  const isWanted =
    [...files, serverName].some((text) => text !== '') ||
    skipsVerify ||
    !flags.boolean(`${prefix}insecure-transport`);
  if (!isWanted) return undefined;
  if ((certPath === '') !== (keyPath === '')) {
    throw badArguments(
      `KeyFile and CertFile must both be present[key: ${keyPath}, cert: ${certPath}]`,
    );
  }
  const [cert, key, ca] = [readFile(certPath), readFile(keyPath), readFile(caPath)];
  return {
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(ca === undefined ? {} : { ca }),
    ...(serverName === '' ? {} : { serverName }),
    insecureSkipVerify: skipsVerify,
  };
}

/** Zero or less stands for what the client does by itself. */
function positive<Name extends string>(
  name: Name,
  value: number,
): { readonly [Key in Name]?: number } {
  return (value > 0 ? { [name]: value } : {}) as { readonly [Key in Name]?: number };
}

export function endpointsFrom(flags: FlagValues): readonly string[] {
  return flags.list('endpoints').map((endpoint) => endpoint.trim());
}

/** What --discovery-srv finds; where that is nothing, and without it, what --endpoints says. */
async function discoveredEndpoints(
  flags: FlagValues,
  { nameServers, warn }: Terminal,
): Promise<readonly string[]> {
  const domain = flags.text('discovery-srv');
  if (domain === '') return endpointsFrom(flags);
  const { discoverEndpoints } = await import('./discovery.ts');
  const query = {
    domain,
    serviceName: flags.text('discovery-srv-name'),
    acceptsInsecure: flags.boolean('insecure-discovery'),
  };
  const found = await discoverEndpoints(query, nameServers, warn);
  return found.length > 0 ? found : endpointsFrom(flags);
}

/** @throws ExitError in etcdctl's words and order */
export async function clientOptions(flags: FlagValues, terminal: Terminal): Promise<ClientOptions> {
  const endpoints = await discoveredEndpoints(flags, terminal);
  checkFiles(flags);
  const auth = await authFrom(flags, terminal);
  const tls = tlsFrom(flags);
  return {
    endpoints,
    ...timeouts(flags),
    ...positive('keepaliveTimeMs', flags.number('keepalive-time')),
    ...positive('keepaliveTimeoutMs', flags.number('keepalive-timeout')),
    ...positive('maxSendBytes', flags.number('max-request-bytes')),
    ...positive('maxReceiveBytes', flags.number('max-recv-bytes')),
    ...(tls === undefined ? {} : { tls }),
    ...(auth === undefined ? {} : 'token' in auth ? { token: auth.token } : { auth }),
  };
}

/**
 * Options of the client for the destination of `make-mirror`: its own servers, TLS and user, all
 * else as for the source.
 *
 * @throws ExitError in etcdctl's words
 */
export async function destinationOptions(
  address: string,
  source: ClientOptions,
  flags: FlagValues,
  terminal: Terminal,
): Promise<ClientOptions> {
  const [user, password] = [flags.text('dest-user'), flags.text('dest-password')];
  const auth = await signInFrom(user, password, 'Destination Password: ', terminal);
  const { tls: _tls, auth: _auth, token: _token, ...rest } = source;
  const tls = tlsNamed('dest-', flags);
  return {
    ...rest,
    endpoints: [address],
    ...(tls === undefined ? {} : { tls }),
    ...(auth === undefined ? {} : { auth }),
  };
}

/** Part of a call's time that is left when no connection was made by then: to say why. */
const tellPart = 0.05;

/**
 * etcdctl waits for a connection as long as the command may take, --dial-timeout or not, so that a
 * server which is just starting is not missed. No time at all is over at once.
 */
function timeouts(flags: FlagValues): Pick<ClientOptions, 'dialTimeoutMs' | 'requestTimeoutMs'> {
  const requestTimeoutMs = Math.max(flags.number('command-timeout'), 1);
  return { dialTimeoutMs: requestTimeoutMs * (1 - tellPart), requestTimeoutMs };
}

export function noEndpoints(): ExitError {
  return new ExitError(
    ExitCode.badConnection,
    'etcdclient: no available endpoints',
    `--endpoints or ETCDCTL_ENDPOINTS names none; try --endpoints=${quote('127.0.0.1:2379')}.`,
  );
}
