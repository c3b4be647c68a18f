/** Peer URLs as requests give them (etcd: client/pkg/types.NewURLs). */

/** Sorted, without spaces around them; undefined if there are none, or one that is unusable. */
export function parsePeerUrls(urls: readonly string[]): readonly string[] | undefined {
  const trimmed = urls.map((url) => url.trim());
  if (trimmed.length === 0 || !trimmed.every(isPeerUrl)) return undefined;
  return trimmed.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** A scheme, a host with a port, and nothing behind it. */
function isPeerUrl(url: string): boolean {
  if (/^unixs?:/.test(url)) return true;
  const match = /^https?:\/\/(?:\[[^\]/]*\]|[^:[\]/?#]*):(\d*)$/.exec(url);
  return match !== null && Number(match[1]) <= 65_535;
}
