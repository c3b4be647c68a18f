/** Counts calls by the version of the API that their clients say they speak. */
import { isUtf8 } from 'node:buffer';
import { EtcdError } from '../../base/errors.ts';
import type { Counter, Metrics } from '../../base/metrics.ts';

/** Clients may say anything, and each version is kept for ever: those after so many are `other`. */
const versionsMax = 100;
/** Longer ones are `other`, too. */
const versionBytesMax = 32;

/** Of calls that say nothing, as in etcd. */
const unknownVersion = 'unknown';
const otherVersion = 'other';

export class ClientVersions {
  readonly #counterOf: (version: string) => Counter;
  /** By version as it came, whose bytes are known to be UTF-8. */
  readonly #counters = new Map<string, Counter>();
  #unknown: Counter | undefined;
  /** Most calls are of clients that speak the same version as the one before. */
  #lastVersion: string | undefined;
  #last: Counter | undefined;

  /** @param type `unary` or `stream`, as in etcd */
  constructor(metrics: Metrics, type: string) {
    const counter = metrics.counter(
      'etcd_server_client_requests_total',
      'Calls, by the version that their clients say they speak.',
      ['type', 'client_api_version'],
    );
    this.#counterOf = (version) => counter(type, version);
  }

  /**
   * @param version bytes as Latin-1; undefined if the call has none
   * @throws EtcdError `invalidClientApiVersion` if it is not UTF-8
   */
  counterOf(version: string | undefined): Counter {
    if (version === undefined) return (this.#unknown ??= this.#counterOf(unknownVersion));
    if (version === this.#lastVersion && this.#last !== undefined) return this.#last;
    const counter = this.#counters.get(version) ?? this.#meet(version);
    this.#lastVersion = version;
    this.#last = counter;
    return counter;
  }

  #meet(version: string): Counter {
    const bytes = Buffer.from(version, 'latin1');
    if (!isUtf8(bytes)) throw new EtcdError('invalidClientApiVersion');
    const isKept = bytes.length <= versionBytesMax && this.#counters.size < versionsMax;
    if (!isKept) return this.#counterOf(otherVersion);
    const counter = this.#counterOf(bytes.toString());
    this.#counters.set(version, counter);
    return counter;
  }
}
