/** What a client is made of. */

export interface TlsOptions {
  /** Certificates of the authorities to trust, PEM. Default: those that Node trusts. */
  readonly ca?: Uint8Array;
  /** The client's own certificate chain and key, PEM; both or neither. */
  readonly cert?: Uint8Array;
  readonly key?: Uint8Array;
  /** The name that certificates of all servers must be for, whatever their endpoints say. */
  readonly serverName?: string;
  /** Accepts any certificate of the server. For tests: whoever is in between can read along. */
  readonly insecureSkipVerify?: boolean;
}

export interface ClientOptions {
  /**
   * One endpoint, several separated by commas, or a list: `host:port`, `http://host:port`,
   * `https://host:port`, `unix:path`, `unix:///path` or `unixs:path`. The first one that answers is
   * used until it fails. Default `127.0.0.1:2379`.
   */
  readonly endpoints?: string | readonly string[];
  /** How long a call waits until any endpoint is connected, in milliseconds. Default 2,000. */
  readonly dialTimeoutMs?: number;
  /** Time of one unary call in milliseconds, all tries included. Default 5,000. */
  readonly requestTimeoutMs?: number;
  /**
   * Time between pings while calls are in progress, in milliseconds. Default and least 10,000, as
   * in etcd's client: servers close connections that ping more often than they like.
   */
  readonly keepaliveTimeMs?: number;
  /** How long a ping may stay without answer before the connection is given up. Default 6,000. */
  readonly keepaliveTimeoutMs?: number;
  /** Largest request in bytes. Default 2 MiB, somewhat above what servers take. */
  readonly maxSendBytes?: number;
  /** Largest response in bytes. Default 2^31-1. */
  readonly maxReceiveBytes?: number;
  /**
   * TLS for endpoints with `https:`, `unixs:` or no scheme. `http:` endpoints do without; `https:`
   * without these options trusts what Node trusts.
   */
  readonly tls?: TlsOptions;
  /** Signs in before the first call, and again when the server refuses the token. */
  readonly auth?: { readonly user: string; readonly password: string };
  /** A ready token, such as a JWT, sent with every call. Excludes `auth`. */
  readonly token?: string;
}

export interface CallOptions {
  /** Aborting it ends the call, which rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Overrides `requestTimeoutMs` for this call. `Infinity` is no limit. */
  readonly timeoutMs?: number;
  /** Asks the member to refuse (`etcdserver: no leader`) while it knows no leader. */
  readonly hasLeader?: boolean;
}

/** Options with every default filled in. */
export interface Settings {
  readonly endpoints: readonly string[];
  readonly dialTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly keepaliveTimeMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly maxSendBytes: number;
  readonly maxReceiveBytes: number;
  readonly tls: TlsOptions | undefined;
  readonly auth: { readonly user: string; readonly password: string } | undefined;
  readonly token: string | undefined;
}

/** grpc-go pings no more often than this, and etcd closes connections at twice the rate. */
const keepaliveTimeLeastMs = 10_000;

function positive(name: string, value: number): number {
  if (!(value > 0)) throw new RangeError(`${name} must be above 0, got ${value}`);
  return value;
}

function endpointsOf(given: string | readonly string[] = '127.0.0.1:2379'): readonly string[] {
  const list = typeof given === 'string' ? given.split(',') : given;
  const endpoints = [...new Set(list.map((endpoint) => endpoint.trim()))].filter(
    (endpoint) => endpoint !== '',
  );
  if (endpoints.length === 0) throw new RangeError('at least one endpoint is required');
  return endpoints;
}

/** @throws RangeError for values that cannot be meant, TypeError for such combinations */
export function settingsOf(options: ClientOptions): Settings {
  const { tls, auth, token } = options;
  if (auth !== undefined && token !== undefined) {
    throw new TypeError('auth and token exclude each other');
  }
  if ((tls?.cert === undefined) !== (tls?.key === undefined)) {
    throw new TypeError('a certificate needs its key, and a key its certificate');
  }
  const keepaliveTimeMs = positive('keepaliveTimeMs', options.keepaliveTimeMs ?? 10_000);
  return {
    endpoints: endpointsOf(options.endpoints),
    dialTimeoutMs: positive('dialTimeoutMs', options.dialTimeoutMs ?? 2000),
    requestTimeoutMs: positive('requestTimeoutMs', options.requestTimeoutMs ?? 5000),
    keepaliveTimeMs: Math.max(keepaliveTimeMs, keepaliveTimeLeastMs),
    keepaliveTimeoutMs: positive('keepaliveTimeoutMs', options.keepaliveTimeoutMs ?? 6000),
    maxSendBytes: positive('maxSendBytes', options.maxSendBytes ?? 2 * 1024 * 1024),
    maxReceiveBytes: positive('maxReceiveBytes', options.maxReceiveBytes ?? 2 ** 31 - 1),
    tls,
    auth,
    token,
  };
}
