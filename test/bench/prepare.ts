/** Puts many keys, a hundred at once. */
import { KV } from '../../src/gen/services.ts';
import { inParallel } from '../support/command.ts';
import { Connection } from './connection.ts';
import { framed, keyOf, putsOf } from './requests.ts';

/** Keys that one transaction puts: fewer than etcd allows. */
const keysPerTxn = 100;
const txnsInFlight = 8;

/** Puts the first so many keys below a prefix. */
export async function putKeys(address: string, prefix: string, count: number): Promise<void> {
  const starts = Array.from({ length: Math.ceil(count / keysPerTxn) }, (_, i) => i * keysPerTxn);
  const connection = await Connection.open(address);
  try {
    await inParallel(starts, txnsInFlight, async (start) => {
      const length = Math.min(keysPerTxn, count - start);
      const keys = Array.from({ length }, (_, i) => keyOf(prefix, start + i));
      await connection.call(KV.methods.txn.path, framed(putsOf(keys)));
    });
  } finally {
    connection.close();
  }
}
