/** The store as simply as can be: every revision's keys in a map of their own. */
import { crc32c } from '../../../src/base/crc32c.ts';
import { KeyValue } from '../../../src/gen/kv.ts';

export interface ModelKeyValue {
  readonly key: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly value: string;
  readonly lease: bigint;
}

export interface ModelEvent {
  readonly revision: number;
  readonly key: string;
  /** Undefined for a delete. */
  readonly kv: ModelKeyValue | undefined;
  readonly previous: ModelKeyValue | undefined;
}

export type Change =
  | { readonly put: string; readonly value: string; readonly lease: bigint }
  | { readonly delete: string; readonly end: string | undefined };

type Keys = ReadonlyMap<string, ModelKeyValue>;

export function inRange(key: string, low: string, end: string | undefined): boolean {
  if (end === undefined) return key === low;
  return key >= low && (end === '\0' || key < end);
}

/** A row of etcd's database. */
interface Row {
  readonly main: number;
  readonly sub: number;
  readonly key: string;
  readonly kv: ModelKeyValue | undefined;
}

export class Model {
  /** The keys at each revision, from 0 on. */
  readonly #states: Keys[] = [new Map(), new Map()];
  readonly events: ModelEvent[] = [];
  #rows: Row[] = [];
  compactedRevision = -1;

  get revision(): number {
    return this.#states.length - 1;
  }

  /** Makes a revision of changes, none of which may touch a key that another does. */
  change(changes: readonly Change[]): void {
    const before = this.#states.at(-1) as Keys;
    const after = new Map(before);
    const revision = this.revision + 1;
    const events: ModelEvent[] = [];
    const add = (key: string, kv: ModelKeyValue | undefined): void => {
      this.#rows.push({ main: revision, sub: events.length, key, kv });
      events.push({ revision, key, kv, previous: before.get(key) });
      if (kv === undefined) after.delete(key);
      else after.set(key, kv);
    };
    for (const change of changes) {
      if ('put' in change) {
        const { put: key, value, lease } = change;
        const old = before.get(key);
        add(key, {
          key,
          createRevision: old?.createRevision ?? revision,
          modRevision: revision,
          version: (old?.version ?? 0) + 1,
          value,
          lease,
        });
      } else {
        const keys = [...after.keys()].filter((key) => inRange(key, change.delete, change.end));
        for (const key of keys.sort()) add(key, undefined);
      }
    }
    if (events.length === 0) return;
    this.#states.push(after);
    this.events.push(...events);
  }

  range(low: string, end: string | undefined, revision: number): ModelKeyValue[] {
    const keys = this.#states[revision] as Keys;
    return [...keys.values()]
      .filter(({ key }) => inRange(key, low, end))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** Deletes what etcd deletes: all but the newest row of each key, and older tombstones. */
  compact(revision: number): void {
    this.compactedRevision = revision;
    const newest = new Map<string, Row>();
    for (const row of this.#rows) if (row.main <= revision) newest.set(row.key, row);
    this.#rows = this.#rows.filter((row) => {
      if (row.main > revision) return true;
      return newest.get(row.key) === row && (row.kv !== undefined || row.main === revision);
    });
  }

  /** Rows that compaction has left: what the backend holds once the removing is done. */
  get rowCount(): number {
    return this.#rows.length;
  }

  get rowKeyCount(): number {
    return new Set(this.#rows.map(({ key }) => key)).size;
  }

  /** Etcd's HashKV, word for word what its documentation and source say it covers. */
  hash(revision: number): number {
    const live = this.range('', '\0', revision);
    const keep = new Map(live.map((kv) => [kv.key, kv.modRevision]));
    let crc = crc32c(Buffer.from('key'));
    for (const { main, sub, key, kv } of this.#rows) {
      if (main > revision) continue;
      if (main <= this.compactedRevision && keep.size > 0 && keep.get(key) !== main) continue;
      if (main === this.compactedRevision && kv === undefined) continue;
      const bucketKey = Buffer.alloc(kv === undefined ? 18 : 17, 't');
      bucketKey.writeBigInt64BE(BigInt(main), 0);
      bucketKey.write('_', 8);
      bucketKey.writeBigInt64BE(BigInt(sub), 9);
      crc = crc32c(bucketKey, crc);
      const fields = kv === undefined ? {} : { ...kv, value: Buffer.from(kv.value) };
      crc = crc32c(KeyValue.encode(KeyValue.create({ ...fields, key: Buffer.from(key) })), crc);
    }
    return crc;
  }
}
