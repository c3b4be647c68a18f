/** What members with new data directories hear of each other. */
import type { Introduction } from '../../src/cluster/founding.ts';
import type { FoundingRecord } from '../../src/storage/founding-file.ts';

export const self = 1n;
export const life = 100n;
export const nobody = { ids: [], spare: 0, removed: [] };
export const fresh: FoundingRecord = { life, takesPart: false, acquaintances: [] };

/** What member 2, 3 ... says. */
export function says(member: bigint, change: Partial<Introduction> = {}): Introduction {
  return {
    life: 100n * member,
    takesPart: false,
    asks: false,
    noted: 0n,
    early: false,
    announced: false,
    witnesses: nobody,
    ...change,
  };
}

export const early = { noted: life, early: true } as const;
export const late = { noted: life, takesPart: true } as const;
