/** Endpoints that a domain names in DNS, as etcdctl finds them (etcd: client/pkg/srv/srv.go). */
import { Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import { ExitCode, ExitError } from './exit.ts';
import { quote } from './go-text.ts';

/** Wait for an answer of a name server, in milliseconds: what resolv.conf says by default. */
const answerTimeoutMs = 5000;
/** How often each name server is asked: one lost datagram is not a failure. */
const tries = 2;

export interface DiscoveryQuery {
  readonly domain: string;
  /** Tells several clusters of one domain apart; empty if there is only one. */
  readonly serviceName: string;
  /** Whether endpoints without TLS may be used. */
  readonly acceptsInsecure: boolean;
}

type Records = Awaited<ReturnType<Resolver['resolveSrv']>>;
type Scheme = 'https' | 'http';

/** Those of the lowest priority first; of equal ones each is first as often as its weight says. */
function inOrder(records: Records): Records {
  const keyed = records.map((record) => ({
    record,
    // Exponential waits race in proportion to their rates; a weight of zero is almost never first.
    wait: -Math.log(1 - Math.random()) / (record.weight || Number.EPSILON),
  }));
  keyed.sort((a, b) => a.record.priority - b.record.priority || a.wait - b.wait);
  return keyed.map(({ record }) => record);
}

/** Without the dot at the end that Go leaves there: the system's list of hosts has none. */
function hostOf(target: string): string {
  return isIP(target) === 6 ? `[${target}]` : target.replace(/\.$/, '');
}

/** The address of a name server, with its port, as Go writes it. */
function serverIn(resolver: Resolver): string {
  const [server = ''] = resolver.getServers();
  if (isIP(server) === 6) return `[${server}]:53`;
  return isIP(server) === 4 ? `${server}:53` : server;
}

/** Go's words for what c-ares calls by a code. */
const reasons: Readonly<Record<string, string>> = {
  ENOTFOUND: 'no such host',
  ENODATA: 'no such host',
  EBADNAME: 'no such host',
  ESERVFAIL: 'server misbehaving',
  EREFUSED: 'server misbehaving',
  ENOTIMP: 'server misbehaving',
  EFORMERR: 'server misbehaving',
  EBADRESP: 'server misbehaving',
  ETIMEOUT: 'i/o timeout',
  ECONNREFUSED: 'connection refused',
};

function lookupError(name: string, error: unknown, resolver: Resolver): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  // A name that cannot be one is not asked for.
  const on = code === 'EBADNAME' ? '' : ` on ${serverIn(resolver)}`;
  return `lookup ${name}${on}: ${reasons[code] ?? message}`;
}

function recordName(scheme: Scheme, { serviceName, domain }: DiscoveryQuery): string {
  const ssl = scheme === 'https' ? '-ssl' : '';
  const suffix = serviceName === '' ? '' : `-${serviceName}`;
  return `_etcd-client${ssl}${suffix}._tcp.${domain}`;
}

type Lookup = { readonly endpoints: readonly string[] } | { readonly error: string };

async function lookUp(scheme: Scheme, query: DiscoveryQuery, resolver: Resolver): Promise<Lookup> {
  const name = recordName(scheme, query);
  try {
    const records = await resolver.resolveSrv(name);
    // A target without a name says that there is no such service (RFC 2782).
    const offered = inOrder(records.filter(({ name: target }) => !['', '.'].includes(target)));
    return {
      endpoints: offered.map((record) => `${scheme}://${hostOf(record.name)}:${record.port}`),
    };
  } catch (error) {
    return { error: lookupError(name, error, resolver) };
  }
}

/**
 * Asks for endpoints with TLS and for those without. That one of the two kinds is missing is
 * usual; only both is an error.
 *
 * @param nameServers `address:port` of whom to ask; those of the system if undefined
 * @param warn is told each endpoint that is left out for want of TLS
 */
export async function discoverEndpoints(
  query: DiscoveryQuery,
  nameServers: readonly string[] | undefined,
  warn: (line: string) => void,
): Promise<readonly string[]> {
  const resolver = new Resolver({ timeout: answerTimeoutMs, tries });
  if (nameServers !== undefined) resolver.setServers(nameServers);
  const [secure, insecure] = await Promise.all([
    lookUp('https', query, resolver),
    lookUp('http', query, resolver),
  ]);
  if ('error' in secure && 'error' in insecure) {
    throw new ExitError(
      ExitCode.error,
      `dns lookup errors: ${secure.error} and ${insecure.error}`,
      `Endpoints are taken from SRV records of ${query.domain}; --endpoints names them directly.`,
    );
  }
  const found = 'endpoints' in secure ? [...secure.endpoints] : [];
  for (const endpoint of 'endpoints' in insecure ? insecure.endpoints : []) {
    if (query.acceptsInsecure) found.push(endpoint);
    else warn(`ignoring discovered insecure endpoint ${quote(endpoint)}`);
  }
  return found;
}
