/** Every way in which these tests damage the files of members. */
import {
  copyFileSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { present } from '../../src/base/assert.ts';

/** How many members of the five are hit. */
export const scopes = { one: 1, minority: 2, all: 5 } as const;
export type Scope = keyof typeof scopes;

const positions = ['start', 'middle', 'end'] as const;
export type Position = (typeof positions)[number];

/** Kinds with a place in the file, and kinds that concern it as a whole. */
const placedKinds = ['bit flip', 'zeroed block', 'truncation'] as const;
const wholeKinds = ['deletion', 'file of another member', 'swap with another file'] as const;
type PlacedKind = (typeof placedKinds)[number];
type WholeKind = (typeof wholeKinds)[number];

/** Files by what they are to the member. */
const targets = {
  'log: write-ahead log': ['log', /\.log$/],
  'log: table': ['log', /\.ldb$/],
  'log: MANIFEST': ['log', /^MANIFEST/],
  'log: CURRENT': ['log', /^CURRENT$/],
  'state: write-ahead log': ['state', /\.log$/],
  'state: table': ['state', /\.ldb$/],
  'state: MANIFEST': ['state', /^MANIFEST/],
  'state: CURRENT': ['state', /^CURRENT$/],
  'received snapshot: write-ahead log': ['snapshot', /\.log$/],
  'received snapshot: table': ['snapshot', /\.ldb$/],
  'metadata: identity.json': ['', /^identity\.json$/],
  'metadata: term.json': ['', /^term\.json$/],
  'metadata: founding.json': ['', /^founding\.json$/],
} as const;
export type Target = keyof typeof targets;

export interface DamageCase {
  readonly target: Target;
  readonly kind: PlacedKind | WholeKind;
  readonly position: Position | undefined;
  readonly scope: Scope;
}

export function titleOf({ target, kind, position, scope }: DamageCase): string {
  const place = position === undefined ? '' : ` at the ${position}`;
  return `${target}, ${kind}${place}, ${scope}`;
}

/** All cases there are. */
export function allCases(): readonly DamageCase[] {
  const cases: DamageCase[] = [];
  for (const target of Object.keys(targets) as Target[]) {
    for (const scope of Object.keys(scopes) as Scope[]) {
      for (const kind of placedKinds) {
        for (const position of positions) cases.push({ target, kind, position, scope });
      }
      for (const kind of wholeKinds) cases.push({ target, kind, position: undefined, scope });
    }
  }
  return cases;
}

/** Every target with every kind once; places and scopes change from one to the next. */
export function someCases(): readonly DamageCase[] {
  const cases: DamageCase[] = [];
  const names = Object.keys(scopes) as Scope[];
  for (const target of Object.keys(targets) as Target[]) {
    for (const kind of [...placedKinds, ...wholeKinds]) {
      const turn = cases.length + Math.floor(cases.length / 6);
      const position = (placedKinds as readonly string[]).includes(kind)
        ? positions[turn % 3]
        : undefined;
      cases.push({ target, kind, position, scope: names[(turn + 1) % 3] ?? 'one' });
    }
  }
  return cases;
}

/** The members hit: those that received a snapshot are the last ones. */
export function victimsOf<Member>(members: readonly Member[], scope: Scope): readonly Member[] {
  return members.slice(members.length - scopes[scope]);
}

/** The largest file of a kind; undefined if the member has none. */
export function fileOf(directory: string, target: Target): string | undefined {
  const [place, pattern] = targets[target];
  const found = databaseOf(directory, place);
  if (found === undefined) return undefined;
  const names = readdirSync(found).filter((name) => pattern.test(name));
  const paths = names.map((name) => join(found, name));
  paths.sort((a, b) => statSync(b).size - statSync(a).size);
  return paths[0];
}

/** Who received no snapshot has only the state that it was founded with. */
function databaseOf(
  directory: string,
  place: 'log' | 'state' | 'snapshot' | '',
): string | undefined {
  if (place === '' || place === 'log') return join(directory, place);
  const name = readdirSync(directory).find((each) => each.startsWith('state-'));
  return name === undefined ? undefined : join(directory, name);
}

/** Damages one member's file; `other` is another member's directory, which stays as it is. */
export function damage(each: DamageCase, directory: string, other: string): void {
  const path = fileOf(directory, each.target);
  if (path === undefined) throw new Error(`no file for ${titleOf(each)} in ${directory}`);
  switch (each.kind) {
    case 'deletion':
      rmSync(path);
      return;
    case 'file of another member':
      copyFileSync(present(fileOf(other, each.target), `a file for ${titleOf(each)}`), path);
      return;
    case 'swap with another file':
      swap(path, sibling(directory, each.target));
      return;
    default:
      writeFileSync(path, damaged(readFileSync(path), each.kind, each.position ?? 'middle'));
  }
}

function sibling(directory: string, target: Target): string {
  const other: Target = target.startsWith('log: ')
    ? (target.replace('log: ', 'state: ') as Target)
    : target.startsWith('metadata')
      ? 'log: CURRENT'
      : (target.replace(/^(state|received snapshot): /, 'log: ') as Target);
  const path = fileOf(directory, other);
  if (path === undefined) throw new Error(`${directory} has no ${other}`);
  return path;
}

function swap(a: string, b: string): void {
  renameSync(a, `${a}.swapped`);
  renameSync(b, a);
  renameSync(`${a}.swapped`, b);
}

/** At most this much is zeroed: a block of a disk. */
const blockBytes = 4096;

/** Positions are those in what was written: a log has zeros behind it. */
function damaged(bytes: Buffer, kind: PlacedKind, position: Position): Buffer {
  const size = bytes.findLastIndex((byte) => byte !== 0) + 1;
  const last = size - 1;
  const at = { start: 0, middle: last >> 1, end: last }[position];
  if (kind === 'truncation') {
    const cut = { start: 1, middle: size >> 1, end: size - 1 }[position];
    return bytes.subarray(0, cut);
  }
  if (kind === 'bit flip') {
    bytes[at] = (bytes[at] ?? 0) ^ 0x10;
    return bytes;
  }
  const length = Math.min(blockBytes, Math.ceil(size / 4));
  const from = Math.max(0, Math.min(at - (length >> 1), size - length));
  return bytes.fill(0, position === 'start' ? 0 : from, from + length);
}
