/**
 * Messages as data: what their JSON form is made from, while the generated codecs know their own
 * messages only.
 */

export type FieldKind =
  'bool' | 'bytes' | 'enum' | 'int32' | 'int64' | 'message' | 'string' | 'uint32' | 'uint64';

export interface FieldSchema {
  /** As in proto/, e.g. `create_revision`. */
  readonly name: string;
  readonly number: number;
  readonly kind: FieldKind;
  /** Full name of the message or enum, e.g. `mvccpb.KeyValue`. */
  readonly type?: string;
  readonly repeated?: true;
  /** Full name of the group of fields of which one at most is set. */
  readonly oneof?: string;
}

/** What is known of a package's types, by their full names. */
export interface Schemas {
  readonly messages: Readonly<Record<string, readonly FieldSchema[]>>;
  /** Numbers by their names. */
  readonly enums: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Types of request and answer by the method's path. */
  readonly methods: Readonly<Record<string, readonly [request: string, response: string]>>;
}
