/**
 * What a disk may hold after the power was cut at one moment of a recorded run.
 *
 * Assumed is only what POSIX promises, and no file system's better manners:
 * - fsync or fdatasync of a file that returned makes durable what was written to it before the
 *   call, and the size that is needed to read it. It says nothing of the file's name.
 * - fsync of a directory that returned makes durable the names made, changed and removed in it
 *   before the call. It says nothing of what the files hold.
 * - A rename happens as a whole or not at all.
 * - A sector of 512 bytes is old or new, never a mixture.
 *
 * Everything else is left to chance, each thing for itself, whatever came earlier or later: names
 * that were not synced; of each file the pieces that were not synced, and its size, which may have
 * grown over data that never arrived and reads as zeros.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Random } from '../../../src/base/random.ts';
import type { ContentChange, Inode, NamesChange, RecordedDisk, Span } from './recorded-disk.ts';

/** Which of the names that were not synced are on the disk. */
export const namesModes = ['none', 'all', 'any', 'earlier'] as const;
export type NamesMode = (typeof namesModes)[number];

/** What is on the disk of the writes to a file that were not synced. */
export const contentModes = ['none', 'all', 'zeros', 'beginning', 'sectors', 'pages'] as const;
export type ContentMode = (typeof contentModes)[number];

export interface Survival {
  readonly names: NamesMode;
  /** For all files, or chosen for each. */
  readonly content: ContentMode | 'any';
}

export type Image = DirectoryImage | FileImage;
export interface DirectoryImage {
  readonly kind: 'directory';
  readonly entries: ReadonlyMap<string, Image>;
}
export interface FileImage {
  readonly kind: 'file';
  readonly bytes: Buffer;
}

/** A directory in a directory, and so on: more is an error in the model. */
const depthLimit = 20;
const sectorBytes = 512;
const pageBytes = 4096;

export function chooseSurvival(random: Random): Survival {
  const names = namesModes[random.below(namesModes.length)] as NamesMode;
  const mode = random.below(contentModes.length + 3);
  return { names, content: contentModes[mode] ?? 'any' };
}

/**
 * The beginning of the last sync that had returned at `moment`: what had ended by then is durable.
 */
function durableUpTo(syncs: readonly Span[], moment: number): number {
  let latest = -1;
  for (const { begin, end } of syncs) if (end <= moment) latest = Math.max(latest, begin);
  return latest;
}

/** What is left of the disk; the same random numbers give the same. */
export function imageAfterCut(
  disk: RecordedDisk,
  moment: number,
  survival: Survival,
  random: Random,
): DirectoryImage {
  const names = survivingNames(disk, moment, survival.names, random);
  const files = new Map<Inode, FileImage>();
  const image = (inode: Inode, depth: number): Image => {
    if (depth > depthLimit) throw new Error('directories within each other');
    if (!inode.isDirectory) {
      const known = files.get(inode);
      if (known !== undefined) return known;
      const bytes = survivingContent(inode, moment, survival.content, random);
      const file: FileImage = { kind: 'file', bytes };
      files.set(inode, file);
      return file;
    }
    const entries = new Map<string, Image>();
    for (const [name, child] of names.get(inode) ?? []) entries.set(name, image(child, depth + 1));
    return { kind: 'directory', entries };
  };
  return image(disk.root, 0) as DirectoryImage;
}

type Names = Map<Inode, Map<string, Inode>>;

function survivingNames(
  disk: RecordedDisk,
  moment: number,
  mode: NamesMode,
  random: Random,
): Names {
  // A journal that keeps the order of names holds those up to some moment.
  const journalEnd = random.next() * moment;
  const names: Names = new Map();
  for (const change of disk.namesChanges) {
    if (change.begin >= moment) continue;
    const durable = change.changes.every(
      ({ directory }) => change.end <= durableUpTo(directory.syncs, moment),
    );
    if (durable || survives(change, mode, journalEnd, random)) apply(change, names);
  }
  return names;
}

function survives(
  change: NamesChange,
  mode: NamesMode,
  journalEnd: number,
  random: Random,
): boolean {
  if (mode === 'any') return random.below(2) === 0;
  if (mode === 'earlier') return change.begin < journalEnd;
  return mode === 'all';
}

