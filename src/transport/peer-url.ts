/** Where a peer is, as its URL says. */

/** @throws Error if that is no URL of a peer */
export function peerUrl(url: string): URL {
  const address = URL.canParse(url) ? new URL(url) : undefined;
  if (address === undefined || !['http:', 'https:'].includes(address.protocol)) {
    throw new Error(`not a peer URL: ${url}`);
  }
  return address;
}

/** The host as `node:net` wants it: an address of IPv6 without its brackets. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}

/** URL drops a scheme's usual port. */
export function portOf({ port, protocol }: URL): number {
  if (port !== '') return Number(port);
  return protocol === 'http:' ? 80 : 443;
}
