/** Asks a member, by its URL alone, who is in its cluster (etcd: GET /members on the peer port). */
import { emptyBytes } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { DialledStream } from './dialled-stream.ts';
import { describePath } from './grpc-transport.ts';
import { defaultLimits } from './limits.ts';
import { peerUrl } from './peer-url.ts';

/** For a member that answers at all (etcd: peerRequestTimeout is of this order). */
const answerTimeoutMs = 5_000;
const windowBytes = 1024 * 1024;

/** Rejects with words for the operator. */
export function askForCluster(url: string, clock: Clock): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const options = {
      address: peerUrl(url),
      path: describePath,
      tls: undefined,
      windowBytes,
      frameLimitBytes: defaultLimits.frameBytes,
      clock,
    };
    const stream = new DialledStream(options, {
      frame: (answer) => {
        end();
        resolve(answer);
      },
      closed: (reason) => {
        end();
        reject(new Error(reason));
      },
    });
    const timer = clock.after(answerTimeoutMs, () => {
      end();
      reject(new Error('no answer'));
    });
    const end = (): void => {
      timer.cancel();
      stream.close();
    };
    stream.write(emptyBytes, () => {});
    stream.finish();
  });
}
