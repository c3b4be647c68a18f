/** Whose a data directory is: a small readable file, checked before anything else is opened. */
import { crc32 } from 'node:zlib';
import { DataDirectoryError } from './errors.ts';

/** Version of everything in the directory; raised when older programs must not open it any more. */
const directoryFormatVersion = 1;

export interface Identity {
  readonly memberId: bigint;
  readonly clusterId: bigint;
}

export interface StoredIdentity extends Identity {
  /** Log and state were there once: from then on a missing one is damage, not a first start. */
  readonly ready: boolean;
}

export function idText(id: bigint): string {
  return id.toString(16);
}

/** The fields of a small readable file, in the order in which their checksum covers them. */
type Fields = Readonly<Record<string, string | number | boolean>>;

function checksum(fields: Fields): string {
  return crc32(Object.values(fields).join(' ')).toString(16).padStart(8, '0');
}

/** Such a file: its fields, and a checksum over them. */
export function sealedText(fields: Fields): string {
  return `${JSON.stringify({ ...fields, checksum: checksum(fields) }, undefined, 2)}\n`;
}

/** The fields that such a file may have, none of them checked; undefined if it has none. */
export function fieldsOf(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

export function encodeIdentity(identity: StoredIdentity): string {
  return sealedText({
    format: directoryFormatVersion,
    memberId: idText(identity.memberId),
    clusterId: idText(identity.clusterId),
    ready: identity.ready,
  });
}

/** @param where names the file in errors */
export function decodeIdentity(text: string, where: string): StoredIdentity {
  const damaged = (how: string): never => {
    throw new DataDirectoryError('damaged', `${where} is damaged: ${how}`);
  };
  const fields: ParsedFields = fieldsOf(text) ?? damaged('it is not what was written');
  const { format, memberId, clusterId, ready } = fields;
  // The version comes first: a later one may have other fields and another checksum.
  if (typeof format !== 'number' || !Number.isSafeInteger(format)) damaged('it has no version');
  if (Number(format) > directoryFormatVersion) {
    throw new DataDirectoryError(
      'newerVersion',
      `${where} says that a newer version wrote this data directory (format ${String(format)}); ` +
        `this version knows formats up to ${directoryFormatVersion}`,
    );
  }
  if (typeof memberId !== 'string' || typeof clusterId !== 'string') damaged('ids are missing');
  const known = {
    format: Number(format),
    memberId: String(memberId),
    clusterId: String(clusterId),
    ready: ready === true,
  };
  if (fields['checksum'] !== checksum(known)) damaged('its checksum is wrong');
  return {
    memberId: BigInt(`0x${known.memberId}`),
    clusterId: BigInt(`0x${known.clusterId}`),
    ready: known.ready,
  };
}

interface ParsedFields {
  readonly [name: string]: unknown;
  readonly format?: unknown;
  readonly memberId?: unknown;
  readonly clusterId?: unknown;
  readonly ready?: unknown;
}
