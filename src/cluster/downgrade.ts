/**
 * The cluster's downgrade job: what version it is to go back to, if any (etcd: DowngradeInfo). A
 * part of the state, so that every member tells the same and a new leader knows of it.
 */
import { assert } from '../base/assert.ts';
import { fromUtf8, utf8 } from '../base/bytes.ts';
import type { RecordBackend } from '../mvcc/state-backend.ts';
import { type DigestHalves, digestOf, StateDigest } from '../mvcc/state-digest.ts';
import { prefixRange, stateKeys } from '../storage/keyspace.ts';

export interface DowngradeInfo {
  readonly enabled: boolean;
  /** As `3.5.0`; empty without a job. */
  readonly targetVersion: string;
}

const noJob: DowngradeInfo = { enabled: false, targetVersion: '' };
export const downgradeKey = `${stateKeys.cluster}downgrade`;

export class Downgrade {
  readonly #backend: Pick<RecordBackend, 'put'>;
  readonly #digest = new StateDigest();
  #info = noJob;

  private constructor(backend: Pick<RecordBackend, 'put'>) {
    this.#backend = backend;
  }

  static load(
    backend: RecordBackend,
    done: (error: Error | undefined, downgrade: Downgrade | undefined) => void,
  ): void {
    const downgrade = new Downgrade(backend);
    backend.scan(
      prefixRange(downgradeKey),
      1,
      (entries) => {
        for (const [, record] of entries) downgrade.#remember(decodeDowngrade(record));
      },
      (error) => done(error, error === undefined ? downgrade : undefined),
    );
  }

  /** Equal on members that applied the same entries; a part of the hash of the whole state. */
  get stateHash(): bigint {
    return this.#digest.value;
  }

  /** Both halves of {@link stateHash}. */
  get stateDigest(): DigestHalves {
    return this.#digest;
  }

  get info(): DowngradeInfo {
    return this.#info;
  }

  set(info: DowngradeInfo): void {
    this.#remember(info.enabled ? info : noJob);
    this.#backend.put(downgradeKey, encodeDowngrade(this.#info));
  }

  /** A cluster whose job was canceled has the hash of one that never had a job. */
  #remember(info: DowngradeInfo): void {
    if (this.#info.enabled) this.#digest.remove(digestOf(encodeDowngrade(this.#info)));
    this.#info = info;
    if (info.enabled) this.#digest.add(digestOf(encodeDowngrade(info)));
  }
}

/** The record's format; a newer one stops the member. */
const recordVersion = 1;

function encodeDowngrade({ enabled, targetVersion }: DowngradeInfo): Uint8Array {
  return utf8(JSON.stringify({ version: recordVersion, enabled, targetVersion }));
}

export function decodeDowngrade(bytes: Uint8Array): DowngradeInfo {
  const record = JSON.parse(fromUtf8(bytes)) as DowngradeInfo & { readonly version: number };
  assert(record.version === recordVersion, `downgrade record of version ${record.version}`);
  return { enabled: record.enabled, targetVersion: record.targetVersion };
}
