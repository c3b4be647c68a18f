/** Asks a member, by its URL alone, who is in its cluster (etcd: GET /members on the peer port). */
import { Client, credentials } from '@grpc/grpc-js';
import { buffer, emptyBytes } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { describePath } from './grpc-transport.ts';
import { peerUrl, target } from './peer-url.ts';

/** For a member that answers at all (etcd: peerRequestTimeout is of this order). */
const answerTimeoutMs = 5_000;

/** Rejects with words for the operator. */
export function askForCluster(url: string, clock: Clock): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const client = new Client(target(peerUrl(url)), credentials.createInsecure(), {
      'grpc.enable_http_proxy': 0,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.service_config_disable_resolution': 1,
    });
    const identity = (bytes: Uint8Array): Buffer => buffer(bytes);
    const deadline = clock.wallMs() + answerTimeoutMs;
    client.makeUnaryRequest(
      describePath,
      identity,
      (bytes: Buffer) => bytes,
      emptyBytes,
      { deadline },
      (error, answer) => {
        client.close();
        if (answer !== undefined) resolve(answer);
        else reject(new Error(error?.details ?? 'no answer'));
      },
    );
  });
}
