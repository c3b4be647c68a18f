/** TLS between members. */
import { buffer } from '../base/bytes.ts';

/** Certificates of the peer ports, as PEM. */
export interface PeerTls {
  readonly certificate: Uint8Array;
  readonly key: Uint8Array;
  /** Who signed the other members' certificates; the system's authorities if absent. */
  readonly authority?: Uint8Array;
  /** Refuse peers without a certificate signed by `authority`. */
  readonly requireCertificate: boolean;
}

interface Certificates {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca?: Buffer;
}

/** As `node:tls` wants them. */
export function certificatesOf({ certificate, key, authority }: PeerTls): Certificates {
  const own = { cert: buffer(certificate), key: buffer(key) };
  return authority === undefined ? own : { ...own, ca: buffer(authority) };
}