function apply({ changes }: NamesChange, names: Names): void {
  for (const { directory, name, target } of changes) {
    let entries = names.get(directory);
    if (entries === undefined) {
      entries = new Map();
      names.set(directory, entries);
    }
    if (target === undefined) entries.delete(name);
    else entries.set(name, target);
  }
}

function survivingContent(
  inode: Inode,
  moment: number,
  mode: Survival['content'],
  random: Random,
): Buffer {
  const durableEnd = durableUpTo(inode.syncs, moment);
  const safe: ContentChange[] = [];
  const unsafe: ContentChange[] = [];
  for (const change of inode.changes) {
    if (change.end <= durableEnd) safe.push(change);
    else if (change.begin < moment) unsafe.push(change);
  }
  const durable = contentOf(safe, Buffer.alloc(0));
  if (unsafe.length === 0) return durable;
  const chosen =
    mode === 'any' ? (contentModes[random.below(contentModes.length)] as ContentMode) : mode;
  return withUnsynced(durable, unsafe, chosen, random);
}

/** `before` after some changes, each of which happened. */
function contentOf(changes: readonly ContentChange[], before: Buffer): Buffer {
  let sizeBytes = before.length;
  let capacity = sizeBytes;
  for (const change of changes) {
    if (change.kind === 'truncate') sizeBytes = change.sizeBytes;
    else sizeBytes = Math.max(sizeBytes, change.offset + change.bytes.length);
    capacity = Math.max(capacity, sizeBytes);
  }
  const content = Buffer.alloc(capacity);
  before.copy(content);
  let end = before.length;
  for (const change of changes) {
    if (change.kind === 'truncate') {
      if (change.sizeBytes < end) content.fill(0, change.sizeBytes, end);
      end = change.sizeBytes;
    } else {
      change.bytes.copy(content, change.offset);
      end = Math.max(end, change.offset + change.bytes.length);
    }
  }
  return content.subarray(0, sizeBytes);
}

function withUnsynced(
  durable: Buffer,
  unsafe: readonly ContentChange[],
  mode: ContentMode,
  random: Random,
): Buffer {
  if (mode === 'none') return durable;
  const full = contentOf(unsafe, durable);
  if (mode === 'all') return full;
  const truncates = becomesShorter(durable, unsafe);
  if (mode === 'beginning') {
    const least = truncates ? 0 : Math.min(durable.length, full.length);
    return full.subarray(0, least + random.below(full.length - least + 1));
  }
  // Of a file that was cut to nothing and written again, the old may still be there.
  const sizeBytes = truncates && random.below(2) === 0 ? durable.length : full.length;
  const result = Buffer.alloc(sizeBytes);
  durable.copy(result);
  if (mode === 'zeros') return result;
  const pieceBytes = mode === 'sectors' ? sectorBytes : pageBytes;
  for (let at = 0; at < sizeBytes; at += pieceBytes) {
    if (random.below(2) === 0) full.copy(result, at, at, Math.min(at + pieceBytes, sizeBytes));
  }
  // The size may have stopped growing before the data did.
  if (!truncates && random.below(4) === 0) {
    return result.subarray(0, durable.length + random.below(sizeBytes - durable.length + 1));
  }
  return result;
}

/** Not if it is only made longer ahead of what is written. */
function becomesShorter(durable: Buffer, changes: readonly ContentChange[]): boolean {
  let sizeBytes = durable.length;
  return changes.some((change) => {
    if (change.kind === 'truncate' && change.sizeBytes < sizeBytes) return true;
    const end = change.kind === 'truncate' ? change.sizeBytes : change.offset + change.bytes.length;
    sizeBytes = Math.max(sizeBytes, end);
    return false;
  });
}

/** Writes an image into a directory, which is made. */
export function writeImage(image: DirectoryImage, path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  for (const [name, entry] of image.entries) {
    if (entry.kind === 'directory') writeImage(entry, join(path, name));
    else writeFileSync(join(path, name), entry.bytes);
  }
}
