/**
 * How far a member has come in founding its cluster, in a small file beside the log: no repair of
 * the log and no received state takes it away. What it is for: `cluster/founding.ts`.
 */
import type { MemberId } from '../raft/index.ts';
import { fieldsOf, idText, sealedText } from './identity.ts';

const formatVersion = 1;

/** Another member, as it was when this one first heard of it. */
export interface Acquaintance {
  readonly member: MemberId;
  /** The life of its data directory: another one was made anew since. */
  readonly life: bigint;
  /** This member did not take part yet. */
  readonly early: boolean;
}

export interface FoundingRecord {
  /** A random number, not zero, that tells this data directory from an earlier one. */
  readonly life: bigint;
  /** This member votes and acknowledges; for ever. */
  readonly takesPart: boolean;
  readonly acquaintances: readonly Acquaintance[];
}

export function encodeFounding(memberId: MemberId, record: FoundingRecord): string {
  return sealedText({
    format: formatVersion,
    memberId: idText(memberId),
    life: idText(record.life),
    takesPart: record.takesPart,
    acquaintances: record.acquaintances
      .map(({ member, life, early }) => `${idText(member)}:${idText(life)}:${early ? 1 : 0}`)
      .join(' '),
  });
}

/** The record; undefined unless the text is whole and of this member. */
export function decodeFounding(text: string, memberId: MemberId): FoundingRecord | undefined {
  const { life: lifeText, takesPart, acquaintances } = fieldsOf(text) ?? {};
  const life = idOf(lifeText);
  if (life === undefined || typeof takesPart !== 'boolean') return undefined;
  if (typeof acquaintances !== 'string') return undefined;
  const known = acquaintances.split(' ').filter((each) => each !== '');
  const record = {
    life,
    takesPart,
    acquaintances: known.map((each) => {
      const [member, itsLife, early] = each.split(':');
      return { member: idOf(member) ?? 0n, life: idOf(itsLife) ?? 0n, early: early === '1' };
    }),
  };
  // What is not exactly what would have been written, checksum included, was damaged.
  return text === encodeFounding(memberId, record) ? record : undefined;
}

function idOf(text: unknown): bigint | undefined {
  return typeof text === 'string' && /^[0-9a-f]{1,16}$/.test(text)
    ? BigInt(`0x${text}`)
    : undefined;
}
