/** How much memory a server has, as its metrics tell. */
import { get as getPlainly } from 'node:http';
import { get as getWithTls } from 'node:https';
import { buffer } from '../base/bytes.ts';
import type { TlsOptions } from '../client/index.ts';

const metric = 'process_resident_memory_bytes';
/** No server takes longer for its metrics, in milliseconds. */
const timeoutMs = 30_000;

function tlsOptions({ ca, cert, key, serverName, insecureSkipVerify }: TlsOptions): object {
  return {
    ...(ca === undefined ? {} : { ca: buffer(ca) }),
    ...(cert === undefined ? {} : { cert: buffer(cert) }),
    ...(key === undefined ? {} : { key: buffer(key) }),
    ...(serverName === undefined ? {} : { servername: serverName }),
    rejectUnauthorized: insecureSkipVerify !== true,
  };
}

function read(url: string, tls: TlsOptions | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { timeout: timeoutMs, agent: false } as const;
    const request = url.startsWith('https:')
      ? getWithTls(url, { ...options, ...tlsOptions(tls ?? {}) })
      : getPlainly(url, options);
    request.on('timeout', () => request.destroy(new Error('no answer in time')));
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => (text += part));
      response.on('error', reject);
      response.on('end', () => resolve(text));
    });
  });
}

/**
 * Memory of the server at an endpoint, in bytes.
 *
 * @throws Error in etcdctl's words if it does not tell
 */
export async function residentMemory(
  endpoint: string,
  tls: TlsOptions | undefined,
): Promise<number> {
  const scheme = tls === undefined ? 'http' : 'https';
  const base = /^https?:\/\//.test(endpoint) ? endpoint : `${scheme}://${endpoint}`;
  const url = `${base.replace(/\/+$/, '')}/metrics`;
  let text: string;
  try {
    text = await read(url, tls);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`fetch error: ${reason}`, { cause: error });
  }
  const value = new RegExp(`^${metric}\\s+(\\S+)`, 'm').exec(text)?.[1];
  if (value === undefined) throw new Error(`could not find: ${metric}`);
  return Number(value);
}
