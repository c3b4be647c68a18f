/** Endpoints as etcd's clients write them (clientv3: internal/endpoint), as grpc-js takes them. */
import { isIP } from 'node:net';
import { basename } from 'node:path';

export interface Address {
  /** grpc-js's name of it. */
  readonly target: string;
  /** Whether TLS is used: always, never, or if it is configured. */
  readonly tls: 'always' | 'never' | 'configured';
  /** The name to ask for in TLS and to check the certificate against, if it is not the host. */
  readonly serverName: string | undefined;
  /** The host if it is an IP address: the certificate must be for it, whatever the name. */
  readonly ip: string | undefined;
}

/** Host and port, the host in brackets if it is an IPv6 address. */
const hostAndPort = /^(\[[0-9a-fA-F:.%]+\]|[^:/?#[\]\s]+):(\d{1,5})$/;

/**
 * Understands `host:port`, `http://host:port`, `https://host:port` and for sockets in the file
 * system `unix:path`, `unix://path`, `unix:///absolute/path`, and the same with `unixs` for TLS.
 *
 * @throws RangeError for anything else
 */
export function parseAddress(endpoint: string): Address {
  const socket = /^(unixs?):(?:\/\/)?(.+)$/s.exec(endpoint);
  if (socket !== null) {
    const [, scheme, path = ''] = socket;
    return {
      target: path.startsWith('/') ? `unix://${path}` : `unix:${path}`,
      tls: scheme === 'unixs' ? 'always' : 'configured',
      // `unixs:localhost:2379` is a file of that name and a certificate for localhost.
      serverName: basename(path).replace(/:\d+$/, ''),
      ip: undefined,
    };
  }
  const [, scheme, rest = ''] = /^(?:(https?):\/\/)?(.*)$/s.exec(endpoint) ?? [];
  const host = scheme === undefined ? rest : rest.replace(/[/?#].*$/s, '');
  const match = hostAndPort.exec(host);
  if (match === null || Number(match[2]) > 65_535) {
    throw new RangeError(`endpoint ${JSON.stringify(endpoint)} is not of the form host:port`);
  }
  const name = (match[1] as string).replace(/^\[|\]$/g, '');
  const ip = isIP(name) === 0 ? undefined : name;
  return {
    target: `dns:${host}`,
    tls: scheme === 'https' ? 'always' : scheme === 'http' ? 'never' : 'configured',
    // TLS has no way to ask for an address, and Node warns of trying it.
    serverName: ip === undefined ? undefined : 'localhost',
    ip,
  };
}
