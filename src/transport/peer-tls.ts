/** TLS between members. */
import { ServerCredentials } from '@grpc/grpc-js';
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

/** As `node:tls` wants them, to dial a peer with. */
export function certificatesOf({ certificate, key, authority }: PeerTls): Certificates {
  const own = { cert: buffer(certificate), key: buffer(key) };
  return authority === undefined ? own : { ...own, ca: buffer(authority) };
}

/** To serve peers at an address. @throws Error if it needs certificates that are not there */
export function serverCredentials(address: URL, tls: PeerTls | undefined): ServerCredentials {
  if (address.protocol === 'http:') return ServerCredentials.createInsecure();
  if (tls === undefined) throw new Error(`${address.href} needs a certificate and a key`);
  const { cert, key, ca = null } = certificatesOf(tls);
  const pair = { private_key: key, cert_chain: cert };
  return ServerCredentials.createSsl(ca, [pair], tls.requireCertificate);
}
