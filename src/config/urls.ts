/** URLs that members listen on and advertise, checked in etcd's words. */
import { isIP } from 'node:net';
import type { Parsed } from '../base/go-values.ts';

export interface HostPort {
  /** Without the brackets of an IPv6 address. */
  readonly host: string;
  readonly port: string;
}

/** Splits `host:port` or `[v6]:port`; undefined if the text has no such form. */
export function splitHostPort(text: string): HostPort | undefined {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*)):([^:]*)$/.exec(text);
  if (match === null) return undefined;
  return { host: match[1] ?? match[2] ?? '', port: match[3] ?? '' };
}

/** What stands between the scheme and the path. */
export function authorityOf(url: string): string {
  return /^[a-z]+:\/\/([^/?#]*)/.exec(url)?.[1] ?? '';
}

export function isUnixUrl(url: string): boolean {
  return /^unixs?:/.test(url);
}

function checkUrl(url: string): string | undefined {
  const scheme = /^([a-zA-Z][a-zA-Z0-9+.-]*):/.exec(url)?.[1]?.toLowerCase();
  if (scheme === 'unix' || scheme === 'unixs') return undefined;
  if (scheme !== 'http' && scheme !== 'https') {
    return `URL scheme must be http, https, unix, or unixs: ${url}`;
  }
  const hostPort = splitHostPort(authorityOf(url));
  if (hostPort === undefined) return `URL address does not have the form "host:port": ${url}`;
  if (!/^\d*$/.test(hostPort.port)) {
    return `parse ${JSON.stringify(url)}: invalid port ":${hostPort.port}" after host`;
  }
  if (Number(hostPort.port) > 65_535) return `invalid port in URL: ${url}`;
  if (/^[a-z]+:\/\/[^/?#]*\//i.test(url)) return `URL must not contain a path: ${url}`;
  return undefined;
}

/** Parses a comma-separated list, without duplicates, sorted as etcd sorts it. */
export function parseUrls(text: string): Parsed<readonly string[]> {
  const urls = text.split(',').map((url) => url.trim());
  for (const url of urls) {
    const error = checkUrl(url);
    if (error !== undefined) return { error };
  }
  return { value: [...new Set(urls)].sort() };
}

/** A member listens on addresses, not on names that may resolve differently tomorrow. */
export function checkBindUrls(urls: readonly string[]): string | undefined {
  for (const url of urls) {
    if (isUnixUrl(url)) continue;
    const hostPort = splitHostPort(authorityOf(url));
    if (hostPort === undefined) return `address ${authorityOf(url)}: missing port in address`;
    if (hostPort.host !== 'localhost' && isIP(hostPort.host) === 0) {
      return `expected IP in URL for binding (${url})`;
    }
  }
  return undefined;
}

/** Others must be able to use an advertised URL, so it needs a host. */
export function checkHostUrls(urls: readonly string[]): string | undefined {
  for (const url of urls) {
    if (isUnixUrl(url)) continue;
    const hostPort = splitHostPort(authorityOf(url));
    if (hostPort === undefined) return `address ${authorityOf(url)}: missing port in address`;
    if (hostPort.host === '') return `unexpected empty host (${url})`;
  }
  return undefined;
}

export interface NamedPeer {
  readonly name: string;
  readonly peerUrls: readonly string[];
}

/** Parses `name=url,name=url`; a name may come more than once, with a URL each time. */
export function parseInitialCluster(text: string): Parsed<readonly NamedPeer[]> {
  const urlsByName = new Map<string, string[]>();
  for (const item of text.split(',')) {
    if (item === '') continue;
    const separator = item.indexOf('=');
    const name = separator < 0 ? item : item.slice(0, separator);
    const url = separator < 0 ? '' : item.slice(separator + 1);
    urlsByName.set(name, [...(urlsByName.get(name) ?? []), url]);
  }
  const members: NamedPeer[] = [];
  for (const [name, urls] of urlsByName) {
    const parsed = parseUrls(urls.join(','));
    if ('error' in parsed) return parsed;
    members.push({ name, peerUrls: parsed.value });
  }
  return { value: members };
}
